# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The admin API of a MinIO server, as far as exports and imports go; tests/functional compare it with a real one."""

from __future__ import annotations

import io
import json
import zipfile

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import job_lock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio import server_export
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.admin import AdminClient
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.keys import Keys
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.stream.encryption import EpochKey

SECRET = "canary-secret"
URL = "https://minio1.example.com:9000"


class ServerDouble:
    def __init__(self):
        self.identities = {
            "policies": {"read": {"Version": "2012-10-17", "Statement": []}},
            "users": {"shop": {"secretKey": SECRET, "status": "enabled"}},
            "user_mappings": {"shop": {"version": 0, "policy": "read"}},
        }
        self.buckets = {"papers": {"quota.json": b'{"quota":1}'}}
        self.requests = []

    def document(self, _client, _problem, verb, _query=()):
        self.requests.append(verb)
        return {"deploymentID": "d1"} if verb == "info" else {"AccountName": "root"}

    def send(self, _client, _problem, _method, verb, _query=(), body=b"", most=0):
        self.requests.append(verb)
        if verb == "export-iam":
            return _zip({f"iam-assets/{kind}.json": each for kind, each in self.identities.items()})
        if verb == "export-bucket-metadata":
            return server_export.pack_buckets(self.buckets)
        if verb == "import-bucket-metadata":
            for name, documents in server_export.parse_buckets(body).items():
                self.buckets.setdefault(name, {}).update(documents)
            return b'{"buckets": {}}'
        assert verb == "import-iam-v2"
        for kind, entries in _parts(body).items():
            self.identities.setdefault(kind, {}).update(entries)
        return b"{}"


def _zip(files):
    """Pack as the server does: also what has no entries."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, entries in files.items():
            archive.writestr(name, json.dumps(entries))
    return buffer.getvalue()


def _parts(body):
    files = server_export._files(body, "a request")
    return {name.split("/")[1][: -len(".json")]: json.loads(data) for name, data in files.items()}


@pytest.fixture
def server(monkeypatch, tmp_path):
    made = ServerDouble()

    def document(*given):
        return made.document(*given)

    def send(*given, **more):
        return made.send(*given, **more)  # looked up each time: tests replace it

    monkeypatch.setattr(AdminClient, "document", document)
    monkeypatch.setattr(AdminClient, "send", send)
    monkeypatch.setattr(job_lock, "_FOLDERS", (str(tmp_path),))
    return made


@pytest.fixture
def keyring(monkeypatch):
    """Let every repository have a keyring."""
    monkeypatch.setattr(DirectoryStore, "keys", Keys("k", (EpochKey("k", "1", b"k" * 32),)))

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Playbooks on this host, with two MinIO servers: one for the buckets of an application, one that is off-site."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import shutil
import typing as t
from pathlib import Path

from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import identity
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.bucket import BucketStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.keyring import Access
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.client import S3Client
from ansible_collections.lifeboat.recovery.tests.functional.plays import ran
from ansible_collections.lifeboat.recovery.tests.functional.quick_folder import quick_folder
from ansible_collections.lifeboat.recovery.tests.functional.s3_fixtures import VERSIONED, endpoint_of
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository import keyrings
from servers import MinioServer

HOST = "app1"
REPOSITORY = "backups"  # the bucket of repositories


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a playbook ended."""

    code: int
    said: str

    @property
    def is_good(self) -> bool:
        return self.code == 0

    @property
    def changed(self) -> list[str]:
        """Return the tasks that changed something."""
        tasks = self.said.split("\nTASK [")[1:]
        return [task.partition("]")[0].rpartition(" : ")[2] for task in tasks if "\nchanged: " in task]

    @property
    def shown(self) -> str:
        """Return what was said as plain text, whatever lines and quotes Ansible puts around it."""
        return re.sub(r'[\s"\\]+', " ", self.said)


class Lab:
    """The servers, a folder with a local repository, and the inventory as variables."""

    def __init__(self, folder: Path, near: MinioServer, far: MinioServer) -> None:
        self.folder, self.near, self.far = folder, near, far
        self.jobs: list[dict[str, t.Any]] = []
        self.repositories = [
            {"name": "local", "path": str(folder / "repository")},
            {"name": "site", "bucket": REPOSITORY, **self.login(near)},
            {"name": "offsite", "bucket": REPOSITORY, **self.login(far)},
        ]

    @staticmethod
    def login(server: MinioServer) -> dict[str, str]:
        return {"endpoint_url": server.endpoint, "access_key": server.access_key, "secret_key": server.secret_key}

    @contextlib.contextmanager
    def client(self, server: MinioServer) -> t.Iterator[S3Client]:
        with contextlib.closing(S3Client(endpoint_of(server))) as found:
            yield found

    def make_repositories(self) -> None:
        identity.initialise(DirectoryStore(str(self.folder / "repository")))
        for server in (self.near, self.far):
            self.make_bucket(server, REPOSITORY, versioned=True)
            with self.client(server) as client:
                identity.initialise(BucketStore(client, REPOSITORY, ""))

    def encrypt(self) -> Access:
        """Give all repositories a keyring, and return what opens it."""
        secret = keyrings.fresh_secret()
        with self.client(self.near) as near, self.client(self.far) as far:
            folder = DirectoryStore(str(self.folder / "repository"))
            stores = [folder, *(BucketStore(client, REPOSITORY, "") for client in (near, far))]
            keyrings.create(stores, secret, is_single=True)
        self.repositories = [{**each, "keyring": {"secret": secret.to_text()}} for each in self.repositories]
        return Access(secret)

    def make_bucket(self, server: MinioServer, name: str, versioned: bool = False) -> None:
        with self.client(server) as client:
            client.create_bucket(name)
            if versioned:
                client.document("PUT", name, "versioning", VERSIONED)

    def write(self, bucket: str, contents: t.Mapping[str, bytes]) -> None:
        with self.client(self.near) as client:
            for key, data in contents.items():
                client.put_object(bucket, key, data)

    def remove(self, bucket: str, *keys: str) -> None:
        with self.client(self.near) as client:
            for key in keys:
                client.delete(bucket, key)

    def contents(self, bucket: str) -> dict[str, bytes]:
        with self.client(self.near) as client:
            if not client.bucket_exists(bucket):
                return {}
            keys = [each.key for each in client.list_objects(bucket)]
            return {key: client.get_bytes(bucket, key, 1 << 28)[0] for key in keys}

    def bucket_job(self, name: str, *repositories: str) -> dict[str, t.Any]:
        return {
            "name": name,
            "kind": "bucket",
            "buckets": [name],
            "repositories": list(repositories),
            "objectives": {"rpo_hours": 24, "rto_hours": 1},
            **self.login(self.near),
        }

    def run(self, playbook: str | Path, *arguments: str, **variables: t.Any) -> Ended:
        """Run a playbook on one host, which is this one."""
        given = {
            "lifeboat_hosts": HOST,
            "lifeboat_agent": False,
            "ansible_become": False,
            "lifeboat_jobs": self.jobs,
            "lifeboat_repositories": self.repositories,
            "bucket_recovery_quarantine_dir": str(self.folder / "quarantine"),
            "application_control_memory_dir": str(self.folder / "applications"),
            **variables,
        }
        settings = self.folder / "variables.json"
        settings.write_text(json.dumps(given))
        words = [str(playbook), "-i", f"{HOST},", "-e", f"@{settings}", *arguments]
        done = ran(*words, scratch=self.folder / "scratch")
        for secret in (self.near.secret_key, self.far.secret_key):
            if secret in done.stdout:
                raise AssertionError("a secret was shown")
        return Ended(done.returncode, done.stdout)


@contextlib.contextmanager
def running_lab() -> t.Iterator[Lab]:
    """Start both servers, and make the repositories."""
    folder = quick_folder("lbp-")
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        for name in ("scratch", "repository"):
            (folder / name).mkdir()
        near = stack.enter_context(MinioServer(folder / "near", access_key="near-root"))
        far = stack.enter_context(MinioServer(folder / "far", access_key="far-root"))
        lab = Lab(folder, near, far)
        lab.make_repositories()
        yield lab

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a MinIO server tells of its identities and of the settings of its buckets, as its admin API exports it.

Both are zip archives: `iam-assets/<kind>.json`, each an object of entries by their names, and `<bucket>/<document>`
(MinIO, `cmd/admin-handlers-users.go` and `cmd/admin-bucket-handlers.go`). The first holds all secrets in clear, the
second those of replication targets. So neither may ever lie on a disk unless it is encrypted.
"""

from __future__ import annotations

import dataclasses
import io
import json
import typing as t
import zipfile
import zlib

from ..errors import DamagedError
from .admin import AdminClient

IDENTITIES = "identities"  # role of the stored file with the export of identities
BUCKETS = "bucket_settings"  # role of the one with the settings of buckets
_FOLDER = "iam-assets/"
# Kinds of entries, in the order in which they need each other; the names are those of the files in the archive.
KINDS = ("policies", "users", "groups", "svcaccts", "user_mappings", "group_mappings", "stsuser_mappings")
_NOT_IMPORTED = ("replication.xml", "bucket-targets.json")  # the server leaves both out of every import
_MOST_BYTES = 256 * 1024 * 1024  # of an archive, and of all that it holds: more is an attempt to fill the memory

Entry = t.Mapping[str, t.Any]


@dataclasses.dataclass(frozen=True)
class ServerExport:
    """The identities and settings of a server. Not to be shown: it holds secrets."""

    identities: t.Mapping[str, t.Mapping[str, t.Any]] = dataclasses.field(default_factory=dict, repr=False)
    buckets: t.Mapping[str, t.Mapping[str, bytes]] = dataclasses.field(default_factory=dict, repr=False)

    @property
    def counts(self) -> dict[str, int]:
        """Return how many there are of what people know."""
        names = {"policies": "policies", "users": "users", "groups": "groups", "svcaccts": "access_keys"}
        found = {name: len(self.identities.get(kind, {})) for kind, name in names.items()}
        return {**found, "buckets": len(self.buckets)}

    @property
    def left_out(self) -> tuple[str, ...]:
        """Return the buckets whose replication no import brings back."""
        return tuple(
            name
            for name, files in self.buckets.items()
            if "replication.xml" in files or b"<Targets>" in files.get("bucket-targets.json", b"")
        )

    @property
    def secrets(self) -> frozenset[str]:
        """Return all secrets of users and access keys, so that nothing shows them."""
        entries = (*self.identities.get("users", {}).values(), *self.identities.get("svcaccts", {}).values())
        return frozenset(str(each["secretKey"]) for each in entries if each.get("secretKey"))


def deployment(admin: AdminClient) -> str:
    """Return the id that the server got when its drives were formatted. Raises AdminError."""
    found = admin.document("Cannot ask the server who it is", "info").get("deploymentID")
    if not isinstance(found, str) or not found:
        raise DamagedError("Cannot tell which server this is", "it names no deploymentID", "look at its health")
    return found


def fetch_identities(admin: AdminClient) -> bytes:
    """Return the archive of users, groups, policies and access keys. Raises AdminError, DamagedError."""
    data = admin.send("Cannot export the identities", "GET", "export-iam", most=_MOST_BYTES)
    parse_identities(data)
    return data


def fetch_buckets(admin: AdminClient) -> bytes:
    """Return the archive of the settings of all buckets. Raises AdminError, DamagedError."""
    query = (("bucket", ""),)
    data = admin.send("Cannot export the settings of buckets", "GET", "export-bucket-metadata", query, most=_MOST_BYTES)
    parse_buckets(data)
    return data


def fetch(admin: AdminClient) -> ServerExport:
    """Return what the server has now. Raises AdminError, DamagedError."""
    return ServerExport(parse_identities(fetch_identities(admin)), parse_buckets(fetch_buckets(admin)))


def parse_identities(data: bytes) -> dict[str, dict[str, t.Any]]:
    """Return the entries of each kind by their names. Raises DamagedError; its words hold nothing of the archive."""
    what = "the export of identities"
    files = _files(data, what)
    found: dict[str, dict[str, t.Any]] = {}
    for name, content in files.items():
        kind = name[len(_FOLDER) : -len(".json")]
        if not name.startswith(_FOLDER) or not name.endswith(".json"):
            raise _damaged(what, "it has files of another export")
        try:
            entries = json.loads(content)
        except (ValueError, RecursionError):
            raise _damaged(what, f"{kind} is not JSON") from None  # its text would be shown, and holds secrets
        if not isinstance(entries, dict):
            raise _damaged(what, f"{kind} is no object")
        found[kind] = entries
    missing = [kind for kind in KINDS[:2] if kind not in found]
    if missing:
        raise _damaged(what, f"it has no {missing[0]}")
    return found


def parse_buckets(data: bytes) -> dict[str, dict[str, bytes]]:
    """Return the documents of each bucket by their names. Raises DamagedError."""
    what = "the export of bucket settings"
    found: dict[str, dict[str, bytes]] = {}
    for name, content in _files(data, what).items():
        bucket, slash, document = name.partition("/")
        if not bucket or not slash or not document or "/" in document:
            raise _damaged(what, "it has files of another export")
        found.setdefault(bucket, {})[document] = content
    return found


def pack_identities(identities: t.Mapping[str, t.Mapping[str, t.Any]]) -> bytes:
    """Return an archive for an import; kinds without an entry are left out."""
    return _packed(
        {
            f"{_FOLDER}{kind}.json": json.dumps(identities[kind]).encode("utf-8")
            for kind in (*KINDS, *sorted(set(identities) - set(KINDS)))
            if identities.get(kind)
        }
    )


def pack_buckets(buckets: t.Mapping[str, t.Mapping[str, bytes]]) -> bytes:
    """Return an archive for an import, without what the server does not take."""
    return _packed(
        {
            f"{bucket}/{name}": content
            for bucket, documents in buckets.items()
            for name, content in documents.items()
            if name not in _NOT_IMPORTED
        }
    )


def _files(data: bytes, what: str) -> dict[str, bytes]:
    """Read an archive in memory, with the checksum of every file."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            listed = archive.infolist()
            if sum(each.file_size for each in listed) > _MOST_BYTES:
                raise _damaged(what, f"more than {_MOST_BYTES} bytes come out")
            names = [each.filename for each in listed]
            if len(set(names)) < len(names):
                raise _damaged(what, "it has a file twice")
            return {each.filename: archive.read(each) for each in listed if not each.is_dir()}
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise _damaged(what, f"it is no zip archive that can be read ({type(error).__name__})") from error


def _packed(files: t.Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _damaged(what: str, cause: str) -> DamagedError:
    return DamagedError(f"Cannot read {what}", cause, "use another copy of the backup, or look at the server's log")

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ..errors import UsageError
from ..repository import layout
from .policy import Document

# Keys of a repository, one for an application that keeps its objects in a bucket, and one for whoever backs that up.
ROLES = ("writer", "verifier", "pruner", "locker", "reader", "application", "source")

_VERSION = "2012-10-17"
_READ = ("s3:GetObject", "s3:GetObjectVersion")
_LIST = ("s3:ListBucket", "s3:ListBucketVersions")
_UPLOAD = ("s3:AbortMultipartUpload", "s3:ListMultipartUploadParts")
_UPLOADS = ("s3:GetBucketLocation", "s3:ListBucketMultipartUploads")
_DELETE = ("s3:DeleteObject", "s3:DeleteObjectVersion")
# What a proof may tell of a bucket beside the files in it.
_SETTINGS = ("s3:GetBucketLocation", "s3:GetBucketObjectLockConfiguration", "s3:GetBucketVersioning")
_LOCKS = ("s3:GetObjectLegalHold", "s3:GetObjectRetention")
# What a backup of a bucket keeps beside the bytes of its objects. A quota is only for administrators.
_PROPERTIES = ("s3:GetObjectTagging", *_LOCKS)
_DOCUMENTS = (
    *_SETTINGS,
    "s3:GetBucketCors",
    "s3:GetBucketNotification",
    "s3:GetBucketPolicy",
    "s3:GetBucketTagging",
    "s3:GetEncryptionConfiguration",
    "s3:GetLifecycleConfiguration",
    "s3:GetReplicationConfiguration",
)
_INTENTS = "intents/"
_PRUNED = ("data/", "holds/", _INTENTS, layout.MANIFESTS, "plans/", layout.POINTS, layout.VERIFIED)
# What backups cannot be restored without.
_LOCKED = ("data/", layout.MANIFESTS, layout.JOBS, layout.IDENTITY, "keys/", "RESCUE/")
# MinIO takes a request to write *into* a version for one to write: with this condition a key makes new versions only.
# The condition is true for requests that name no version, and it must stand alone with PutObject.
_NO_VERSION = {"StringEquals": {"s3:versionid": ""}}
_SPECIAL = frozenset("*?$")  # wildcards and variables of policies


def document(role: str, bucket: str, prefix: str = "") -> Document:
    """Return the policy with the fewest rights that `role` (one of ROLES) needs on a bucket, or below `prefix` of it.

    The rights of the repository's keys are those of docs/minio.md, "Keys of a repository". Raises UsageError.
    """
    place = _Place(bucket, _root(bucket, prefix))
    return {"Version": _VERSION, "Statement": _STATEMENTS[role](place)}


class _Place:
    """Where a role may do something, and the statements that say so."""

    def __init__(self, bucket: str, root: str) -> None:
        self._bucket = f"arn:aws:s3:::{bucket}"
        self._root = root

    def on_objects(self, actions: t.Sequence[str], *folders: str) -> dict[str, t.Any]:
        """Allow something with the objects below the root, or below folders of it."""
        places = [f"{self._bucket}/{self._root}{folder}*" for folder in folders or ("",)]
        return {"Effect": "Allow", "Action": list(actions), "Resource": places}

    def writing(self, *folders: str) -> dict[str, t.Any]:
        """Allow to write objects, and not to replace what a version holds."""
        return {**self.on_objects(("s3:PutObject",), *folders), "Condition": _NO_VERSION}

    def on_bucket(self, *actions: str) -> dict[str, t.Any]:
        return {"Effect": "Allow", "Action": list(actions), "Resource": [self._bucket]}

    def listing(self) -> dict[str, t.Any]:
        """Allow to list what lies below the root."""
        statement = self.on_bucket(*_LIST)
        if self._root:
            statement["Condition"] = {"StringLike": {"s3:prefix": [self._root, f"{self._root}*"]}}
        return statement


def _reader(place: _Place) -> list[dict[str, t.Any]]:
    return [place.on_objects(_READ), place.listing(), place.on_bucket("s3:GetBucketLocation")]


def _writer(place: _Place) -> list[dict[str, t.Any]]:
    return [
        place.writing(),
        place.on_objects((*_READ, *_UPLOAD)),
        place.on_objects(("s3:DeleteObject",), _INTENTS),
        place.listing(),
        place.on_bucket(*_UPLOADS),
    ]


def _verifier(place: _Place) -> list[dict[str, t.Any]]:
    return [
        place.writing(layout.VERIFIED),
        place.on_objects((*_READ, *_LOCKS)),
        place.listing(),
        place.on_bucket(*_SETTINGS),
    ]


def _pruner(place: _Place) -> list[dict[str, t.Any]]:
    return [
        place.writing(),
        place.on_objects((*_READ, *_UPLOAD)),
        place.on_objects(_DELETE, *_PRUNED),
        place.listing(),
        place.on_bucket(*_UPLOADS),
    ]


def _locker(place: _Place) -> list[dict[str, t.Any]]:
    return [
        place.on_objects((*_READ, *_LOCKS)),
        place.on_objects(("s3:PutObjectRetention",), *_LOCKED),
        place.listing(),
        place.on_bucket(*_SETTINGS),
    ]


def _application(place: _Place) -> list[dict[str, t.Any]]:
    tags = ("s3:GetObjectTagging", "s3:PutObjectTagging")
    # Without the denial MinIO takes the right to delete objects for that to delete versions for good.
    kept = {**place.on_objects(("s3:DeleteObjectVersion",)), "Effect": "Deny"}
    return [
        place.writing(),
        place.on_objects((*_READ, *_UPLOAD, *tags, "s3:DeleteObject")),
        kept,
        place.listing(),
        place.on_bucket(*_UPLOADS),
    ]


def _source(place: _Place) -> list[dict[str, t.Any]]:
    return [place.on_objects((*_READ, *_PROPERTIES)), place.listing(), place.on_bucket(*_DOCUMENTS)]


_STATEMENTS: dict[str, t.Callable[[_Place], list[dict[str, t.Any]]]] = {
    "writer": _writer,
    "verifier": _verifier,
    "pruner": _pruner,
    "locker": _locker,
    "reader": _reader,
    "application": _application,
    "source": _source,
}


def _root(bucket: str, prefix: str) -> str:
    """Return the prefix with one slash at its end, or nothing."""
    path = prefix.strip("/")
    if not bucket or "/" in bucket or _SPECIAL & set(bucket + path) or not (bucket + path).isprintable():
        raise UsageError(
            f"Cannot make a policy for {bucket}/{prefix}",
            "wildcards, dollar signs and control characters would mean more than one place",
            "give the bucket and the prefix as they are",
        )
    if path and any(part in ("", ".", "..") for part in path.split("/")):
        raise UsageError(
            f"Cannot make a policy for {bucket}/{prefix}",
            "the prefix has an empty part or dots",
            "use names between slashes",
        )
    return f"{path}/" if path else ""

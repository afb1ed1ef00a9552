# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import typing as t
import xml.etree.ElementTree as ET

from .. import clock
from ..errors import DamagedError, LifeboatError
from ..minio import xml_document
from ..minio.admin import AdminError
from ..minio.bucket_api import BucketApi
from ..s3.client import S3Client
from ..s3.failure import S3Error
from .remarks import SKIPPED, UNSEEN

Documents = t.Mapping[str, t.Any]  # by name: text as the server sent it; of the policy its JSON; of the quota bytes

# In the order in which they can be written: versions before what needs them, and before what watches them.
XML_DOCUMENTS = (
    "versioning",
    "object-lock",
    "encryption",
    "tagging",
    "lifecycle",
    "cors",
    "notification",
    "replication",
)
POLICY = "policy"
QUOTA = "quota"
NAMES = (*XML_DOCUMENTS, QUOTA, POLICY)
_REMOVABLE = ("encryption", "tagging", "lifecycle", "replication", POLICY)
_UNKNOWN = ("NotImplemented", "MethodNotAllowed")
DENIED = ("AccessDenied", "AllAccessDisabled")
_RIGHTS = {  # to read a document; names as MinIO writes them, AWS takes any case
    "versioning": "s3:GetBucketVersioning",
    "object-lock": "s3:GetBucketObjectLockConfiguration",
    "encryption": "s3:GetEncryptionConfiguration",
    "tagging": "s3:GetBucketTagging",
    "lifecycle": "s3:GetLifecycleConfiguration",
    "cors": "s3:GetBucketCors",
    "notification": "s3:GetBucketNotification",
    "replication": "s3:GetReplicationConfiguration",
    POLICY: "s3:GetBucketPolicy",
    QUOTA: "admin:GetBucketQuota",
}
_READ_BACKS = 6  # clusters may answer with the old document for a moment
_PAUSE_S = 0.1  # doubled after each


def read(client: S3Client, bucket: str) -> dict[str, t.Any]:
    """Return the documents that a bucket has, as its server wrote them; one that may not be read is None.

    Raises S3Error, also where there is no such bucket.
    """
    found: dict[str, t.Any] = {}
    for name in (*XML_DOCUMENTS, POLICY):
        try:
            value = _read_one(client, bucket, name)
        except S3Error as error:
            if error.code not in DENIED:
                raise
            found[name] = None
            continue
        if value is not None:
            found[name] = value
    return {**found, **_quota(client, bucket)}


def changes(wanted: Documents, found: Documents) -> tuple[str, ...]:
    """Return the names of the documents that differ, in the order in which they are to be written.

    What may not be read on either side is left alone, and so is what cannot be removed or has no meaning elsewhere.
    """
    names = []
    for name in NAMES:
        if wanted.get(name, "") is None or found.get(name, "") is None:
            continue
        if name not in wanted and (name not in found or name not in (*_REMOVABLE, QUOTA)):
            continue
        if name not in wanted or name not in found or not _means_same(name, wanted[name], found[name]):
            names.append(name)
    return tuple(names)


def unseen(documents: Documents) -> tuple[str, ...]:
    """Return the names of the documents that may not be read, in the order of NAMES."""
    return tuple(name for name in NAMES if documents.get(name, "") is None)


def remarks(documents: Documents) -> t.Iterator[tuple[str, str]]:
    """Yield what is to be said of the documents of a bucket that may not be read, and why: `remarks.Remarks` has words.

    A quota is only skipped: the right to read it is one of administrators, which few give to a key for backups.
    """
    names = unseen(documents)
    by_word = {UNSEEN: [name for name in names if name != QUOTA], SKIPPED: [name for name in names if name == QUOTA]}
    for what, some in by_word.items():
        if some:
            rights = ", ".join(_RIGHTS[name] for name in some)
            yield what, f"of its settings these are not backed up: {', '.join(some)} (the right is missing: {rights})"


def are_same(some: Documents, others: Documents) -> bool:
    """Say whether two buckets have the same documents; servers write one document in several ways."""
    return some.keys() == others.keys() and all(
        value == others[name] or (None not in (value, others[name]) and _means_same(name, value, others[name]))
        for name, value in some.items()
    )


def write(client: S3Client, bucket: str, name: str, value: t.Any) -> None:
    """Write one document, or remove it where `value` is None, and read it back.

    Raises S3Error; LifeboatError where the server kept something else.
    """
    if name == QUOTA:
        BucketApi(client).write(bucket, QUOTA, value)
        return
    if value is None:
        client.document("DELETE", bucket, name)
    else:
        text = json.dumps(value) if name == POLICY else str(value)
        client.document("PUT", bucket, name, text.encode("utf-8"))
    for attempt in range(_READ_BACKS):
        kept = _read_one(client, bucket, name)
        if (kept is None) == (value is None) and (value is None or _means_same(name, value, kept)):
            return
        clock.sleep(_PAUSE_S * 2**attempt)
    raise LifeboatError(
        f"Cannot set the {name} of s3://{bucket} at {client.endpoint.url}",
        "the server took it without an error, and keeps something else",
        "look at the document in the backup; the server may not know all that it says",
    )


def has_object_lock(client: S3Client, bucket: str) -> bool:
    """Say whether versions in the bucket can be locked; where that may not be read, that they cannot."""
    try:
        return b"<ObjectLockEnabled>Enabled<" in client.document("GET", bucket, "object-lock")
    except S3Error as error:
        if error.is_transient or error.status == 0 or error.code == "NoSuchBucket":
            raise
        return False


def _read_one(client: S3Client, bucket: str, name: str) -> t.Any:
    """Return a document, None where the bucket has none or the server does not know it."""
    try:
        data = client.document("GET", bucket, name)
    except S3Error as error:
        if error.code in _UNKNOWN or (error.status == 404 and error.code != "NoSuchBucket"):
            return None
        raise
    try:
        if name == POLICY:
            return json.loads(data)
        text = data.decode("utf-8")
        return text if len(ET.fromstring(text)) else None  # without any element it says nothing
    except (ValueError, ET.ParseError) as error:
        problem = f"Cannot read the {name} of s3://{bucket} at {client.endpoint.url}"
        raise DamagedError(
            problem, f"the answer is no document ({error})", "check that this is an S3 server"
        ) from error


def _quota(client: S3Client, bucket: str) -> dict[str, t.Any]:
    api = BucketApi(client)
    if not api.presence(bucket).is_minio:
        return {}
    try:
        size = api.read_one(bucket, QUOTA)
    except AdminError as error:
        if error.code in DENIED:
            return {QUOTA: None}
        raise
    return {QUOTA: size} if size else {}


def _means_same(name: str, one: t.Any, other: t.Any) -> bool:
    if name == QUOTA:
        return bool(one == other)
    if name == POLICY:
        return bool(_sorted(one) == _sorted(other))
    return _canonical(one) == _canonical(other)


def _sorted(value: t.Any) -> t.Any:
    """Return a policy with all lists in one order: MinIO returns them in any."""
    if isinstance(value, dict):
        return {name: _sorted(each) for name, each in value.items()}
    if isinstance(value, list):
        return sorted((_sorted(each) for each in value), key=lambda each: json.dumps(each, sort_keys=True))
    return value


def _canonical(text: str) -> str:
    root = xml_document.parse(text.encode("utf-8"), ET.fromstring(text).tag.rpartition("}")[2])
    for tags in root.iter("TagSet"):  # MinIO returns them in any order
        tags[:] = sorted(tags, key=lambda tag: tag.findtext("Key") or "")
    return ET.tostring(root, encoding="unicode")

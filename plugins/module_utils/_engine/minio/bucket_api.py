# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import typing as t
import xml.etree.ElementTree as ET

from .. import clock
from ..errors import DamagedError, LifeboatError
from ..s3.client import S3Client
from ..s3.failure import S3Error
from ..s3.transport import Request
from . import bucket_settings, lifecycle, xml_document
from .admin import AdminClient
from .bucket_settings import NO_RETENTION, SETTINGS, Found, Retention

_READ_BACKS = 6  # AWS and clusters may answer with the old value for a moment
_READ_BACK_PAUSE_S = 0.1  # doubled after each
# The setting is not there, by the server's word for it. Not NoSuchBucket.
_NOT_SET = {
    "lifecycle": "NoSuchLifecycleConfiguration",
    "policy": "NoSuchBucketPolicy",
    "tagging": "NoSuchTagSet",
    "object-lock": "ObjectLockConfigurationNotFoundError",
}
_UNKNOWN_TO_SERVER = ("NotImplemented", "MethodNotAllowed")


@dataclasses.dataclass(frozen=True)
class Presence:
    """Whether a bucket is there, and on what."""

    exists: bool
    is_minio: bool  # by the `Server` header


class BucketApi:
    """Reads and writes the settings of buckets, each as the server's own document."""

    def __init__(self, client: S3Client) -> None:
        self.client = client

    def presence(self, bucket: str) -> Presence:
        """Say whether there is such a bucket. Raises S3Error, also when it belongs to somebody else."""
        try:
            answer = self.client.transport.whole(Request(f"Cannot look at bucket {bucket}", "HEAD", bucket))
        except S3Error as error:
            if error.status == http.client.NOT_FOUND:
                return Presence(False, _is_minio(error.fields))
            raise
        return Presence(True, _is_minio(answer.fields))

    def read(self, bucket: str, names: t.Collection[str], is_minio: bool) -> Found:
        """Return the named settings of a bucket (`object_lock` is one of the names here); all others are None.

        Raises S3Error or AdminError; also where the server does not have such a setting: somebody wants it.
        """
        values: dict[str, t.Any] = {name: self.read_one(bucket, name) for name in names if name in SETTINGS}
        if "object_lock" in names:
            values["object_lock"] = self.has_object_lock(bucket)
        unread = dict.fromkeys(("object_lock", *SETTINGS), None)
        return Found(is_minio, **{**unread, **values})

    def has_quotas(self, is_minio: bool) -> bool:
        """Say whether the server has quotas; one that does not name itself MinIO, as behind a proxy, is asked."""
        return is_minio or bool(self._with_admin(lambda admin: admin.is_there()))

    def has_object_lock(self, bucket: str) -> bool:
        """Say whether versions in the bucket can be locked; False where the server does not know object lock."""
        try:
            return self._lock(bucket) is not None
        except S3Error as error:
            if error.code in _UNKNOWN_TO_SERVER:
                return False
            raise

    def read_what_there_is(self, bucket: str, names: t.Collection[str], is_minio: bool) -> Found:
        """Return the named settings of a bucket; what the server does not have is None. Raises LifeboatError."""
        found = self.read(bucket, (), is_minio)
        for name in names:
            if name == "quota" and not self.has_quotas(is_minio):
                continue
            try:
                found = dataclasses.replace(found, **{name: getattr(self.read(bucket, [name], is_minio), name)})
            except S3Error as error:
                if error.code not in _UNKNOWN_TO_SERVER:
                    raise
        return found

    def read_one(self, bucket: str, name: str) -> t.Any:
        """Return one setting, of the type of its field of Found. Raises S3Error or AdminError."""
        if name == "quota":
            return self._with_admin(lambda admin: admin.quota(bucket))
        if name == "default_retention":
            return self._lock(bucket) or NO_RETENTION
        subresource, reader, nothing = _READERS[name]
        data = self._document(bucket, subresource)
        return nothing if data is None else reader(data)

    def write(self, bucket: str, name: str, value: t.Any) -> t.Any:
        """Write one setting and return it as it is read back.

        Raises S3Error or AdminError; LifeboatError when the server took the setting but not all of what it says.
        """
        if name == "quota":
            self._with_admin(lambda admin: admin.set_quota(bucket, value))
        else:
            subresource, body = _written(name, value)
            self.client.document("PUT" if body else "DELETE", bucket, subresource, body)
        return self._read_back(bucket, name, value)

    def _read_back(self, bucket: str, name: str, value: t.Any) -> t.Any:
        for attempt in range(_READ_BACKS):
            found = self.read_one(bucket, name)
            if bucket_settings.means_same(name, value, found):
                return found
            clock.sleep(_READ_BACK_PAUSE_S * 2**attempt)
        written, kept = (json.dumps(bucket_settings.shown(name, item), sort_keys=True) for item in (value, found))
        raise LifeboatError(
            f"Cannot set {name} of bucket {bucket}",
            f"the server accepted {written} without an error, but what it keeps is {kept}",
            "leave out what this server does not support",
        )

    def _with_admin(self, work: t.Callable[[AdminClient], t.Any]) -> t.Any:
        with contextlib.closing(AdminClient(self.client.endpoint)) as admin:
            return work(admin)

    def _document(self, bucket: str, subresource: str) -> bytes | None:
        """Return a document of the bucket, None when it has none."""
        try:
            return self.client.document("GET", bucket, subresource)
        except S3Error as error:
            if error.code == _NOT_SET.get(subresource):
                return None
            raise

    def _lock(self, bucket: str) -> Retention | None:
        """Return the default retention of a bucket with object lock, None for one without."""
        data = self._document(bucket, "object-lock")
        root = None if data is None else xml_document.parse(data, "ObjectLockConfiguration")
        if root is None or root.findtext("ObjectLockEnabled") != "Enabled":
            return None
        rule = root.find("Rule/DefaultRetention")
        if rule is None:
            return NO_RETENTION
        reader = xml_document.Reader(rule)
        # Some servers name both units, the one that is not used with 0.
        return Retention(reader.text("Mode"), reader.number("Days") or None, reader.number("Years") or None)


def _is_minio(fields: t.Mapping[str, str]) -> bool:
    return fields.get("server", "").lower().startswith(("minio", "silo"))


def _versioning(data: bytes) -> str:
    return xml_document.parse(data, "VersioningConfiguration").findtext("Status") or ""


def _policy(data: bytes) -> dict[str, t.Any]:
    try:
        found = json.loads(data)
    except ValueError as error:
        raise DamagedError("Cannot read the bucket's policy", f"the answer is no JSON ({error})") from error
    if not isinstance(found, dict):
        raise DamagedError("Cannot read the bucket's policy", "the answer is no JSON object")
    return found


def _tags(data: bytes) -> dict[str, str]:
    return dict(xml_document.Reader(xml_document.parse(data, "Tagging")).tags("TagSet/Tag"))


# Of each setting that is a document of its own: the subresource, how to read it, and what its absence means.
_READERS: dict[str, tuple[str, t.Callable[[bytes], t.Any], t.Any]] = {
    "versioning": ("versioning", _versioning, ""),
    "lifecycle": ("lifecycle", lifecycle.from_xml, ()),
    "policy": ("policy", _policy, None),
    "tags": ("tagging", _tags, {}),
}


def _written(name: str, value: t.Any) -> tuple[str, bytes]:
    """Return the subresource of a setting and the document to put there, empty when it is to be removed."""
    if name == "lifecycle":
        return "lifecycle", lifecycle.to_xml(value) if value else b""
    if name == "policy":
        return "policy", json.dumps(value).encode("utf-8") if value else b""
    if name == "tags":
        return "tagging", _tagging(value) if value else b""
    if name == "versioning":
        root = xml_document.root("VersioningConfiguration")
        xml_document.add(root, "Status", value)
        return "versioning", xml_document.to_bytes(root)
    return "object-lock", _object_lock(value)


def _tagging(tags: t.Mapping[str, str]) -> bytes:
    root = xml_document.root("Tagging")
    every = ET.SubElement(root, "TagSet")
    for key, value in tags.items():
        tag = ET.SubElement(every, "Tag")
        xml_document.add(tag, "Key", key)
        xml_document.add(tag, "Value", value)
    return xml_document.to_bytes(root)


def _object_lock(retention: Retention) -> bytes:
    root = xml_document.root("ObjectLockConfiguration")
    xml_document.add(root, "ObjectLockEnabled", "Enabled")
    # Without a rule new versions are not locked; object lock itself stays.
    if retention != NO_RETENTION:
        rule = ET.SubElement(ET.SubElement(root, "Rule"), "DefaultRetention")
        xml_document.add(rule, "Mode", retention.mode)
        unit, term = ("Days", retention.days) if retention.days is not None else ("Years", retention.years)
        xml_document.add(rule, unit, str(term))
    return xml_document.to_bytes(root)

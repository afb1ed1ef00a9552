# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import xml.etree.ElementTree as ET

from . import failure, flight, integrity, listing
from .calls import Calls, PartLayout, Put, copy_source, named, version_query, xml_values
from .object_properties import NO_LOCK, Lock, ObjectProperties, moment_text, until_text
from .transport import Answer, Request

_NOT_SET = ("NoSuchObjectLockConfiguration", "ObjectLockConfigurationNotFoundError", "NoSuchTagSet")
_NO_NUMBERS = (400, 405, 412, 416, 501)  # answers to a number of a part that say nothing of the object
_GOVERNANCE_BYPASS = {"x-amz-bypass-governance-retention": "true"}


class PropertyCalls(Calls):
    """The requests for what an object has besides its bytes. All raise S3Error.

    The documents (tags, retention, hold) may only be put to servers that answer to a get of the same document: others
    would take it for the object's new bytes.
    """

    def part_layout(self, bucket: str, key: str, etag: str, *, version_id: str = "") -> PartLayout | None:
        """Return how an object whose ETag ends in -N is cut; None for others, and where the server does not say."""
        parts = etag.rpartition("-")[2] if "-" in etag else ""
        if not parts.isdigit() or int(parts) < 1:
            return None
        query = (*version_query(version_id), ("partNumber", "1"))
        problem = self.problem("look at the parts of", bucket, key)
        request = Request(problem, "HEAD", bucket, named(key), query, {"if-match": f'"{etag}"'})
        try:
            fields = self.transport.whole(request).fields
        except failure.S3Error as error:
            if error.status not in _NO_NUMBERS:
                raise
            # Some servers refuse the number, or compare the ETag of the part. This raises where the object has changed.
            self.transport.whole(request._replace(query=version_query(version_id)))
            return None
        size = fields.get("content-length", "")
        # A server that ignores the number answers for the whole object, without the count.
        is_known = size.isdigit() and (fields.get("x-amz-mp-parts-count") == parts or parts == "1")
        return PartLayout(int(size), int(parts)) if is_known else None

    def tags(self, bucket: str, key: str, *, version_id: str = "") -> dict[str, str]:
        """Return the tags of an object."""
        return flight.alone(self.tags_task(bucket, key, version_id=version_id))

    def tags_task(self, bucket: str, key: str, *, version_id: str = "") -> flight.Task[dict[str, str]]:
        """Find out the tags of an object."""
        problem = self.problem("read the tags of", bucket, key)
        answer = yield from self._document_task(problem, bucket, key, "tagging", version_id)
        if answer is None:
            return {}
        root = _root(problem, answer, "Tagging")
        return {tag.findtext("Key") or "": tag.findtext("Value") or "" for tag in root.findall("TagSet/Tag")}

    def set_tags(self, bucket: str, key: str, tags: dict[str, str], *, version_id: str = "") -> None:
        """Give an object these tags and no others."""
        root = ET.Element("Tagging")
        every = ET.SubElement(root, "TagSet")
        for name, value in tags.items():
            tag = ET.SubElement(every, "Tag")
            ET.SubElement(tag, "Key").text = name
            ET.SubElement(tag, "Value").text = value
        self._put(self.problem("set the tags of", bucket, key), bucket, key, "tagging", version_id, root)

    def lock(self, bucket: str, key: str, *, version_id: str = "") -> Lock:
        """Return the retention and the legal hold of an object in a bucket with object lock."""
        problem = self.problem("read the lock of", bucket, key)
        retention = self._document(problem, bucket, key, "retention", version_id)
        held = self._document(problem, bucket, key, "legal-hold", version_id)
        hold = held is not None and _root(problem, held, "LegalHold").findtext("Status") == "ON"
        if retention is None:
            return Lock(hold=True) if hold else NO_LOCK
        root = _root(problem, retention, "Retention")
        mode, until = root.findtext("Mode") or "", root.findtext("RetainUntilDate") or ""
        return Lock(mode, moment_text(until), hold) if mode and until else Lock(hold=hold)

    def set_retention(self, bucket: str, key: str, lock: Lock, *, version_id: str = "", bypass: bool = False) -> None:
        """Set until when a version is locked, and how; `bypass` lets a governance lock be shortened by who may."""
        root = ET.Element("Retention")
        ET.SubElement(root, "Mode").text = lock.mode
        ET.SubElement(root, "RetainUntilDate").text = until_text(lock.until)
        problem = self.problem("set the retention of", bucket, key)
        self._put(problem, bucket, key, "retention", version_id, root, _GOVERNANCE_BYPASS if bypass else {})

    def set_legal_hold(self, bucket: str, key: str, hold: bool, *, version_id: str = "") -> None:
        """Set or lift the legal hold of a version."""
        root = ET.Element("LegalHold")
        ET.SubElement(root, "Status").text = "ON" if hold else "OFF"
        self._put(self.problem("set the legal hold of", bucket, key), bucket, key, "legal-hold", version_id, root)

    def copy_object(
        self,
        source: tuple[str, str],
        bucket: str,
        key: str,
        properties: ObjectProperties,
        *,
        source_version_id: str = "",
        source_etag: str = "",
    ) -> Put:
        """Let the server copy an object of its own, (bucket, key), of at most 5 GiB, with these properties.

        All of them are sent anew: a server that takes them from the source loses `Expires`.
        """
        problem = self.problem("copy to", bucket, key)
        headers = {
            **self.property_fields(properties),
            **copy_source(*source, source_version_id, source_etag),
            "x-amz-metadata-directive": "REPLACE",
            "x-amz-tagging-directive": "REPLACE",
        }
        answer = self.transport.whole(Request(problem, "PUT", bucket, named(key), (), headers, step="copy"))
        # The status is sent before the work is done; and a server that cannot copy has written an empty object.
        values = xml_values(problem, answer, "CopyObjectResult")
        return Put(values.get("ETag", "").strip('"'), answer.fields.get("x-amz-version-id", ""))

    def _document(self, problem: str, bucket: str, key: str, name: str, version_id: str) -> Answer | None:
        return flight.alone(self._document_task(problem, bucket, key, name, version_id))

    def _document_task(
        self, problem: str, bucket: str, key: str, name: str, version_id: str
    ) -> flight.Task[Answer | None]:
        query = (*version_query(version_id), (name, ""))
        try:
            return (yield flight.Ask(self.transport, Request(problem, "GET", bucket, named(key), query)))
        except failure.S3Error as error:
            if error.code in _NOT_SET:
                return None
            raise

    def _put(
        self,
        problem: str,
        bucket: str,
        key: str,
        name: str,
        version_id: str,
        root: ET.Element,
        headers: dict[str, str] | None = None,
    ) -> None:
        body: bytes = ET.tostring(root, encoding="utf-8")
        fields = {**(headers or {}), "content-md5": integrity.base64_md5(body)}
        query = (*version_query(version_id), (name, ""))
        self.transport.whole(Request(problem, "PUT", bucket, named(key), query, fields, (body,), step="properties"))


def _root(problem: str, answer: Answer, name: str) -> ET.Element:
    try:
        return listing.parse_xml(answer.body, name)
    except listing.MalformedPage as error:
        raise failure.S3Error(problem, answer.status, failure.BAD_ANSWER, str(error)) from error

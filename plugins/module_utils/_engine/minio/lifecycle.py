# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import datetime as dt
import typing as t
import xml.etree.ElementTree as ET

from ..errors import UsageError
from . import xml_document

_DATE = "%Y-%m-%d"


@dataclasses.dataclass(frozen=True)
class LifecycleRule:
    """One rule of a bucket's lifecycle: which objects, and what happens to them when."""

    id: str = ""  # empty: the server chooses one
    enabled: bool = True
    prefix: str = ""  # only keys that begin with it; empty: all
    tags: tuple[tuple[str, str], ...] = ()  # only objects that have all of them; sorted
    min_size: int | None = None  # bytes; only objects greater than this
    max_size: int | None = None  # bytes; only objects smaller than this
    expiration_days: int | None = None  # days after an object was written
    expiration_date: str = ""  # YYYY-MM-DD, at midnight UTC
    expired_object_delete_marker: bool = False  # a delete marker that is alone goes away
    noncurrent_days: int | None = None  # days after a version became noncurrent
    newer_noncurrent_versions: int | None = None  # this many newest noncurrent versions stay in any case
    abort_multipart_days: int | None = None  # days after a multipart upload began
    transition_days: int | None = None  # days after an object was written
    transition_class: str = ""  # storage class, or MinIO's tier
    noncurrent_transition_days: int | None = None  # days after a version became noncurrent
    noncurrent_transition_class: str = ""
    other: tuple[str, ...] = ()  # what else a server's rule says, as canonical XML; never wanted, so never equal

    def meaning(self) -> LifecycleRule:
        """Return the rule without its name."""
        return dataclasses.replace(self, id="")


# Where the numbers of a rule stand in the document: (element with its parent, field).
_NUMBERS = (
    ("Expiration/Days", "expiration_days"),
    ("NoncurrentVersionExpiration/NoncurrentDays", "noncurrent_days"),
    ("NoncurrentVersionExpiration/NewerNoncurrentVersions", "newer_noncurrent_versions"),
    ("AbortIncompleteMultipartUpload/DaysAfterInitiation", "abort_multipart_days"),
    ("Transition/Days", "transition_days"),
    ("NoncurrentVersionTransition/NoncurrentDays", "noncurrent_transition_days"),
)
_CLASSES = (
    ("Transition/StorageClass", "transition_class"),
    ("NoncurrentVersionTransition/StorageClass", "noncurrent_transition_class"),
)


def same(wanted: t.Sequence[LifecycleRule], found: t.Sequence[LifecycleRule]) -> bool:
    """Say whether two lifecycles mean the same: in any order, a wanted rule without id matches any id."""
    if len(wanted) != len(found):
        return False
    left = list(found)
    for rule in sorted(wanted, key=lambda item: not item.id):  # named rules first: they have only one match
        match = next((item for item in left if (item if rule.id else item.meaning()) == rule), None)
        if match is None:
            return False
        left.remove(match)
    return True


def shown(rule: LifecycleRule) -> dict[str, t.Any]:
    """Return a rule as plain JSON values, without what it leaves open."""
    said: dict[str, t.Any] = {"id": rule.id} if rule.id else {}
    said["enabled"] = rule.enabled
    for field in dataclasses.fields(rule):
        value = getattr(rule, field.name)
        if field.name not in said and value != field.default:
            said[field.name] = dict(value) if field.name == "tags" else value
    return said


def check(rules: t.Sequence[LifecycleRule], bucket: str) -> None:
    """Refuse what no server accepts, before anything is changed. Raises UsageError."""
    ids = [rule.id for rule in rules if rule.id]
    meanings = [rule.meaning() for rule in rules]
    for number, rule in enumerate(rules, 1):
        name = rule.id or f"number {number}"
        fault = _fault(rule)
        if ids.count(rule.id) > 1:
            fault = "its id is used twice"
        elif meanings.count(rule.meaning()) > 1 and not rule.id:
            fault = "another rule says the same"
        if fault:
            raise UsageError(
                f"Cannot set the lifecycle of bucket {bucket}", f"rule {name}: {fault}", "correct the rule"
            )


def _fault(rule: LifecycleRule) -> str:
    for _place, field in _NUMBERS:
        value = getattr(rule, field)
        least = 0 if field.endswith("transition_days") else 1
        if value is not None and value < least:
            return f"{field} must be at least {least}"
    expirations = [rule.expiration_days is not None, bool(rule.expiration_date), rule.expired_object_delete_marker]
    if sum(expirations) > 1:
        return "only one of expiration_days, expiration_date and expired_object_delete_marker can be set"
    if (rule.transition_days is not None) != bool(rule.transition_class):
        return "a transition needs days and a storage class"
    if (rule.noncurrent_transition_days is not None) != bool(rule.noncurrent_transition_class):
        return "a noncurrent transition needs days and a storage class"
    if rule.tags and (rule.expired_object_delete_marker or rule.abort_multipart_days is not None):
        return "delete markers and uploads have no tags, so tags cannot select them"
    if len(rule.id) > 255:
        return "its id is longer than 255 characters"
    if rule.meaning() == LifecycleRule(
        enabled=rule.enabled, prefix=rule.prefix, tags=rule.tags, min_size=rule.min_size, max_size=rule.max_size
    ):
        return "it does nothing"
    return _date_fault(rule.expiration_date)


def _date_fault(text: str) -> str:
    try:
        if text:
            dt.datetime.strptime(text, _DATE)
    except ValueError:
        return f"expiration_date {text} is no date like 2030-12-31"
    return ""


def to_xml(rules: t.Sequence[LifecycleRule]) -> bytes:
    """Return the document for PUT ?lifecycle ("PutBucketLifecycleConfiguration", Amazon S3 API)."""
    root = xml_document.root("LifecycleConfiguration")
    for rule in rules:
        node = ET.SubElement(root, "Rule")
        if rule.id:
            xml_document.add(node, "ID", rule.id)
        xml_document.add(node, "Status", "Enabled" if rule.enabled else "Disabled")
        _add_filter(node, rule)
        _add_actions(node, rule)
    return xml_document.to_bytes(root)


def _add_filter(node: ET.Element, rule: LifecycleRule) -> None:
    conditions = bool(rule.prefix) + len(rule.tags) + (rule.min_size is not None) + (rule.max_size is not None)
    place = ET.SubElement(node, "Filter")
    if conditions > 1:
        place = ET.SubElement(place, "And")
    if rule.prefix or conditions == 0:
        xml_document.add(place, "Prefix", rule.prefix)
    for key, value in rule.tags:
        tag = ET.SubElement(place, "Tag")
        xml_document.add(tag, "Key", key)
        xml_document.add(tag, "Value", value)
    for element, size in (("ObjectSizeGreaterThan", rule.min_size), ("ObjectSizeLessThan", rule.max_size)):
        if size is not None:
            xml_document.add(place, element, str(size))


def _add_actions(node: ET.Element, rule: LifecycleRule) -> None:
    parts: dict[str, ET.Element] = {}

    def add(place: str, value: str) -> None:
        parent, element = place.split("/")
        if parent not in parts:
            parts[parent] = ET.SubElement(node, parent)
        xml_document.add(parts[parent], element, value)

    if rule.expiration_date:
        add("Expiration/Date", f"{rule.expiration_date}T00:00:00Z")
    if rule.expired_object_delete_marker:
        add("Expiration/ExpiredObjectDeleteMarker", "true")
    for place, field in _NUMBERS:
        if getattr(rule, field) is not None:
            add(place, str(getattr(rule, field)))
    for place, field in _CLASSES:
        if getattr(rule, field):
            add(place, getattr(rule, field))


def from_xml(data: bytes) -> tuple[LifecycleRule, ...]:
    """Return the rules of a document from GET ?lifecycle, in its order. Raises DamagedError."""
    return tuple(_rule(node) for node in xml_document.parse(data, "LifecycleConfiguration").findall("Rule"))


def _rule(node: ET.Element) -> LifecycleRule:
    taken = xml_document.Reader(node)
    fields: dict[str, t.Any] = {"id": taken.text("ID"), "enabled": taken.text("Status") == "Enabled"}
    # The filter stands below Filter, Filter/And, or (the first form of the API) directly in the rule.
    places = ("", "Filter/", "Filter/And/")
    fields["prefix"] = "".join(taken.text(f"{place}Prefix") for place in places)
    fields["tags"] = tuple(sorted(tag for place in places for tag in taken.tags(f"{place}Tag")))
    for element, field in (("ObjectSizeGreaterThan", "min_size"), ("ObjectSizeLessThan", "max_size")):
        sizes = [taken.number(f"{place}{element}") for place in places]
        fields[field] = next((size for size in sizes if size is not None), None)
    for place, field in _NUMBERS:
        fields[field] = taken.number(place)
    for place, field in _CLASSES:
        fields[field] = taken.text(place)
    # The answer leaves out 0 days of a transition.
    for kind in ("transition", "noncurrent_transition"):
        if fields[f"{kind}_class"] and fields[f"{kind}_days"] is None and node.find("Transition/Date") is None:
            fields[f"{kind}_days"] = 0
    fields["expiration_date"] = _date(taken.text("Expiration/Date"))
    fields["expired_object_delete_marker"] = taken.text("Expiration/ExpiredObjectDeleteMarker") == "true"
    return LifecycleRule(**fields, other=taken.rest())


def _date(text: str) -> str:
    return text[:-10] if text.endswith("T00:00:00Z") else text.replace("T00:00:00.000Z", "")

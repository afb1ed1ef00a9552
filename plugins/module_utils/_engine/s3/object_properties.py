# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
import typing as t
import urllib.parse

from .. import clock
from . import header_text

CONTENT_HEADERS = (
    "content-type",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "expires",
    "x-amz-website-redirect-location",
    "x-amz-storage-class",
)
METADATA = "x-amz-meta-"
_LOCK_MODE = "x-amz-object-lock-mode"
_LOCK_UNTIL = "x-amz-object-lock-retain-until-date"
_LOCK_HOLD = "x-amz-object-lock-legal-hold"
_TELLING = frozenset((*CONTENT_HEADERS, _LOCK_MODE, _LOCK_UNTIL, _LOCK_HOLD))
# What MinIO's listing with metadata leaves out though the object has it.
_NOT_LISTED = ("expires", "x-amz-website-redirect-location")
_USUAL_CLASS = "STANDARD"
_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), check_circular=False).encode


@dataclasses.dataclass(frozen=True)
class Lock:
    """What keeps a version from being deleted; without a member it is not set."""

    mode: str = ""  # GOVERNANCE | COMPLIANCE
    until: str = ""  # 2027-01-01T00:00:00.000000Z
    hold: bool = False  # legal hold

    @property
    def retains(self) -> bool:
        return bool(self.mode and self.until)


NO_LOCK = Lock()


@dataclasses.dataclass(frozen=True)
class ObjectProperties:
    """What an object has besides its bytes."""

    headers: t.Mapping[str, str] = dataclasses.field(default_factory=dict)  # of CONTENT_HEADERS, as they are sent
    metadata: t.Mapping[str, str] = dataclasses.field(default_factory=dict)  # user metadata: small names, true text
    tags: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    lock: Lock = NO_LOCK

    def digest(self) -> str:
        """Return a digest of all that MinIO's listing shows of it."""
        headers = {name: value for name, value in self.headers.items() if name not in _NOT_LISTED}
        lock = self.lock
        text = _canonical([headers, dict(self.metadata), dict(self.tags), (lock.mode, lock.until, lock.hold)])
        return hashlib.sha256(text.encode("ascii")).hexdigest()[:32]


def telling(fields: t.Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return those headers of a HEAD or GET that `from_fields` reads."""
    return tuple([pair for pair in fields.items() if pair[0] in _TELLING or pair[0].startswith(METADATA)])


def from_fields(fields: t.Mapping[str, str], tags: t.Mapping[str, str] | None = None) -> ObjectProperties:
    """Read the properties from the headers of a HEAD or GET; these say only how many tags there are."""
    metadata = {
        name[len(METADATA) :]: header_text.decoded(value) for name, value in fields.items() if name.startswith(METADATA)
    }
    return ObjectProperties(_content(fields, header_text.true_text), metadata, dict(tags or {}), _lock(fields))


def from_listing(fields: t.Mapping[str, str], tags: str) -> ObjectProperties:
    """Read the properties from an entry of MinIO's listing with metadata; `fields` by lower-case name, `tags` as in a
    query.
    """
    metadata = {
        name[len(METADATA) :]: header_text.decoded(value) for name, value in fields.items() if name.startswith(METADATA)
    }
    return ObjectProperties(_content(fields, str), metadata, tags_from_query(tags), _lock(fields))


def to_fields(properties: ObjectProperties, *, encodes_metadata: bool = False) -> dict[str, str]:
    """Return the headers with which an object is written with all its properties, tags and lock included.

    `encodes_metadata` writes user metadata that is not ASCII as encoded words, as AWS needs it; others keep raw UTF-8.
    """
    write = header_text.encoded if encodes_metadata else str
    fields = dict(properties.headers)
    fields.update({METADATA + name: write(value) for name, value in properties.metadata.items()})
    if properties.tags:
        fields["x-amz-tagging"] = tags_to_query(properties.tags)
    lock = properties.lock
    if lock.retains:
        fields.update({_LOCK_MODE: lock.mode, _LOCK_UNTIL: until_text(lock.until)})
    if lock.hold:
        fields[_LOCK_HOLD] = "ON"
    return fields


def tagging_count(fields: t.Mapping[str, str]) -> int:
    """Return how many tags an object has, by the headers of a HEAD or GET."""
    count = fields.get("x-amz-tagging-count", "")
    return int(count) if count.isdigit() else 0


def tags_from_query(text: str) -> dict[str, str]:
    """Read tags as they stand in `x-amz-tagging` and in MinIO's listing."""
    return dict(urllib.parse.parse_qsl(text, keep_blank_values=True)) if text else {}  # most objects have none


def tags_to_query(tags: t.Mapping[str, str]) -> str:
    """Return tags as `x-amz-tagging` wants them."""
    return urllib.parse.urlencode(list(tags.items()), quote_via=urllib.parse.quote, safe="")


def until_text(until: str) -> str:
    """Return the end of a retention as the lock headers and documents want it: milliseconds."""
    return f"{until[:-4]}Z" if len(until) == len("2027-01-01T00:00:00.000000Z") else until


def moment_text(text: str) -> str:
    """Return a time of a server, whose fraction may have any length, in the form of all our times."""
    try:
        return clock.to_text(clock.from_text(text))
    except ValueError:
        pass
    whole, _dot, fraction = text.rstrip("Z").partition(".")
    try:
        begun = dt.datetime.strptime(whole, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=clock.UTC)
        return clock.to_text(begun + dt.timedelta(microseconds=int(fraction[:6].ljust(6, "0"))))
    except ValueError:
        return text


def _content(fields: t.Mapping[str, str], read: t.Callable[[str], str]) -> dict[str, str]:
    found = {name: read(fields[name]) for name in CONTENT_HEADERS if name in fields and fields[name]}
    if found.get("x-amz-storage-class") == _USUAL_CLASS:
        del found["x-amz-storage-class"]
    return found


def _lock(fields: t.Mapping[str, str]) -> Lock:
    if _LOCK_MODE not in fields and _LOCK_HOLD not in fields:
        return NO_LOCK
    mode, until = fields.get(_LOCK_MODE, ""), fields.get(_LOCK_UNTIL, "")
    hold = fields.get(_LOCK_HOLD, "").upper() == "ON"
    return Lock(mode.upper(), moment_text(until), hold) if mode and until else Lock(hold=hold)

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import typing as t

Properties = t.Mapping[str, t.Any]  # what docs/format.md, "Properties", lists; members without a value are left out
# Made once: `json.dumps` with options makes one each time, a quarter of what a row costs.
_as_json = json.JSONEncoder(separators=(",", ":"), sort_keys=True, check_circular=False).encode


class Item(t.NamedTuple):
    """One line of a source's listing; what is equal in all of it is taken for unchanged."""

    key: str  # opaque; bytes that are no UTF-8 are surrogate escapes
    size: int  # bytes
    etag: str  # bucket: without quotes, opaque; directory: inode and change time; empty where there is none
    modified: str  # bucket: the server's clock, 2026-11-21T02:36:20.639906Z; directory: nanoseconds since 1970
    attributes: str = ""  # digest of what else the listing shows; empty: nothing; `?`: it is found out when it is read


class Location(t.NamedTuple):
    """Where the bytes of an object lie: in frames of a pack that follow each other."""

    owner: str  # id of the backup that wrote the pack
    pack: int  # number of the pack in that backup, from 0
    offset: int  # of the first frame, in compressed bytes
    length: int  # of all its frames, in compressed bytes
    inside: int  # of the object's first byte, in the plain bytes of these frames


class Row(t.NamedTuple):
    """One object in an index; a tuple, because there can be millions."""

    key: str
    size: int  # bytes
    etag: str
    modified: str
    attributes: str
    version: str  # id of the version that was read; empty where there are no versions
    sha256: str  # of the object's bytes, hexadecimal; empty where it has none (directories, links)
    location: Location | None  # None where the object has no bytes of its own in a pack
    properties: Properties

    @property
    def item(self) -> Item:
        """Return the line of the listing by which the object was found."""
        return Item(*self[:5])


def order(key: str) -> bytes:
    """Return what keys are ordered by everywhere: their bytes."""
    return key.encode("utf-8", "surrogateescape")


def is_count(value: t.Any) -> bool:
    """Say whether a value of a document is a whole number from 0 on; JSON's booleans are none."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def to_line(row: Row) -> bytes:
    """Return a row as a line of an index: a JSON array, ASCII, ended by a line feed."""
    return _as_json(row).encode("ascii") + b"\n"


def from_line(line: bytes) -> Row:
    """Read a line of an index. Raises ValueError when it is none."""
    fields = json.loads(line)
    if not isinstance(fields, list) or len(fields) != len(Row._fields):
        raise ValueError("it is no row")
    key, size, etag, modified, attributes, version, sha256, place, properties = fields
    texts = (key, etag, modified, attributes, version, sha256)
    if not all(isinstance(text, str) for text in texts) or not isinstance(properties, dict):
        raise ValueError("a member of a row has another type")
    if not is_count(size):
        raise ValueError(f"{size!r} is no size")
    return Row(key, size, etag, modified, attributes, version, sha256, _location(place), properties)


def _location(place: t.Any) -> Location | None:
    if place is None:
        return None
    if not isinstance(place, list) or len(place) != 5 or not isinstance(place[0], str):
        raise ValueError("a location has other members")
    if not all(map(is_count, place[1:])):
        raise ValueError("a location has a number that is none")
    return Location(*place)

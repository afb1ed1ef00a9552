# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import re
import typing as t

from .rows import order

# How keys become names that any tar unpacks safely: docs/format.md, "Packs". A percent sign that is not followed by two
# hexadecimal digits comes from here only, never from a key: keys have theirs escaped.
KEY_FIELD = "LIFEBOAT.key"  # private fields of a pax header: what the name does not tell
COLLECTION_FIELD = "LIFEBOAT.collection"
_ABOVE_OTHERS = "%"  # ends a folder whose name is also that of an object
_EMPTY = "%"
_SHORTENED = "%~"
_LONG = "%long"
_LONGEST_COMPONENT = 200  # bytes; file systems take 255, and two marks may follow
_LONGEST_NAME = 3000  # bytes; PATH_MAX is 4096, and people unpack below a folder of theirs
_PLAIN = re.compile(r"[A-Za-z0-9_!#$&'()*+,:;<=>?@\[\]^`{|}~ \"-][A-Za-z0-9_!#$&'()*+,.:;<=>?@\[\]^`{|}~ \"-]*")
_PLAIN_PATH = re.compile(f"{_PLAIN.pattern}(?:/{_PLAIN.pattern})*")
# C0 and C1 controls, the escape sign, what separates names elsewhere, and bytes that are no UTF-8
_UNSAFE = re.compile("[\0-\x1f\x7f-\x9f%\\\\\ud800-\udfff]")


class MemberName(t.NamedTuple):
    """The name of a member in a pack, and what its header must say besides."""

    name: str
    fields: dict[str, str]  # of the pax header; empty where the name tells everything


class MemberNames:
    """Gives members of one collection their names; keys must come in the order of `rows.order`.

    Two keys never have the same name, and no name lies below that of another member.
    """

    def __init__(self, collection: str) -> None:
        self._folder = _component(collection, is_single=True)
        self._fields = {} if self._folder == collection else {COLLECTION_FIELD: collection}
        self._above: list[str] = []  # earlier keys that the present one begins with

    def name(self, key: str) -> MemberName:
        """Return the name for a key."""
        while self._above and not key.startswith(self._above[-1]):
            self._above.pop()
        # Between an object and those "below" it come only keys that begin with it: none of these was forgotten.
        depths = {above.count("/") for above in self._above if key[len(above) : len(above) + 1] == "/"}
        self._above.append(key)
        is_plain = not depths and len(key) <= _LONGEST_COMPONENT and _PLAIN_PATH.fullmatch(key)
        path = key if is_plain else _path(key, depths)
        fields = self._fields if path == key else {**self._fields, KEY_FIELD: key}
        return MemberName(f"d/{self._folder}/{path}", fields)


def _path(key: str, depths: t.Collection[int]) -> str:
    """Return a name below the folder of the collection; `depths` are those of the folders that objects are above."""
    parts = [_component(part) for part in key.split("/")]
    for depth in depths:
        parts[depth] += _ABOVE_OTHERS
    path = "/".join(parts)
    return path if len(path.encode()) <= _LONGEST_NAME else f"{_LONG}/{_digest(key)}"


def _component(text: str, is_single: bool = False) -> str:
    if _PLAIN.fullmatch(text) and len(text) <= _LONGEST_COMPONENT:
        return text
    if not text:
        return _EMPTY
    escaped = _UNSAFE.sub(_escape, text)
    if is_single:
        escaped = escaped.replace("/", "%2F")
    if text in (".", ".."):
        escaped = text.replace(".", "%2E")
    return escaped if len(escaped.encode()) <= _LONGEST_COMPONENT else _shortened(escaped, text)


def _shortened(escaped: str, text: str) -> str:
    end = _SHORTENED + _digest(text)
    start = escaped.encode()[: _LONGEST_COMPONENT - len(end)].decode("utf-8", "ignore")
    return re.sub("%[0-9A-F]?$", "", start) + end


def _escape(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in order(found[0]))


def _digest(text: str) -> str:
    return hashlib.sha256(order(text)).hexdigest()

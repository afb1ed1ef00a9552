# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import re
import urllib.parse

from .rows import order

PREFIX = "lifeboat-mangled/"
_MOST_KEY = 1024  # bytes (Amazon S3, "Object key naming guidelines")
_MOST_COMPONENT = 255  # bytes: MinIO and gateways keep each as a file name
_READABLE = 150  # bytes of a mangled key's readable part
# Components that MinIO refuses: dots alone, or with blanks around them, also between backslashes.
_DOTS = re.compile(r"\s*\.{1,2}\s*")


def is_refused(key: str, on_aws: bool = False) -> bool:
    """Say whether MinIO or another server refuses a key, or lists it under another name (measured on MinIO and Versity
    Gateway); `on_aws`: whether AWS does, which keeps keys as names and not as paths.
    """
    raw = order(key)
    if not raw or len(raw) > _MOST_KEY or b"\0" in raw or not _is_utf8(raw):
        return True
    if on_aws:
        return any(part in (".", "..") for part in key.split("/"))
    parts = key.split("/")
    if parts[-1] == "":  # a marker of a folder
        parts.pop()
    return any(
        not part or len(order(part)) > _MOST_COMPONENT or part.endswith("__XLDIR__") or _has_dots(part)
        for part in parts
    )


def mangled(key: str) -> str:
    """Return the key under which an object is written whose own key is refused: one for each key, and readable."""
    shown = urllib.parse.quote(order(key), safe="")[:_READABLE].rstrip("%")
    return f"{PREFIX}{hashlib.sha256(order(key)).hexdigest()[:16]}-{shown or 'empty'}"


class Shadows:
    """Finds keys that lie below another object, such as `p/c` below `p`: MinIO keeps both and lists only `p`.

    Keys are seen in the order of `rows.order`, by one thread; a key that does not follow the last one begins anew. Any
    thread may ask whether a key is one of those that were found. Memory: what the last key begins with, and the objects
    that hide others.
    """

    def __init__(self) -> None:
        self._above: list[str] = []  # keys seen that the last one begins with, each beginning with the one before
        self._hiding: frozenset[str] = frozenset()

    def begin(self) -> None:
        """Forget all keys: those of another bucket follow."""
        self._above, self._hiding = [], frozenset()

    def see(self, key: str) -> None:
        """Take the next key."""
        if self._above and order(key) < order(self._above[-1]):
            self.begin()
        while self._above and not key.startswith(self._above[-1]):
            self._above.pop()
        hiding = [above for above in self._above if _lies_below(key, above)]
        if hiding:
            self._hiding |= frozenset(hiding)
        if not self._above or self._above[-1] != key:
            self._above.append(key)

    def hides(self, key: str) -> bool:
        """Say whether a key that was seen lies below another object."""
        hiding = self._hiding
        if not hiding:
            return False
        places = (at for at, sign in enumerate(key) if sign == "/" and 0 < at < len(key) - 1)
        return any(key[:at] in hiding for at in places)


def _lies_below(key: str, above: str) -> bool:
    """Say whether an object `above` hides `key`; `m` and the marker `m/` are both listed."""
    return len(key) > len(above) + 1 and key[len(above)] == "/" and not above.endswith("/")


def _has_dots(part: str) -> bool:
    return any(_DOTS.fullmatch(piece) for piece in part.split("\\"))


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True

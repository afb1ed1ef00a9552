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


def is_refused(key: str) -> bool:
    """Say whether MinIO or another server refuses a key, or lists it under another name (measured on MinIO and Versity
    Gateway).
    """
    raw = order(key)
    if not raw or len(raw) > _MOST_KEY or b"\0" in raw or not _is_utf8(raw):
        return True
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


def _has_dots(part: str) -> bool:
    return any(_DOTS.fullmatch(piece) for piece in part.split("\\"))


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import re
import typing as t

from .rows import order

MARK = "%lb-"  # begins every name that is not the key's own
_LONGEST = 255  # bytes of a name: NAME_MAX of Linux (limits.h)
_SHOWN = 120  # bytes of a name that is replaced which can still be read
_TEMPORARY = re.compile(r"\.lifeboat-[0-9a-f]{16}")
_FIXED = {"": f"{MARK}empty", ".": f"{MARK}dot", "..": f"{MARK}dots"}


def is_temporary(name: str) -> bool:
    """Say whether a name is one of files that are being written (`TreeWriter`)."""
    return _TEMPORARY.fullmatch(name) is not None


def tree_names(key: str, is_exact: bool = False) -> list[str]:
    """Return the names under which a key lies below a directory: of directories, and its own; never one that leads out.

    Each part between slashes is a name. Those that a file system cannot hold are replaced: an empty one by `%lb-empty`,
    `.` by `%lb-dot`, `..` by `%lb-dots`, one with a NUL or of more than 255 bytes by `%lb-hash-<SHA-256>-<its
    beginning>`, and one that could be taken for a replaced or for a temporary one by `%lb-name-<name>`. Different keys
    always get different names. `is_exact`: the key was the path of a file, so a name with our mark is its own. The key
    of the root itself, which is empty, has no names then. Raises ValueError for text that is no key.
    """
    if not key and is_exact:
        return []
    order(key)  # UnicodeEncodeError, a ValueError, for half surrogate pairs
    return [_name(part, is_exact) for part in key.split("/")]


def file_beside(name: str) -> str:
    """Return the name of a file whose own name is that of a directory: the objects `p` and `p/c`."""
    return _fitting(f"{MARK}file-{name}", name)


def directory_beside(name: str) -> str:
    """Return the name of a directory whose own name is that of a file or link."""
    return _fitting(f"{MARK}below-{name}", f"{name}/")


def _name(part: str, is_exact: bool) -> str:
    if part in _FIXED:
        return _FIXED[part]
    if "\0" in part or len(order(part)) > _LONGEST:
        return _hashed(part)
    if is_temporary(part) or (part.startswith(MARK) and not is_exact):
        return _fitting(f"{MARK}name-{part}", part)
    return part


def _fitting(name: str, of: str) -> str:
    return name if len(order(name)) <= _LONGEST else _hashed(of)


def _hashed(part: str) -> str:
    start = order(part.replace("\0", "_"))[:_SHOWN].decode("utf-8", "ignore")
    return f"{MARK}hash-{hashlib.sha256(order(part)).hexdigest()}-{start}"


def shown(key: str) -> str:
    """Return a key for messages: as it is where it can be printed, else with escapes."""
    return key if key.isprintable() else ascii(key)[1:-1]


def parts_of(key: str) -> t.Sequence[bytes]:
    """Return the names of a key that is a path. Raises ValueError for one that could lead out of its root."""
    if not key:
        return ()
    parts = order(key).split(b"/")
    if any(part in (b"", b".", b"..") or b"\0" in part for part in parts):
        raise ValueError("it is no path below a directory")
    return parts

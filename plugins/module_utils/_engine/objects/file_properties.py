# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import binascii
import contextlib
import errno
import functools
import grp
import heapq
import json
import os
import pwd
import stat
import typing as t

from .. import clock
from .rows import Properties, Row

FILE, DIRECTORY, SYMLINK, HARDLINK = "file", "directory", "symlink", "hardlink"
FIFO, CHARACTER, BLOCK = "fifo", "char", "block"
# The extended attribute that keeps what a bucket knew of an object: JSON with the members of OBJECT_MEMBERS.
OBJECT_ATTRIBUTE = "user.lifeboat.properties"
OBJECT_MEMBERS = ("headers", "metadata", "tags")
# The user metadata (x-amz-meta-…) by which the properties of a file can lie in a bucket.
METADATA_NAME = "lifeboat-file"
_FILE_MEMBERS = ("type", "mode", "uid", "gid", "user", "group", "mtime_ns", "target", "xattrs", "holes", "device")
_METADATA_LIMIT = 1_800  # bytes; S3 allows 2 KB for all user metadata ("Object metadata", user-defined)
_TYPES = {
    stat.S_IFREG: FILE,
    stat.S_IFDIR: DIRECTORY,
    stat.S_IFLNK: SYMLINK,
    stat.S_IFIFO: FIFO,
    stat.S_IFCHR: CHARACTER,
    stat.S_IFBLK: BLOCK,
}
_BLOCK_BYTES = 512  # the unit of st_blocks (inode(7))
_SMALLEST_HOLE = 64 * 1024  # bytes; smaller ones win nothing
_MOST_HOLES = 1_000  # the largest are kept: the list lies in the row
_NO_ATTRIBUTES = (errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
_TICK_S = 0.02  # the clock of file times goes on in steps (time(7), jiffies): 10 ms at most
_COARSE_TICK_S = 2.0  # on file systems that keep whole seconds (FAT: two)
_AHEAD_S = 60.0  # that the clock of a file server may be before ours, or ours was set back


def let_settle(facts: os.stat_result) -> None:
    """Wait until the clock of file times has gone on since the last change: a later one must show against `facts`.

    What changes meanwhile must not be looked at anew: it could change once more by the same time.
    """
    tick = _TICK_S if facts.st_ctime_ns % 1_000_000_000 else _COARSE_TICK_S
    age = clock.now().timestamp() - facts.st_ctime_ns / 1e9
    if -_AHEAD_S < age < tick:
        clock.sleep(min(tick - age, tick))


def is_file_row(properties: Properties) -> bool:
    """Say whether properties are those of a file, not of an object of a bucket."""
    return "mode" in properties


def file_type(properties: Properties) -> str:
    """Return the type of a row: `file` for objects of buckets."""
    return str(properties.get("type", FILE))


def type_of(facts: os.stat_result) -> str:
    """Return the type of a file, or nothing for what cannot be backed up (sockets)."""
    return _TYPES.get(stat.S_IFMT(facts.st_mode), "")


def properties_of(facts: os.stat_result, kind: str) -> dict[str, t.Any]:
    """Return the properties that `stat` tells; `kind` is the type."""
    found: dict[str, t.Any] = {
        "mode": stat.S_IMODE(facts.st_mode),
        "uid": facts.st_uid,
        "gid": facts.st_gid,
        "mtime_ns": facts.st_mtime_ns,
    }
    user, group = _user_name(facts.st_uid), _group_name(facts.st_gid)
    found.update({name: text for name, text in (("user", user), ("group", group)) if text})
    if kind != FILE:
        found["type"] = kind
    if kind in (CHARACTER, BLOCK):
        found["device"] = [os.major(facts.st_rdev), os.minor(facts.st_rdev)]
    return found


@functools.lru_cache(maxsize=4096)
def _user_name(number: int) -> str:
    with contextlib.suppress(KeyError):
        return pwd.getpwuid(number).pw_name
    return ""


@functools.lru_cache(maxsize=4096)
def _group_name(number: int) -> str:
    with contextlib.suppress(KeyError):
        return grp.getgrgid(number).gr_name
    return ""


@functools.lru_cache(maxsize=4096)
def user_number(name: str) -> int | None:
    """Return the number that this host has for a user, if it knows the name."""
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(name).pw_uid
    return None


@functools.lru_cache(maxsize=4096)
def group_number(name: str) -> int | None:
    """Return the number that this host has for a group, if it knows the name."""
    with contextlib.suppress(KeyError):
        return grp.getgrnam(name).gr_gid
    return None


def handle(descriptor: int) -> str:
    """Return a path to exactly the open file (proc(5), /proc/pid/fd): for calls that take no descriptor of O_PATH."""
    return f"/proc/self/fd/{descriptor}"


def extended_attributes(path: str) -> dict[str, bytes]:
    """Return the extended attributes, POSIX ACLs among them, of an open file; `path` is its `handle`.

    Where the file system has none the result is empty. Raises OSError.
    """
    found = {}
    try:
        for name in os.listxattr(path):
            with contextlib.suppress(OSError):  # it was removed meanwhile, or is only listed to us
                found[name] = os.getxattr(path, name)
    except OSError as error:
        if error.errno not in _NO_ATTRIBUTES:
            raise
    return found


def attribute_properties(attributes: t.Mapping[str, bytes]) -> dict[str, t.Any]:
    """Return the properties that extended attributes make: themselves, and what a bucket once knew of the object."""
    own = {name: base64.b64encode(value).decode() for name, value in attributes.items() if name != OBJECT_ATTRIBUTE}
    found: dict[str, t.Any] = {"xattrs": own} if own else {}
    with contextlib.suppress(ValueError):  # others can write what they like there
        kept = json.loads(attributes.get(OBJECT_ATTRIBUTE, b"{}"))
        if isinstance(kept, dict):
            found.update({name: kept[name] for name in OBJECT_MEMBERS if _is_texts(kept.get(name))})
    return found


def object_attribute(properties: Properties) -> bytes:
    """Return what OBJECT_ATTRIBUTE holds for an object of a bucket; empty where there is nothing to keep."""
    kept = {name: properties[name] for name in OBJECT_MEMBERS if properties.get(name)}
    return json.dumps(kept, separators=(",", ":"), sort_keys=True).encode("ascii") if kept else b""


def _is_texts(value: t.Any) -> bool:
    return isinstance(value, dict) and bool(value) and all(isinstance(text, str) for text in value.values())


def holes_of(descriptor: int, facts: os.stat_result) -> list[list[int]]:
    """Return [offset, length] of the largest 1,000 holes of a regular file (lseek(2), SEEK_HOLE), from 64 KiB on."""
    if facts.st_blocks * _BLOCK_BYTES >= facts.st_size:
        return []
    try:
        found = heapq.nlargest(_MOST_HOLES, ((length, at) for at, length in _holes(descriptor, facts.st_size)))
    except OSError as error:
        if error.errno in (errno.EINVAL, *_NO_ATTRIBUTES):  # a file system that does not tell
            return []
        raise
    return [[at, length] for at, length in sorted((at, length) for length, at in found)]


def _holes(descriptor: int, size: int) -> t.Iterator[tuple[int, int]]:
    at = 0
    while at < size:
        start = os.lseek(descriptor, at, os.SEEK_HOLE)
        try:
            at = os.lseek(descriptor, start, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            at = size
        if at - start >= _SMALLEST_HOLE and start < size:
            yield start, min(at, size) - start


def as_metadata(properties: Properties) -> tuple[str, tuple[str, ...]]:
    """Return the properties of a file as the value of METADATA_NAME, and the members that it has no room for.

    The value is JSON in ASCII with the members that docs/format.md lists for files. Holes are left out first, as they
    can be found again, then extended attributes, then the target of a link.
    """
    kept = {name: properties[name] for name in _FILE_MEMBERS if name in properties}
    left_out = []
    text = _compact(kept)
    for name in ("holes", "xattrs", "target"):
        if len(text) > _METADATA_LIMIT and kept.pop(name, None) is not None:
            left_out.append(name)
            text = _compact(kept)
    return text, tuple(left_out)


def _compact(value: t.Any) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


def from_metadata(text: str) -> Properties:
    """Read what `as_metadata` wrote. Raises ValueError: anybody who may write to the bucket can write this."""
    found = json.loads(text)
    if not isinstance(found, dict) or not set(found) <= set(_FILE_MEMBERS):
        raise ValueError("these are no properties of a file")
    check(found)
    return found


def check(properties: Properties) -> None:
    """Raise ValueError unless the properties of a file have the types and ranges that docs/format.md gives."""
    numbers = {"mode": 0o7777, "uid": 2**32 - 2, "gid": 2**32 - 2, "mtime_ns": 2**63 - 1}
    for name, highest in numbers.items():
        lowest = -(2**63) if name == "mtime_ns" else 0
        if not _is_number(properties.get(name), lowest, highest):
            raise ValueError(f"{name} is missing, or no number in its range")
    if any(not isinstance(properties.get(name, ""), str) for name in ("user", "group", "target", "type")):
        raise ValueError("a member that must be text is none")
    kind = file_type(properties)
    if kind not in (*_TYPES.values(), HARDLINK):
        raise ValueError(f"there is no type {kind}")
    if kind in (SYMLINK, HARDLINK) and "target" not in properties:
        raise ValueError("a link without a target")
    _check_pairs(properties.get("holes", []))
    if kind in (CHARACTER, BLOCK):
        _check_pairs([properties.get("device")])
    attributes_in(properties)


def _check_pairs(pairs: t.Any) -> None:
    if not isinstance(pairs, list) or not all(
        isinstance(pair, list) and len(pair) == 2 and all(_is_number(each, 0, 2**63 - 1) for each in pair)
        for pair in pairs
    ):
        raise ValueError("holes or device are not pairs of numbers")


def _is_number(value: t.Any, lowest: int, highest: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and lowest <= value <= highest


def attributes_in(properties: Properties) -> dict[str, bytes]:
    """Return the extended attributes of a row. Raises ValueError."""
    texts = properties.get("xattrs", {})
    if not isinstance(texts, dict):
        raise ValueError("xattrs is no object")
    try:
        return {str(name): base64.b64decode(text, validate=True) for name, text in texts.items()}
    except (TypeError, binascii.Error) as error:
        raise ValueError("an extended attribute is not in base64") from error


def as_file(link: Row, first: Row) -> Row:
    """Return a row for a hard link that is restored without its first name: the bytes of `first` under its own key."""
    return first._replace(key=link.key)

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import os
import stat
import typing as t

from .. import clock
from . import file_properties as fp
from .rows import Properties, Row

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=clock.UTC)
_OURS = ("user.", "system.posix_acl_")  # attributes that are removed where a row has none of them
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.E2BIG, errno.ERANGE)
_SETUID_AND_SETGID = stat.S_ISUID | stat.S_ISGID


class PropertyWriter:
    """Gives files their owners, modes, extended attributes and times; what is refused becomes a remark.

    Files are named by open descriptors (O_PATH is enough), so that nothing else can be put in their place.
    """

    def __init__(self, numeric_owners: bool = False, object_mode: int = 0o600) -> None:
        self._numeric_owners = numeric_owners  # by number even where this host knows the name under another one
        self._object_mode = object_mode  # of objects of buckets, which have none
        self.is_privileged = os.geteuid() == 0

    def give(self, descriptor: int, row: Row) -> tuple[str, ...]:
        """Give an open file what its row says, the time of its last change at last, and return remarks.

        Raises OSError where the file system itself fails.
        """
        path = fp.handle(descriptor)
        if not fp.is_file_row(row.properties):
            return tuple(self._object(path, row))
        return tuple(self._file(path, os.fstat(descriptor), row.properties))

    def _object(self, path: str, row: Row) -> t.Iterator[str]:
        kept = fp.object_attribute(row.properties)
        yield from _attributes(path, {fp.OBJECT_ATTRIBUTE: kept} if kept else {})
        if row.properties.get("lock"):
            yield "its lock is not kept: files have none"
        os.chmod(path, self._object_mode)
        moment = modified_ns(row)
        if moment is not None:
            os.utime(path, ns=(moment, moment))

    def _file(self, path: str, facts: os.stat_result, properties: Properties) -> t.Iterator[str]:
        yield from self._own(path, facts, properties)
        wanted = fp.attributes_in(properties)
        kept = fp.object_attribute(properties)
        yield from _attributes(path, {**wanted, fp.OBJECT_ATTRIBUTE: kept} if kept else wanted)
        if not stat.S_ISLNK(facts.st_mode):
            yield from self._mode(path, properties)
        os.utime(path, ns=(properties["mtime_ns"], properties["mtime_ns"]))

    def owner_of(self, properties: Properties) -> tuple[int, int]:
        """Return the numbers of the user and group that a file is to have on this host: by name where it is known."""
        uid, gid = properties["uid"], properties["gid"]
        if self._numeric_owners:
            return uid, gid
        user, group = fp.user_number(properties.get("user", "")), fp.group_number(properties.get("group", ""))
        return uid if user is None else user, gid if group is None else group

    def _own(self, path: str, facts: os.stat_result, properties: Properties) -> t.Iterator[str]:
        uid, gid = self.owner_of(properties)
        wanted = (uid if uid != facts.st_uid else -1, gid if gid != facts.st_gid else -1)
        if wanted == (-1, -1):
            return
        try:
            os.chown(path, *wanted)
            return
        except OSError as error:
            words = _tolerated(error)
        if wanted[1] != -1:
            with contextlib.suppress(OSError):  # one of our own groups
                os.chown(path, -1, gid)
                if wanted[0] == -1:
                    return
        user, group = properties.get("user") or uid, properties.get("group") or gid
        yield f"its owner is not {user}:{group}: {words}"

    def _mode(self, path: str, properties: Properties) -> t.Iterator[str]:
        mode, facts = properties["mode"], os.stat(path)
        uid, gid = self.owner_of(properties)
        # With another owner these would give somebody else's rights away.
        forbidden = (stat.S_ISUID if facts.st_uid != uid else 0) | (stat.S_ISGID if facts.st_gid != gid else 0)
        if mode & forbidden:
            yield f"its mode is {mode & ~forbidden:04o} and not {mode:04o}: it has another owner"
        try:
            os.chmod(path, mode & ~forbidden)
        except OSError as error:
            yield f"its mode is not {mode:04o}: {_tolerated(error)}"

    def facts_of(self, properties: Properties) -> str:
        """Return owner and mode of a row as `facts` writes those of the file that it would become here."""
        uid, gid = self.owner_of(properties)
        return self._facts(fp.file_type(properties), properties["mode"], uid, gid)

    def facts(self, kind: str, found: os.stat_result) -> str:
        """Return owner and mode of a file for a comparison, without what we could not set anyway."""
        return self._facts(kind, stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid)

    def _facts(self, kind: str, mode: int, uid: int, gid: int) -> str:
        if kind == fp.SYMLINK:  # has no mode of its own
            mode = 0
        if self.is_privileged:
            return f"{mode:o}:{uid}:{gid}"
        return f"{mode & ~_SETUID_AND_SETGID:o}"


def modified_ns(row: Row) -> int | None:
    """Return when an object was last changed, in nanoseconds since 1970, if its row tells."""
    if fp.is_file_row(row.properties):
        return int(row.properties["mtime_ns"])
    try:
        return (clock.from_text(row.modified) - _EPOCH) // dt.timedelta(microseconds=1) * 1000
    except ValueError:
        return None


def _attributes(path: str, wanted: t.Mapping[str, bytes]) -> t.Iterator[str]:
    """Set extended attributes, and remove others that belong to users."""
    there = fp.extended_attributes(path)
    for name in there:
        if name not in wanted and name.startswith(_OURS):
            try:
                os.removexattr(path, name)
            except OSError as error:
                yield f"its attribute {name} stays: {_tolerated(error)}"
    for name, value in wanted.items():
        if there.get(name) != value:
            try:
                os.setxattr(path, name, value)
            except OSError as error:
                yield f"{_what(name)} is not kept: {_tolerated(error)}"


def _what(name: str) -> str:
    if name == fp.OBJECT_ATTRIBUTE:
        return "what the bucket knew of it (headers, metadata, tags)"
    return f"its attribute {name}"


def _tolerated(error: OSError) -> str:
    """Return the words of an error that concerns a property of one file. Raises others."""
    if error.errno in (errno.EIO, errno.EROFS, errno.ESTALE, errno.ENOTCONN):
        raise error
    return "no room for it" if error.errno in _FULL else error.strerror or str(error)

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import functools
import json
import types
import typing as t

from ..errors import DamagedError, UsageError
from .file_properties import BLOCK, CHARACTER, DIRECTORY
from .patterns import Patterns
from .rows import Item

SOCKET = "socket"  # attributes of a socket in the listing of a target; no backup has one

HasRows = t.Callable[[str], bool]  # says whether a backup has anything whose key begins so
OnMount = t.Callable[[str], None]  # hears of the key where another file system begins


def _nobody(_key: str) -> None:
    """Hear of a file system, and do nothing."""


@dataclasses.dataclass(frozen=True)
class Scope:
    """What of its source a backup was to have; the rest is unknown to it, not gone."""

    prefix: str = ""  # of the keys of a bucket
    exclude: tuple[str, ...] = ()  # patterns (`Patterns`)
    include: tuple[str, ...] = ()
    one_file_system: bool = False
    devices: bool = False
    # Collection and key of directories that were not entered, because other file systems were mounted there.
    mounts: tuple[tuple[str, str], ...] = ()

    @functools.cached_property
    def _patterns(self) -> Patterns:
        return Patterns(self.exclude, self.include)

    def why_without(self, item: Item) -> str:
        """Return why a backup cannot have what is listed at a target; nothing where it would have it."""
        if not item.key.startswith(self.prefix):
            return "the job backs up other keys"
        if item.attributes == SOCKET or (item.attributes in (CHARACTER, BLOCK) and not self.devices):
            return "it is a socket or a device, which the job leaves out"
        if (self.exclude or self.include) and not self._is_wanted(item.key, item.attributes == DIRECTORY):
            return "the patterns of the job leave it out"
        return ""

    def _is_wanted(self, key: str, is_directory: bool) -> bool:
        at = key.find("/")
        while at >= 0:  # a directory that is left out is never entered
            if at and not self._patterns.is_wanted(key[:at], True):
                return False
            at = key.find("/", at + 1)
        return self._patterns.is_wanted(key.rstrip("/"), is_directory or key.endswith("/"))

    def to_bytes(self) -> bytes:
        """Return the stored file `scope.json`; nothing for a backup that has all there was."""
        fields = dataclasses.asdict(self)
        del fields["prefix"]  # the manifest has it
        if not any(fields.values()):
            return b""
        if not self.mounts:
            del fields["mounts"]
        return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode("ascii")

    @classmethod
    def from_bytes(cls, data: bytes, what: str) -> Scope:
        """Read the stored file `scope.json`. Raises DamagedError."""
        try:
            fields = json.loads(data)
            exclude, include = tuple(fields.get("exclude", ())), tuple(fields.get("include", ()))
            mounts = tuple((collection, key) for collection, key in fields.get("mounts", ()))
            if not all(
                isinstance(text, str) for text in (*exclude, *include, *(each for pair in mounts for each in pair))
            ):
                raise ValueError("a pattern or a place is no text")
            flags = (fields.get("one_file_system") is True, fields.get("devices") is True)
            found = cls("", exclude, include, *flags, mounts)
            Patterns(exclude, include)
        except (AttributeError, TypeError, ValueError, UsageError) as error:
            raise DamagedError(f"Cannot read {what}", f"damaged: {error}", "use another copy of it") from error
        return found


@t.runtime_checkable
class Scoped(t.Protocol):
    """A source that leaves out what somebody said."""

    def scope(self) -> Scope:
        """Return what is backed up of it."""


class Boundary:
    """What an exact restore leaves alone at a target, although the backup does not have it.

    `unknown` are keys of what the backup cannot know, with all below, and why. The listing tells of the file systems
    that it finds mounted below, and asks which directories it is to enter.
    """

    def __init__(
        self,
        scope: Scope,
        has_rows: HasRows,
        on_mount: OnMount = _nobody,
        unknown: t.Mapping[str, str] = types.MappingProxyType({}),
    ) -> None:
        self._scope = scope
        self._has_rows = has_rows
        self._on_mount = on_mount
        self._unknown = unknown
        self._mounts: list[str] = []  # keys of directories where other file systems begin
        self._apart: list[str] = []  # keys of directories that other collections are restored to

    def add_mount(self, key: str) -> None:
        """Note that another file system than that of the root begins at a key."""
        if not self._is_mounted(key):
            self._mounts.append(key)
            self._on_mount(key)

    def add_apart(self, key: str) -> None:
        """Note that what lies at a key, and below, is the matter of another collection."""
        self._apart.append(key)

    def _is_mounted(self, key: str) -> bool:
        return _is_in(key, self._mounts)

    def why_left(self, item: Item) -> str:
        """Return why something stays; nothing where it may go."""
        if self._is_mounted(item.key):
            return "it lies on a file system that is mounted there"
        if _is_in(item.key, self._apart):
            return "another part of the backup is restored there"
        return self._why_unknown(item.key) or self._scope.why_without(item)

    def _why_unknown(self, key: str) -> str:
        if self._unknown:
            while key and key not in self._unknown:
                key = key.rpartition("/")[0]
        return self._unknown.get(key, "")

    def is_entered(self, item: Item) -> bool:
        """Say whether a directory is of interest: it may go, or something of the backup may lie below it."""
        return not item.key or not self.why_left(item) or self._has_rows(f"{item.key}/")


def _is_in(key: str, places: t.Iterable[str]) -> bool:
    return any(key == place or key.startswith(f"{place}/") for place in places)

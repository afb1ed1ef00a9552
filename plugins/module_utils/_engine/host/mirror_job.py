# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is to be mirrored, and how."""

from __future__ import annotations

import dataclasses

from ..errors import UsageError
from ..objects import mirror_guards
from ..objects.mirror_guards import Location
from ..s3.endpoint import Endpoint

THREADS = 16  # objects at once, unless somebody says otherwise
MOST_THREADS = 128


@dataclasses.dataclass(frozen=True)
class Side:
    """A source or a target, as people describe it."""

    name: str  # empty: its path, or s3://bucket/prefix
    endpoint: Endpoint | None = None  # None: a directory
    bucket: str = ""
    path: str = ""  # a directory, or the prefix in the bucket

    @property
    def location(self) -> Location:
        """Return where it lies; a prefix is that of a folder: it ends with a slash."""
        if self.endpoint is None:
            return Location(self.name or self.path, path=self.path)
        prefix = self.path.strip("/")
        name = self.name or f"s3://{self.bucket}/{prefix}".rstrip("/")
        return Location(name, self.endpoint, self.bucket, f"{prefix}/" if prefix else "")


@dataclasses.dataclass(frozen=True)
class MirrorJob:
    """A mirror that is to be made or compared."""

    source: Side
    targets: tuple[Side, ...]
    allowed: frozenset[str] = frozenset()  # names of mirror_guards.GUARDS that do not refuse this time
    threads: int = THREADS
    bytes_per_s: int = 0  # 0: as fast as it goes
    keeps_overwritten: bool = True
    compares_properties: bool = False  # looks at every object where listings do not show tags and metadata
    plan_file: str = ""

    def __post_init__(self) -> None:
        problem = "Cannot mirror like this"
        if not self.targets:
            raise UsageError(problem, "there is no target", "name at least one")
        if not 1 <= self.threads <= MOST_THREADS:
            raise UsageError(problem, f"threads is {self.threads}", f"use 1 to {MOST_THREADS}")
        if self.bytes_per_s < 0:
            raise UsageError(problem, f"bandwidth is {self.bytes_per_s}", "use a number of bytes per second, or 0")
        names = [side.location.name for side in (self.source, *self.targets)]
        twins = sorted({name for name in names if names.count(name) > 1})
        if twins:
            raise UsageError(problem, f"{', '.join(twins)} is there more than once", "give each side a name of its own")
        if self.source.endpoint is None and any(side.endpoint is None for side in self.targets):
            raise UsageError(problem, "source and target are directories", "mirror to a bucket, or use rsync")
        unknown = sorted(self.allowed - set(mirror_guards.GUARDS))
        if unknown:
            raise UsageError(problem, f"no guard is called {unknown[0]}", f"use {', '.join(mirror_guards.GUARDS)}")

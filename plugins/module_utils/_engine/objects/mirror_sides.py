# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import collections
import dataclasses
import typing as t

from ..s3.object_properties import ObjectProperties
from .mirror_guards import Location
from .mirror_plan import Verdict
from .rows import Item

QUARANTINE = ".lifeboat-quarantine/"  # what a mirror would destroy is moved under it; it takes no part in mirrors


@dataclasses.dataclass(frozen=True)
class Subject:
    """An object of the source as it is now, which may be newer than the listing."""

    item: Item
    properties: ObjectProperties
    part_sizes: tuple[int, ...] = ()  # bytes of each part; empty: it was written by one request, or nobody knows
    comparable: bool = True  # its ETag follows from its bytes and parts; not with KMS keys, and not in a directory


class MirrorSource(t.Protocol):
    """The side that is read. Several threads may use it.

    All methods raise LifeboatError; those for one object raise ObjectError where only that object is concerned.
    """

    location: Location

    def items(self, *, is_compared: bool = True) -> t.Iterator[Item]:
        """List all objects by their keys below the prefix, in the order of `rows.order`, complete or with an error.

        Without `is_compared` nobody needs their attributes, which take the server time.
        """

    def has(self, key: str) -> bool:
        """Say whether there is such an object now."""

    def read_whole(self, item: Item) -> tuple[Subject, bytes]:
        """Read a small object at once, as it is now. Raises VanishedError, ChangedError where it is not small."""

    def describe(self, item: Item) -> Subject:
        """Look at an object without its bytes. Raises VanishedError."""

    def read_range(self, subject: Subject, offset: int, length: int) -> bytes:
        """Return bytes of exactly this state of an object. Raises VanishedError, ChangedError."""

    def chunks(self, item: Item) -> t.Iterator[bytes]:
        """Yield the bytes of exactly this object. Raises VanishedError, ChangedError."""

    def remarks(self) -> t.Sequence[str]:
        """Say what took no part, in a few lines."""


class Upload(t.Protocol):
    """An object on its way to a target in parts. Nothing can be seen under its key before `finish`."""

    def write(self, number: int, offset: int, data: bytes) -> None:
        """Take a part; `number` counts from 1. Several threads may bring parts, which begin in order."""

    def give_up(self) -> None:
        """Hear that a part will not come: nobody must wait for it any more. Never raises; `abort` follows."""

    def finish(self) -> None:
        """Make the object of all parts."""

    def abort(self) -> None:
        """Drop what came; never raises."""


class MirrorTarget(t.Protocol):
    """The side that is written. Several threads may use it.

    All methods raise LifeboatError; those for one object raise ObjectError where only that object is concerned.
    """

    location: Location
    notes: collections.Counter[str]  # what was kept, and what could not travel; processes add theirs
    is_tree: bool  # keys are paths here: there cannot be `a` and `a/b`

    @property
    def copies(self) -> bool:
        """Say whether `copy` may work: source and target are one server's."""

    @property
    def quarantine(self) -> str:
        """Return where lies what this run kept; empty when it kept nothing."""

    def items(self) -> t.Iterator[Item]:
        """List what is there, as a source does; nothing where there is no such place yet."""

    def wants(self, item: Item) -> bool:
        """Say whether an object that is not here has a place here at all."""

    def judge(self, item: Item, own: Item) -> Verdict:
        """Compare the source's item with what is here, as far as listings tell."""

    def look(self, source: MirrorSource, item: Item, own: Item) -> bool:
        """Say whether what is here is what the source has, by requests."""

    def prepare(self) -> None:
        """Make sure that the place is there and can be written to."""

    def keep(self, own: Item) -> None:
        """Save what is here from being overwritten or removed; nothing to do where old versions are kept."""

    def put(self, subject: Subject, data: bytes) -> None:
        """Write an object of a few bytes with its properties."""

    def begin(self, subject: Subject) -> Upload:
        """Begin to write an object in the parts that `parts_of` names."""

    def copy(self, subject: Subject) -> bool:
        """Let the server copy the object by itself; False where it cannot."""

    def remove(self, own: Item) -> None:
        """Remove an object that `keep` has saved: by a delete marker, or for good where it was moved away."""

    def settle(self) -> None:
        """Make durable what this process has written or removed."""

    def chunks(self, own: Item) -> t.Iterator[bytes]:
        """Yield the bytes of exactly this object. Raises VanishedError, ChangedError."""

    def remarks(self) -> t.Sequence[str]:
        """Say what could not travel here, in a few lines."""

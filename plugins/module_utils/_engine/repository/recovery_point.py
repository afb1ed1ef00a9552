# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which backups of several jobs belong together: docs/format.md, "Recovery point"."""

from __future__ import annotations

import dataclasses
import datetime as dt
import typing as t

from .. import clock
from ..errors import DamagedError
from ..steps import reached
from . import json_document, layout
from .keys import Keys
from .lease import Permit
from .manifest import StoredFile
from .removal import remove_all
from .store import ExistsError, Store

_PURPOSE = "point"  # of the signature


@dataclasses.dataclass(frozen=True)
class Member:
    """A backup that belongs to a point."""

    job: str
    kind: str
    backup: str  # id
    started: dt.datetime  # what the backup holds is of a moment between these two, by the clock of its repository
    finished: dt.datetime

    def fields(self) -> json_document.Fields:
        times = {"started": clock.to_text(self.started), "finished": clock.to_text(self.finished)}
        return {**dataclasses.asdict(self), **times}

    @classmethod
    def from_fields(cls, fields: t.Mapping[str, t.Any]) -> Member:
        times = {name: clock.from_text(fields[name]) for name in ("started", "finished")}
        return cls(str(fields["job"]), str(fields["kind"]), _checked_id(fields["backup"]), **times)


@dataclasses.dataclass(frozen=True)
class Reference:
    """What a comparison of keys in a database with objects of the same point found."""

    name: str
    database: str  # member whose database named the keys
    objects: str  # member whose backup is to have them
    keys: int = 0  # that the database named
    missing: int = 0  # of them without an object
    problem: str = ""  # why they could not be compared; empty: they were
    listed: StoredFile | None = None  # the missing keys, in the data folder of the point; None: there are none

    @property
    def is_good(self) -> bool:
        return not self.missing and not self.problem

    @property
    def words(self) -> str:
        """Return what was found, for people."""
        if self.problem:
            return f"reference {self.name} could not be checked: {self.problem}"
        return (
            f"reference {self.name}: {self.missing:,} of {self.keys:,} keys of {self.database} are not in the backup "
            f"of {self.objects}"
        )

    def fields(self) -> json_document.Fields:
        return {**dataclasses.asdict(self), "listed": self.listed.fields() if self.listed else None}

    @classmethod
    def from_fields(cls, fields: t.Mapping[str, t.Any]) -> Reference:
        listed = fields["listed"]
        return cls(
            name=str(fields["name"]),
            database=str(fields["database"]),
            objects=str(fields["objects"]),
            keys=_count(fields["keys"]),
            missing=_count(fields["missing"]),
            problem=str(fields["problem"]),
            listed=None if listed is None else StoredFile.from_fields(listed),
        )


@dataclasses.dataclass(frozen=True)
class Point:
    """Backups of several jobs that were made by one run, and can be restored together."""

    name: str  # of the set
    id: str
    started: dt.datetime  # of the run, by the clock of the repository that the point was first recorded in
    finished: dt.datetime
    host: str
    members: tuple[Member, ...]  # in the order in which they ran
    references: tuple[Reference, ...] = ()

    @property
    def spans(self) -> tuple[dt.datetime, dt.datetime]:
        """Return the first and the last moment that the members tell of."""
        return min(each.started for each in self.members), max(each.finished for each in self.members)

    @property
    def problems(self) -> tuple[str, ...]:
        """Return what the references of the point say against it."""
        return tuple(each.words for each in self.references if not each.is_good)

    def to_bytes(self, keys: Keys | None) -> bytes:
        """Return the document; with keys it is signed."""
        fields: json_document.Fields = {
            "set": self.name,
            "id": self.id,
            "started": clock.to_text(self.started),
            "finished": clock.to_text(self.finished),
            "host": self.host,
            "members": [each.fields() for each in self.members],
            "references": [each.fields() for each in self.references],
        }
        if keys is not None:
            fields["mac"] = keys.signature(_PURPOSE, json_document.encoded(fields))
        return json_document.encoded(fields)

    @classmethod
    def from_bytes(cls, data: bytes, name: str, point_id: str, keys: Keys | None = None) -> Point:
        """Parse the point that lies under the key of `name` and `point_id`.

        Raises DamagedError, with keys also for one that nobody with the keyring has signed.
        """
        what = f"recovery point {point_id} of {name}"
        fields = json_document.decoded(data, what)
        mac = fields.pop("mac", None)
        is_signed = isinstance(mac, dict) and keys is not None
        if keys is not None and not (is_signed and keys.is_signed(_PURPOSE, json_document.encoded(fields), mac)):
            remedy = "use another point, or restore the backups of its members one by one"
            raise DamagedError(f"Cannot use {what}", "nobody who has the keyring has signed it", remedy)
        try:
            if (fields["set"], fields["id"]) != (name, point_id):
                raise ValueError(f"it is that of {fields['id']!r} of {fields['set']!r}")
            members = tuple(Member.from_fields(each) for each in fields["members"])
            if not members:
                raise ValueError("it has no members")
            return cls(
                name=name,
                id=point_id,
                started=clock.from_text(fields["started"]),
                finished=clock.from_text(fields["finished"]),
                host=str(fields["host"]),
                members=members,
                references=tuple(Reference.from_fields(each) for each in fields["references"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedError(f"Cannot read {what}", f"damaged: {error}", "use another copy of it") from error


def write(store: Store, point: Point) -> None:
    """Record a point, once; the backups of its members must be there.

    Raises DamagedError when one of them has gone, StoreError; ExistsError when there is another point of this id.
    """
    missing = missing_members(store, point)
    if missing:
        raise DamagedError(
            f"Cannot record a recovery point of {point.name} in {store.name}",
            f"backup {missing[0].backup} of {missing[0].job} is not there",
            "run the set again",
        )
    key, data = layout.point(point.name, point.id), point.to_bytes(store.keys)
    try:
        store.put_new(key, data)
    except ExistsError:
        found = store.get(key)
        if found is None or found.data != data:
            raise
    reached("point.recorded")


def ids(store: Store, name: str) -> list[str]:
    """Return the ids of the points of a set, oldest first, by one listing."""
    prefix = layout.points(layout.checked_job(name))
    return sorted(filter(clock.is_backup_id, (layout.id_of(entry.key) for entry in store.entries(prefix))))


def find(store: Store, name: str, point_id: str) -> Point | None:
    """Return a point as it was written first (docs/protocol.md, rule 11), None when it is not there.

    Raises DamagedError.
    """
    key = layout.point(name, layout.checked_id(point_id))
    versions = [each for each in store.versions(key) if each.entry.key == key and not each.is_delete_marker]
    document = store.get(key, versions[-1].entry.version_id if len(versions) > 1 else "") if versions else None
    return None if document is None else Point.from_bytes(document.data, name, point_id, store.keys)


def missing_members(store: Store, point: Point) -> tuple[Member, ...]:
    """Return the members whose backups a repository does not have."""
    return tuple(
        each for each in point.members if store.stat(layout.manifest(layout.checked_job(each.job), each.backup)) is None
    )


def gone_members(store: Store, point: Point) -> tuple[Member, ...]:
    """Return the members of whose backups nothing is left: what a delete marker hides can be had again."""
    return tuple(each for each in missing_members(store, point) if not _is_hidden(store, each))


def _is_hidden(store: Store, member: Member) -> bool:
    key = layout.manifest(member.job, member.backup)
    return any(each.entry.key == key and not each.is_delete_marker for each in store.versions(key))


def remove(store: Store, name: str, point_id: str, permit: Permit) -> None:
    """Delete a point; what lies under its id becomes garbage. The caller holds the lease of the set."""
    remove_all(store, layout.point(name, point_id), permit)
    reached("point.removed")


def _checked_id(value: t.Any) -> str:
    if not isinstance(value, str) or not clock.is_backup_id(value):
        raise ValueError(f"{value!r} is not a backup id")
    return value


def _count(value: t.Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is not a count")
    return value

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes a recovery point into the repositories that have the backups of all its members."""

from __future__ import annotations

import dataclasses
import typing as t

from .. import clock
from ..errors import DamagedError, LifeboatError
from ..repository import layout, recovery_point
from ..repository.intent import host_name
from ..repository.manifest import StoredFile
from ..repository.publish import Run
from ..repository.recovery_point import Member, Point, Reference
from ..repository.store import ExistsError, Store
from ..steps import reached
from ..stream.compression import SUFFIXES
from ..stream.pipeline import store_stream, stored_digest
from .place import Place, Say
from .unfinished import clean_up

ROLE = "missing"  # of stored files that list keys without an object
_COMPRESSION = "zstd"
_CHUNK = 1024 * 1024
_POLL_S = 0.1


@dataclasses.dataclass(frozen=True)
class Lists:
    """The keys of a reference while a set runs; files without a name, which the copies of this process share."""

    keys: t.IO[bytes]  # that the database has
    missing: t.IO[bytes]  # of them without an object


def record(
    name: str,
    places: t.Sequence[Place],
    members: tuple[Member, ...],
    references: t.Sequence[Reference],
    missing: t.Mapping[str, t.IO[bytes]],
    say: Say,
) -> tuple[Point | None, dict[str, str]]:
    """Record a point in all `places`, and return it with what went wrong, by the name of the place.

    The first place that works gives the point its id. The keys that references lack (`missing`) become stored files of
    the point: they are names of objects, and encrypted where backups are.
    """
    problems: dict[str, str] = {}
    point: Point | None = None
    first: Store | None = None
    for place in places:
        say(f"{name}: recording the recovery point in {place.name}")
        try:
            place.identity()
            if point is None or first is None:
                point, first = _recorded_first(name, place.store, members, references, missing), place.store
            else:
                _bring_lists(first, place.store, point)
                recovery_point.write(place.store, point)
        except LifeboatError as error:
            problems[place.name] = error.summary
    return point, problems


@dataclasses.dataclass(frozen=True)
class Brought:
    """A point that was brought to a repository, or would be."""

    id: str
    source: str
    target: str


def bring(
    name: str, sources: t.Sequence[Place], targets: t.Sequence[Place], *, dry_run: bool = False
) -> tuple[list[Brought], list[str]]:
    """Record points in the targets that lack them and have the backups of all members, which come there by copies of
    these.

    Returns what was brought, and what could not be.
    """
    brought: list[Brought] = []
    problems: list[str] = []
    for target in targets:
        try:
            target.identity()
            there = set(recovery_point.ids(target.store, name))
        except LifeboatError as error:
            problems.append(f"{target.name} cannot be used: {error.cause or error.problem}")
            continue
        damaged: dict[str, str] = {}  # id of a point → why it cannot be brought
        for source in sources:
            try:
                for point_id in [] if source is target else _lacking(name, source, there):
                    try:
                        is_brought = _brought(name, point_id, source.store, target.store, dry_run)
                    except (DamagedError, ExistsError) as error:
                        damaged[point_id] = f"{target.name} lacks point {point_id} of {source.name}: {error.summary}"
                        continue
                    if is_brought:
                        there.add(point_id)
                        brought.append(Brought(point_id, source.name, target.name))
            except LifeboatError as error:
                problems.append(f"{target.name} lacks points that {source.name} has: {error.cause or error.problem}")
        problems += [words for point_id, words in damaged.items() if point_id not in there]
    return brought, problems


def _lacking(name: str, source: Place, there: t.Collection[str]) -> list[str]:
    """Return the ids of the points of a repository that another one, with those of `there`, does not have."""
    source.identity()
    return [point_id for point_id in recovery_point.ids(source.store, name) if point_id not in there]


def _brought(name: str, point_id: str, source: Store, target: Store, dry_run: bool) -> bool:
    """Record a point in a repository too if the backups of its members are there, and say whether that is so.

    Raises DamagedError, ExistsError where something else lies in its place.
    """
    point = recovery_point.find(source, name, point_id)
    if point is None or recovery_point.missing_members(target, point):
        return False
    if not dry_run:
        _bring_lists(source, target, point)
        recovery_point.write(target, point)
    return True


def _recorded_first(
    name: str,
    store: Store,
    members: tuple[Member, ...],
    references: t.Sequence[Reference],
    missing: t.Mapping[str, t.IO[bytes]],
) -> Point:
    clean_up(store, name, lambda finished: [each for each in _list_names(len(references)) if each not in finished])
    _outlast_second(store, name)
    run = Run(store, name)
    try:
        told = tuple(
            _with_list(run, number, each, missing[each.name]) if each.missing else each
            for number, each in enumerate(references)
        )
        reached("set.lists_stored")
        started = min(each.started for each in members)
        point = Point(name, run.id, started, store.now(), host_name(), members, told)
        recovery_point.write(store, point)
    finally:
        run.close()  # without a point what it wrote is garbage
    return point


def _with_list(run: Run, number: int, reference: Reference, file: t.IO[bytes]) -> Reference:
    file.seek(0)
    chunks = iter(lambda: file.read(_CHUNK), b"")
    return dataclasses.replace(reference, listed=run.store_file(_list_name(number), ROLE, chunks, _COMPRESSION))


def _list_name(number: int) -> str:
    return f"missing-{number}.jsonl"


def _list_names(count: int) -> t.Iterator[str]:
    for number in range(count):
        yield from (_list_name(number) + suffix for suffix in SUFFIXES.values())


def _bring_lists(source: Store, target: Store, point: Point) -> None:
    for file in (each.listed for each in point.references):
        if file is not None:
            _bring(source, target, layout.data(point.name, point.id, file.name), file)


def _bring(source: Store, target: Store, key: str, file: StoredFile) -> None:
    upload = target.upload(key, file.facts.stored_size)
    try:
        facts = store_stream(source.read(key), upload, "none")
        if facts.stored_sha256 != file.facts.stored_sha256:
            raise DamagedError(f"Cannot copy {key} from {source.name}", "its bytes are not those that were written")
        upload.finish()
    except ExistsError:  # in a directory; one that was killed between a list and the point has left it
        upload.abort()
        if stored_digest(target.read(key)) != (file.facts.stored_size, file.facts.stored_sha256):
            raise
    except BaseException:
        upload.abort()
        raise


def _outlast_second(store: Store, name: str) -> None:
    """Wait until the second of the newest point is over: ids are ordered by it, and by chance within it."""
    newest = recovery_point.ids(store, name)[-1:]
    while newest and clock.compact(store.now()) == newest[0].partition("-")[0]:
        clock.sleep(_POLL_S)

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import itertools
import typing as t

from .. import clock
from ..errors import DamagedError, LifeboatError, UsageError
from ..objects.index_reader import IndexReader
from ..objects.rows import Row
from ..repository.catalog import MergedBackup
from ..repository.manifest import Manifest
from ..repository.store import StoreError
from ..s3.client import S3Client
from .candidates import holdings
from .objects_choice import INDEX_ROLE, KINDS, has_roles
from .place import Place

MOST = 100  # states, and versions, that a result shows
_SHOWN_BACKUPS = 5  # of one state
_READERS = 8  # backups that are looked into at once


class Found(t.NamedTuple):
    """What one backup has under the key."""

    backup: MergedBackup
    row: Row | None
    why: str  # it is not known; empty: it is


@dataclasses.dataclass(frozen=True)
class Question:
    """Which object, and how much of its history."""

    job: str
    collection: str  # a bucket or a root
    key: str
    places: tuple[Place, ...]
    limit: int = 50  # of states and of versions, the newest ones


@dataclasses.dataclass(frozen=True)
class History:
    """What several repositories know about one key."""

    states: tuple[t.Mapping[str, t.Any], ...]  # newest first
    backups: int  # that were looked into
    is_complete: bool  # False: there are older states than these
    problems: tuple[str, ...]  # repositories that do not answer, backups that could not be looked into


def history(question: Question) -> History:
    """Return the states of a key over all backups of a job. Raises UsageError where none of them has objects."""
    if not 1 <= question.limit <= MOST:
        raise UsageError("Cannot show so much of a history", f"limit is {question.limit}", f"use 1 to {MOST}")
    known = holdings(question.job, question.places)
    problems = [f"{name} cannot be used: {why}" for name, why in known.unreachable.items()]
    backups = [row for row in known.merged() if _has_objects(row)]
    if not backups and not problems:
        raise UsageError(
            f"Cannot show the history of {question.key!r}",
            f"{question.job} has no backup of buckets or folders",
            "look at the list of backups",
        )
    with concurrent.futures.ThreadPoolExecutor(_READERS, "lifeboat-history") as pool:
        looked = _looked(question, reversed(backups), pool)
        states, count, is_complete = _states(looked, question.limit, problems)
    return History(tuple(states), count, is_complete, tuple(problems))


def live_versions(client: S3Client, bucket: str, key: str, limit: int) -> list[dict[str, t.Any]]:
    """Return what a server has under a key, the newest first: versions and delete markers. Raises S3Error."""
    found = itertools.takewhile(lambda each: each.key == key, client.list_versions(bucket, key))
    return [
        {
            "version_id": each.version_id,
            "latest": each.is_latest,
            "delete_marker": each.is_delete_marker,
            "size": each.size,
            "etag": each.etag,
            "modified": clock.to_text(each.modified),
        }
        for each in itertools.islice(found, limit)
    ]


def _has_objects(backup: MergedBackup) -> bool:
    manifest = backup.manifest
    return manifest is not None and manifest.kind in KINDS and has_roles(backup.copies[0][1], (INDEX_ROLE,))


def _looked(
    question: Question, backups: t.Iterator[MergedBackup], pool: concurrent.futures.Executor
) -> t.Iterator[Found]:
    """Look into backups, a few at once, in their order."""
    by_name = {place.name: place for place in question.places}
    pending = collections.deque[concurrent.futures.Future[Found]]()
    for backup in backups:
        pending.append(pool.submit(_look, question, backup, by_name))
        if len(pending) > _READERS:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def _look(question: Question, backup: MergedBackup, places: t.Mapping[str, Place]) -> Found:
    """Look into the first copy of a backup that can be read."""
    why = "no copy of it can be read"
    for name, copy in backup.copies:
        if copy.manifest is None or not copy.is_usable:
            why = "; ".join(copy.remarks) or why
            continue
        try:
            reader = IndexReader(places[name].store, copy.manifest)
            return Found(backup, reader.find(question.collection, question.key), "")
        except (DamagedError, StoreError) as error:
            why = f"its copy in {name} cannot be used: {error.cause or error.problem}"
    return Found(backup, None, why)


def _states(looked: t.Iterator[Found], limit: int, problems: list[str]) -> tuple[list[dict[str, t.Any]], int, bool]:
    """Join backups that have the same under the key; what is older than the limit is not looked into."""
    states: list[dict[str, t.Any]] = []
    last: tuple[t.Any, ...] | None = None
    count = 0
    for backup, row, why in looked:
        if why:
            problems.append(f"backup {backup.id}: {why}")
            continue
        facts = _identity(row)
        if last is None or facts != last:
            if len(states) == limit:
                return states, count, False
            states.append(_begun(row))
        count += 1
        last = facts
        _extend(states[-1], backup)
    while states and not states[-1]["present"]:  # before there was anything
        states.pop()
    return states, count, True


def _identity(row: Row | None) -> tuple[t.Any, ...]:
    return () if row is None else (row.size, row.sha256, row.modified, row.version, row.properties)


def _begun(row: Row | None) -> dict[str, t.Any]:
    facts = {"size": None, "sha256": None, "modified": None, "version_id": None} if row is None else _facts(row)
    return {"present": row is not None, **facts, "backup_count": 0, "backups": []}


def _facts(row: Row) -> dict[str, t.Any]:
    return {"size": row.size, "sha256": row.sha256, "modified": _moment(row), "version_id": row.version}


def _moment(row: Row) -> str:
    """Return when an object was written, as text: rows of files keep nanoseconds."""
    nanoseconds = row.properties.get("mtime_ns")
    try:
        return clock.to_text(clock.from_nanoseconds(nanoseconds)) if isinstance(nanoseconds, int) else row.modified
    except ValueError:
        return row.modified


def _extend(state: dict[str, t.Any], backup: MergedBackup) -> None:
    """Add a backup, older than those before it."""
    started = _started(backup.manifest)
    state.setdefault("last_seen", started)
    state["first_seen"] = started
    state["backup_count"] += 1
    if len(state["backups"]) < _SHOWN_BACKUPS:
        state["backups"].append(backup.id)
    state["first_backup"] = backup.id


def _started(manifest: Manifest | None) -> str:
    if manifest is None:
        raise LifeboatError("Cannot show a history", "a backup has no manifest")
    return clock.to_text(manifest.started)

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Locks what the rules of retention promise to keep: nobody deletes it before, not even a pruner (docs/copies.md)."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import datetime as dt
import threading
import typing as t

from .. import clock
from ..errors import DamagedError
from ..steps import reached
from . import alive, catalog, garbage, hold, layout, prune, retention
from .alive import Intents
from .keep import Keep
from .lock_policy import LockPolicy
from .store import DeniedError, Retention, Store, StoreError, Version

MOST_REQUESTS = 10_000  # changes in one run
_WORKERS = 8  # requests at once
_SLACK = dt.timedelta(days=7)  # so much a lock that moves with the day may fall short before it is renewed
_DAY = dt.timedelta(days=1)
_SHARED = ("keys/", "RESCUE/")  # without them encrypted backups cannot be read
_NO_INTENTS = Intents(frozenset(), (), frozenset(), ())


@dataclasses.dataclass(frozen=True)
class LockRequest:
    """Which backups of a job are to be locked."""

    job: str
    keep: Keep | None  # what the repository keeps of the job; None: all of it
    zone: dt.tzinfo = clock.UTC
    policy: LockPolicy = dataclasses.field(default_factory=LockPolicy)
    most_requests: int = MOST_REQUESTS


@dataclasses.dataclass(frozen=True)
class Extension:
    """A version of a stored file whose lock is to last longer."""

    key: str
    version_id: str
    found: Retention
    wanted: Retention


@dataclasses.dataclass(frozen=True)
class LockPlan:
    """What would be locked now."""

    request: LockRequest
    now: dt.datetime  # the repository's clock
    promises: t.Mapping[str, dt.datetime]  # id of a backup → until when it is to be locked
    extensions: tuple[Extension, ...]  # those that end first come first; at most `most_requests`
    locked: int  # versions whose lock lasts long enough
    left: int  # versions that wait for the next run, because of `most_requests`
    weaker: int  # versions whose lock is GOVERNANCE and has not ended, though COMPLIANCE is wanted
    unknown: t.Mapping[str, str]  # id of a backup whose lists of what it needs cannot be read → why

    @property
    def is_empty(self) -> bool:
        return not self.extensions


@dataclasses.dataclass(frozen=True)
class LockResult:
    """What was locked."""

    plan: LockPlan
    extended: int
    denied: tuple[str, ...]  # what the repository refused to lock, and why
    error: StoreError | None = None  # why the run ended before the end of the plan


@dataclasses.dataclass
class _Done:
    """What was locked so far, added up by several threads."""

    extended: int = 0
    denied: list[str] = dataclasses.field(default_factory=list)
    error: StoreError | None = None  # the first one; nothing is begun after it
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)


def plan(store: Store, request: LockRequest) -> LockPlan:
    """Say what is to be locked and until when; reads only.

    A backup that cannot be read keeps no other from being locked. Raises StoreError where there is no object lock.
    """
    job = layout.checked_job(request.job)
    backups = catalog.backups(store, job)
    now = store.now()
    found = _Found(store, job)
    named, unknown = _named(store, job, [backup for backup in backups if backup.manifest is not None])
    promises = _promises(store, request, backups, now, alive.lost(store, named, found.versions))
    unknown = {backup_id: why for backup_id, why in unknown.items() if backup_id in promises}
    wanted: dict[str, dt.datetime] = {}
    for backup_id, parts in named.items():
        if backup_id not in promises:
            continue
        for key in (layout.manifest(job, backup_id), *(key for part in parts for key in part)):
            wanted[key] = max(wanted.get(key, now), promises[backup_id])
    longest = max(wanted.values(), default=now)
    if wanted:
        wanted.update({key: longest for key in found.shared})
    return dataclasses.replace(_planned(request, now, promises, wanted, found), unknown=unknown)


def _named(
    store: Store, job: str, backups: t.Sequence[catalog.Backup]
) -> tuple[dict[str, tuple[alive.Named, ...]], dict[str, str]]:
    """Return the keys that backups name, by their ids, and why not all of some can be told."""
    named: dict[str, tuple[alive.Named, ...]] = {}
    unknown: dict[str, str] = {}
    try:
        return alive.named_by(store, job, backups), unknown
    except DamagedError:
        pass  # somebody may want just that: the others are looked at one by one
    for backup in backups:
        try:
            named.update(alive.named_by(store, job, [backup]))
        except DamagedError as error:
            unknown[backup.id] = error.cause
            files = backup.manifest.files if backup.manifest is not None else ()
            named[backup.id] = ({layout.data(job, backup.id, file.name): None for file in files},)
    return named, unknown


def _promises(
    store: Store, request: LockRequest, backups: t.Sequence[catalog.Backup], now: dt.datetime, lost: t.Collection[str]
) -> dict[str, dt.datetime]:
    """Return until when each backup that stays is to be locked; one that is lost takes the place of no whole one.

    Locks are left out of what retention decides by: else they would be reasons for themselves. While nothing may be
    dropped, what the rules would drop is locked ahead as well: that is when somebody may be after the backups.
    """
    found = prune.candidates(backups, _NO_INTENTS, hold.read(store, request.job), lost=lost)
    decided = retention.plan(found, request.keep, now, request.zone)
    ends: dict[str, dt.datetime | None] = {each.id: each.until for each in decided.kept}
    if decided.refusals:
        ends.update(dict.fromkeys(decided.expired))
    return {backup_id: promised(until, now, request.policy) for backup_id, until in ends.items()}


def promised(until: dt.datetime | None, now: dt.datetime, policy: LockPolicy) -> dt.datetime:
    """Return until when something is to be locked that will go at `until` (None: nobody can tell): a midnight."""
    span = policy.rolling if until is None else until - now
    if policy.most is not None:
        span = min(span, policy.most)
    end = now + span
    midnight = end.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight if midnight == end else midnight + _DAY


def extended(found: Retention, until: dt.datetime, now: dt.datetime, policy: LockPolicy) -> Retention | None:
    """Return the retention that a version is to get, None for that which it has: it is never shortened.

    The mode of a lock that has not ended stays: to change it takes the right to lift it. A lock that is renewed from
    day to day may fall short by a quarter, at most a week, so that not every file is asked for every day.
    """
    has_ended = found.until is None or found.until <= now
    moves = until - now <= policy.rolling + _DAY or (policy.most is not None and until - now >= policy.most)
    slack = min((until - now) / 4, _SLACK) if moves else dt.timedelta(0)
    is_enough = not has_ended and found.until is not None and found.until >= until - slack
    if until <= now or is_enough:
        return None
    return Retention(policy.mode if has_ended else found.mode, until)


class _Found:
    """The versions of what belongs to a job, and of what all jobs need."""

    def __init__(self, store: Store, job: str) -> None:
        self._store = store
        self.name = store.name
        self._shown: dict[str, Retention] = {}
        self.versions: dict[str, list[Version]] = {}
        prefixes = (f"{layout.DATA}{job}/", layout.manifests(job), layout.binding(job), layout.IDENTITY, *_SHARED)
        for prefix in prefixes:
            self.versions.update(garbage.listing(store, prefix))
            self._shown.update(store.retentions(prefix))
        known = (layout.binding(job), layout.IDENTITY)
        self.shared = [key for key in self.versions if key in known or key.startswith(_SHARED)]

    def counting(self, key: str) -> list[Version]:
        """Return the versions of a key that are worth a lock: the oldest is what was written, the newest is read."""
        real = [version for version in self.versions.get(key, ()) if not version.is_delete_marker]
        return real if len(real) < 2 else [real[0], real[-1]]

    def retention(self, version: Version) -> Retention:
        """Return the retention of a version: by the listing, where that shows it, else it is asked for."""
        key = version.entry.key
        if version.is_latest and key in self._shown:
            return self._shown[key]
        return self._store.retention(key, version.entry.version_id)


def _planned(
    request: LockRequest,
    now: dt.datetime,
    promises: t.Mapping[str, dt.datetime],
    wanted: t.Mapping[str, dt.datetime],
    found: _Found,
) -> LockPlan:
    versions = [(key, version) for key in wanted for version in found.counting(key)]
    if any(version.entry.version_id in ("", "null") for _key, version in versions):
        raise StoreError(
            f"Cannot lock the backups of {request.job} in {found.name}",
            "it has no versions, and so no object lock",
            "make the repository in a bucket with object lock, and copy the backups there",
        )
    with concurrent.futures.ThreadPoolExecutor(_WORKERS, "locks") as pool:
        known = list(pool.map(found.retention, (version for _key, version in versions)))
    extensions = []
    for (key, version), has in zip(versions, known):
        later = extended(has, wanted[key], now, request.policy)
        if later is not None:
            extensions.append(Extension(key, version.entry.version_id, has, later))
    extensions.sort(key=lambda each: (each.found.until or now, each.key))
    chosen = tuple(extensions[: request.most_requests])
    locked, left = len(versions) - len(extensions), len(extensions) - len(chosen)
    weaker = sum(has.mode == "GOVERNANCE" and has.until is not None and has.until > now for has in known)
    weaker = weaker if request.policy.mode == "COMPLIANCE" else 0
    return LockPlan(request, now, promises, chosen, locked, left, weaker, {})


def lock(store: Store, planned: LockPlan) -> LockResult:
    """Carry a plan out; what the repository refuses is told in the result, and what else ended it beside what was done.

    The first lock is asked for before and read back: servers that do not know the request would take it for new bytes
    of the file, or do nothing. Raises StoreError where that fails: then nothing was locked.
    """
    if planned.is_empty:
        return LockResult(planned, 0, ())
    first, rest = planned.extensions[0], planned.extensions[1:]
    store.retention(first.key, first.version_id)
    store.retain(first.key, first.version_id, first.wanted)
    reached("lock.first")
    try:
        back = store.retention(first.key, first.version_id)
    except StoreError as error:
        return LockResult(planned, 1, (), error)
    if back.until is None or first.wanted.until is None or back.until < first.wanted.until:
        raise StoreError(
            f"Cannot lock {first.key} in {store.name}",
            "the server took the retention and does not keep it",
            "use a bucket that was made with object lock",
        )
    done = _Done(extended=1)
    with concurrent.futures.ThreadPoolExecutor(_WORKERS, "locks") as pool:
        list(pool.map(lambda each: _extend(store, each, done), rest))
    return LockResult(planned, done.extended, tuple(sorted(done.denied)), done.error)


def _extend(store: Store, each: Extension, done: _Done) -> None:
    if done.error is not None:
        return
    try:
        store.retain(each.key, each.version_id, each.wanted)
    except DeniedError as error:
        with done.lock:
            done.denied.append(f"{each.key}: {error.cause}")
        return
    except StoreError as error:
        with done.lock:
            done.error = done.error or error
        return
    with done.lock:
        done.extended += 1
    reached("lock.extended")

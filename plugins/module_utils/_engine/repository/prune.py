# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import functools
import typing as t

from .. import clock
from ..errors import GuardRefusal, LifeboatError
from ..steps import reached
from . import alive, catalog, garbage, hold, layout, recovery_point, retention
from .alive import Intents
from .catalog import Backup
from .garbage import Collected, Listing, OpenPlan
from .hold import Hold
from .keep import Keep
from .lease import WAIT_S, Permit, held
from .removal import remove_all, remove_backup, remove_versions
from .retention import Candidate, Refusal, RetentionPlan
from .store import DeniedError, Store

_MOST_LEASES = 1000  # old versions of the lease that one prune deletes


@dataclasses.dataclass(frozen=True)
class PruneRequest:
    """How the backups of a job are to be thinned out in one repository."""

    job: str
    keep: Keep | None = None  # None: no backup goes, only garbage
    zone: dt.tzinfo = clock.UTC  # whose hours, days, weeks, months and years count
    force: bool = False  # more than half may go
    frozen_by: frozenset[str] = frozenset()  # ids of flagged backups that other repositories have
    acknowledged: str = ""  # id up to which somebody has acknowledged backups in another repository


@dataclasses.dataclass(frozen=True)
class PrunePlan:
    """What a prune would do now."""

    request: PruneRequest
    now: dt.datetime  # the repository's clock
    retention: RetentionPlan
    due: tuple[str, ...]  # keys of stored files that were planned long enough ago: they go
    due_bytes: int
    garbage: tuple[str, ...]  # keys that nothing will name: they are listed now, and go a day later
    garbage_bytes: int
    waiting: int  # stored files that plans list, and whose time has not come
    next_due: dt.datetime | None  # when the first of those may go
    dead_intents: tuple[str, ...]  # ids of runs that ended without a word
    uploads: tuple[str, ...]  # keys of uploads that nobody finishes
    is_tidy: bool  # nothing else is left over: plans that were carried out, proofs without files
    lost: tuple[str, ...] = ()  # ids of backups of which a stored file is gone, or has another size

    @property
    def is_empty(self) -> bool:
        """Say whether a prune would change nothing."""
        left = (self.retention.removable, self.due, self.garbage, self.dead_intents, self.uploads)
        return bool(self.retention.refusals) or (self.is_tidy and not any(left))


@dataclasses.dataclass(frozen=True)
class PruneResult:
    """What a prune did."""

    plan: PrunePlan  # as it was made under the lease
    removed: tuple[str, ...]  # ids of backups
    files: int  # deleted stored files
    bytes: int
    planned: int  # stored files that may go a day from now
    denied: tuple[str, ...]  # what the repository refused to delete (object lock), and why


@dataclasses.dataclass(frozen=True)
class _Snapshot:
    """What a repository has of a job. The order of the readings matters (rule 8): files and proofs, then intents, then
    manifests.

    So whatever belongs to a run that ended meanwhile is seen by its manifest.
    """

    files: Listing  # stored files
    proofs: Listing
    uploads: tuple[str, ...]  # keys
    plans: tuple[OpenPlan, ...]
    intents: Intents
    backups: tuple[Backup, ...]  # oldest first
    holds: t.Mapping[str, Hold]
    points: frozenset[str]  # ids of recovery points: what lies under them stays
    now: dt.datetime


def _snapshot(store: Store, job: str) -> _Snapshot:
    layout.checked_job(job)
    files = garbage.listing(store, f"{layout.DATA}{job}/")
    proofs = garbage.listing(store, f"{layout.VERIFIED}{job}/")
    uploads = tuple(store.unfinished(f"{layout.DATA}{job}/"))
    plans = tuple(garbage.open_plans(store, job))
    intents = alive.intents(store, job)
    backups = tuple(catalog.backups(store, job))
    holds = hold.read(store, job)
    points = frozenset(recovery_point.ids(store, job))
    return _Snapshot(files, proofs, uploads, plans, intents, backups, holds, points, store.now())


def plan(store: Store, request: PruneRequest, window: dt.timedelta) -> PrunePlan:
    """Say what a prune would do now; reads only. Raises DamagedError when a manifest cannot be read."""
    return _Work(store, request, window).plan


def prune(
    store: Store,
    request: PruneRequest,
    window: dt.timedelta,
    wait_s: float = WAIT_S,
    on_wait: t.Callable[[str], None] = lambda _text: None,
    on_stop: t.Callable[[PruneResult], None] = lambda _done: None,
) -> PruneResult:
    """Remove expired backups, and delete what was garbage a day ago (docs/protocol.md, rules 6 to 9).

    Everything is read anew under the lease, and nothing is done when retention refuses: raises GuardRefusal. What is
    locked stays and is told in the result. Raises BusyError, DamagedError, LeaseLostError; `on_stop` hears what was
    done before the work ended early.
    """
    store.discard_abandoned(request.job)
    with held(store, request.job, window, wait_s, on_wait, is_removing=True) as permit:
        reached("prune.leased")
        denied = _bury(store, request.job, permit)
        work = _Work(store, request, window)
        refuse(work.plan, store.name)
        try:
            result = work.done(permit, denied)
        except LifeboatError:
            on_stop(work.so_far())
            raise
    reached("prune.done")
    return result


def refuse(planned: PrunePlan, where: str) -> None:
    """Raise GuardRefusal when a plan may not be carried out."""
    for refusal in planned.retention.refusals:
        problem = f"Cannot prune {planned.request.job} in {where}"
        if refusal.guard == "flagged":
            raise GuardRefusal("flagged", problem, refusal.cause, refusal.remedy)
        if refusal.guard == "tampered":
            raise GuardRefusal("tampered", problem, refusal.cause, refusal.remedy)
        raise GuardRefusal("mass_removal", problem, refusal.cause, refusal.remedy)


def _bury(store: Store, job: str, permit: Permit) -> list[str]:
    """Take dead intents away, and what is left of others. Their files stay for a day at least: they are not planned
    before the intents are gone.
    """
    denied = []
    found = alive.intents(store, job)
    for key in found.dead:
        try:
            remove_all(store, key, permit)
            reached("prune.intent_removed")
        except DeniedError as error:
            denied.append(f"{key}: {error.cause}")
    for version in found.hidden:
        key, version_id = version.entry.key, version.entry.version_id
        try:
            remove_versions(store, [version], permit)
        except DeniedError as error:
            until = None if version.is_delete_marker else store.locked_until(key, version_id)
            why = error.cause if until is None else f"locked until {clock.to_text(until)}"
            denied.append(f"{key}: {why}")
    return denied


class _Work:
    """One prune: what it found, what it makes of that, and how it is done."""

    def __init__(self, store: Store, request: PruneRequest, window: dt.timedelta) -> None:
        self._store = store
        self._request = request
        self._job = request.job
        self._window = window
        self._seen = _snapshot(store, request.job)
        alive.require_readable(self._job, self._seen.backups, store.name)
        self._named_by = alive.named_by(store, self._job, self._seen.backups)
        self._lost = alive.lost(store, self._named_by, self._seen.files)
        self._retention = self._with_manifests_missed(self._decided())
        self._named = self._named_but(())
        self._removed: list[str] = []  # ids of backups, so far
        self._collected = Collected()

    def _decided(self) -> RetentionPlan:
        """Apply the rules, and once more if what would go is locked."""
        decide = functools.partial(
            retention.plan,
            keep=self._request.keep,
            now=self._seen.now,
            zone=self._request.zone,
            force=self._request.force,
            frozen_by=self._request.frozen_by,
        )
        seen = self._seen
        found = candidates(seen.backups, seen.intents, seen.holds, self._request.acknowledged, self._lost)
        first = decide(found)
        locks = {each: self._store.locked_until(layout.manifest(self._job, each)) for each in first.removable}
        if not any(locks.values()):
            return first
        return decide([dataclasses.replace(each, locked_until=locks.get(each.id)) for each in found])

    def _with_manifests_missed(self, found: RetentionPlan) -> RetentionPlan:
        """Add a refusal where whole backups lie there, and the job has no manifest at all, unless it is by force.

        No prune leaves a job without any: their folder was lost, or something else is mounted over it.
        """
        if self._seen.backups or self._request.force:
            return found
        sums = [key for key in self._seen.files if key.endswith(f"/{layout.SUMS}") and self._is_garbage(key, ())]
        if not sums:
            return found
        cause = f"stored files of whole backups ({len(sums)}) are there, and no manifest at all"
        remedy = f"bring {layout.manifests(self._job)} back, or do it by force if these backups were deleted on purpose"
        return dataclasses.replace(found, refusals=(*found.refusals, Refusal("mass_removal", cause, remedy)))

    def _named_but(self, removed: t.Collection[str]) -> frozenset[str]:
        """Return the keys of what backups name, but for those that are removed."""
        parts = (part for each, found in self._named_by.items() if each not in removed for part in found)
        return frozenset().union(*parts)

    @functools.cached_property
    def _due_plans(self) -> tuple[OpenPlan, ...]:
        ends = [(plan, plan.due_at(self._window)) for plan in self._seen.plans]
        return tuple(plan for plan, end in ends if end is not None and self._seen.now > end)

    @functools.cached_property
    def _useless_plans(self) -> tuple[OpenPlan, ...]:
        return tuple(plan for plan in self._seen.plans if plan.since is None)

    @functools.cached_property
    def _waiting_plans(self) -> tuple[OpenPlan, ...]:
        over = {plan.key for plan in (*self._due_plans, *self._useless_plans)}
        return tuple(plan for plan in self._seen.plans if plan.key not in over)

    def _is_garbage(self, key: str, named: t.Collection[str]) -> bool:
        owner = alive.owner_of(self._job, key)
        is_alive = key in named or owner in self._seen.points or self._seen.intents.covers(owner)
        return bool(owner) and not is_alive

    @functools.cached_property
    def _doomed(self) -> tuple[str, ...]:
        """Return what goes now: it was garbage a day ago, and is by all that was just read."""
        planned = {key for plan in self._due_plans for key in plan.keys}
        return tuple(sorted(key for key in planned if key in self._seen.files and self._is_garbage(key, self._named)))

    def _new_garbage(self, removed: t.Collection[str]) -> tuple[str, ...]:
        """Return what no plan lists and nothing names once some backups are removed."""
        named = self._named_but(removed) if removed else self._named
        known = {key for plan in self._waiting_plans for key in plan.keys} - self._named
        known.update(self._doomed)
        return tuple(sorted(key for key in self._seen.files if key not in known and self._is_garbage(key, named)))

    @functools.cached_property
    def _orphaned_proofs(self) -> tuple[str, ...]:
        """Return keys below `verified/` of backups of which nothing is there: no manifest, no file, no run."""
        there = {backup.id for backup in self._seen.backups}
        there |= {alive.owner_of(self._job, key) for key in self._seen.files}
        prefix = f"{layout.VERIFIED}{self._job}/"
        owners = {key: key[len(prefix) :].partition("/")[0] for key in self._seen.proofs}
        return tuple(
            key
            for key, owner in owners.items()
            if clock.is_backup_id(owner) and owner not in there and not self._seen.intents.covers(owner)
        )

    @functools.cached_property
    def _stale_uploads(self) -> tuple[str, ...]:
        """Return keys of uploads of runs that are over; copies hold the lease, so none is under way."""
        owners = {key: alive.owner_of(self._job, key) for key in self._seen.uploads}
        return tuple(key for key, owner in owners.items() if owner and not self._seen.intents.covers(owner))

    @functools.cached_property
    def plan(self) -> PrunePlan:
        fresh = self._new_garbage(self._retention.removable)
        waiting = [plan.due_at(self._window) for plan in self._waiting_plans if plan.keys]
        seen = self._seen
        return PrunePlan(
            request=self._request,
            now=seen.now,
            retention=self._retention,
            due=self._doomed,
            due_bytes=sum(garbage.size_of(seen.files[key]) for key in self._doomed),
            garbage=fresh,
            garbage_bytes=sum(garbage.size_of(seen.files[key]) for key in fresh),
            waiting=sum(len(plan.keys) for plan in self._waiting_plans),
            next_due=min((end for end in waiting if end is not None), default=None),
            dead_intents=tuple(map(layout.id_of, seen.intents.dead)),
            uploads=self._stale_uploads,
            is_tidy=not (self._due_plans or self._useless_plans or self._orphaned_proofs or seen.intents.hidden),
            lost=tuple(sorted(self._lost)),
        )

    def done(self, permit: Permit, denied: list[str]) -> PruneResult:
        """Carry the plan out."""
        store, done = self._store, self._collected
        done.denied += denied
        self._remove(permit, done)
        garbage.collect(store, self._job, self._doomed, self._seen.files, permit, done)
        for each in (*self._due_plans, *self._useless_plans):
            garbage.drop_plan(store, each.key, permit, done)
        fresh = self._new_garbage(self._removed)
        garbage.write_plans(store, self._job, fresh, self._seen.plans, permit)
        self._tidy(permit, done)
        return dataclasses.replace(self.so_far(), planned=len(fresh))

    def so_far(self) -> PruneResult:
        """Return what was done until now."""
        done = self._collected
        return PruneResult(self.plan, tuple(self._removed), done.files, done.bytes, 0, tuple(done.denied))

    def _remove(self, permit: Permit, done: Collected) -> None:
        manifests = {backup.id: backup.manifest for backup in self._seen.backups}
        for backup_id in self._retention.removable:
            try:
                remove_backup(self._store, self._job, backup_id, manifests[backup_id], permit)
                self._removed.append(backup_id)
                if backup_id in self._seen.holds:  # one that is over
                    hold.release(self._store, self._job, backup_id, permit)
            except DeniedError as error:
                done.denied.append(f"backup {backup_id}: {error.cause}")

    def _tidy(self, permit: Permit, done: Collected) -> None:
        for key in self._orphaned_proofs:
            try:
                remove_versions(self._store, self._seen.proofs[key], permit)
            except DeniedError as error:
                done.denied.append(f"{key}: {error.cause}")
        for key in self._stale_uploads:
            permit()
            self._store.discard_unfinished(key)
            reached("prune.upload_dropped")
        self._forget_leases(permit)

    def _forget_leases(self, permit: Permit) -> None:
        """Delete old versions of the lease, of which each run leaves some where no rule of the bucket removes them.

        The newest one is ours. That a key may not, or that they are locked, is no failure: nobody reads them.
        """
        key = layout.lease(self._job)
        versions = [each for each in self._store.versions(key) if each.entry.key == key and not each.is_latest]
        old = [each for each in reversed(versions) if each.entry.version_id not in ("", "null")]
        with contextlib.suppress(DeniedError):
            remove_versions(self._store, old[:_MOST_LEASES], permit)


def _as_failed(each: Candidate) -> Candidate:
    return dataclasses.replace(each, is_proved=False, has_failed=True, is_vouched=False, is_claimed=False)


def candidates(
    backups: t.Iterable[Backup],
    intents: Intents,
    holds: t.Mapping[str, Hold],
    acknowledged: str = "",
    lost: t.Collection[str] = (),
) -> list[Candidate]:
    """Return backups as retention must know them; of those that are lost a stored file is gone."""
    found = (_candidate(backup, intents, holds.get(backup.id), acknowledged) for backup in backups)
    return [_as_failed(each) if each.id in lost else each for each in found]


def _candidate(backup: Backup, intents: Intents, held_by: Hold | None, acknowledged: str) -> Candidate:
    return Candidate(
        backup.id,
        is_proved=backup.is_good,
        has_failed=backup.has_failed,
        is_flagged=backup.is_flagged and backup.id > acknowledged,
        alarm="; ".join(backup.alarms) or ("" if backup.manifest else "its manifest cannot be read"),
        hold="" if held_by is None else held_by.reason or "no reason given",
        held_until=None if held_by is None else held_by.until,
        is_base=backup.id in intents.bases,
        is_vouched=backup.is_vouched,
        is_claimed=backup.is_claimed,
    )

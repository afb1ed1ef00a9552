# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import typing as t

from .. import clock
from ..errors import DamagedError, GuardRefusal, IncompleteError, LifeboatError, UsageError
from ..objects import restore_plan
from ..objects.quarantine import Saved, Shelf, save, save_document
from ..objects.remarks import Remarks
from ..objects.restore_plan import CONFLICT, KEEP, LEAVE, PROPERTIES, REFUSE, SKIP, WRITE, Policy, Tally
from ..objects.restore_run import Done, Restoration
from ..objects.restore_work import THREADS, Work
from ..objects.selection import Selection
from ..repository.manifest import Manifest
from ..repository.store import StoreError
from ..repository.stored_files import needed_files
from .candidates import Candidate
from .objects_choice import INDEX_ROLE, SETTINGS_ROLE, Choice, manifest_of
from .objects_copy import StoredCopy
from .objects_destination import Destination
from .objects_settings import SettingsPlan, apply_settings, make_buckets, plan_settings, unknown_settings
from .place import Place, Say, retrieving, silent
from .report_files import check_report, write_remarks, written_whole

_SETTINGS = "settings.json"  # name of the saved settings of buckets
WHAT = ("all", "data", "metadata")
_MOST_THREADS = 128
_STILL = {  # why something may be left to do after a restore without failures
    WRITE: "it is not listed afterwards: somebody removed it, or it lies below another object, which MinIO hides",
}
_AS_ASKED = (KEEP, SKIP, CONFLICT, REFUSE, LEAVE)  # what is left to be done about a key after a restore


@dataclasses.dataclass(frozen=True)
class Quarantine:
    """Where the present state of what is overwritten or removed is saved first."""

    destination: Destination
    collection: str  # a bucket, or the path of a folder
    prefix: str = ""  # of keys in it; the time and the job follow


@dataclasses.dataclass(frozen=True)
class RestoreRequest:
    """What to bring back, and where to."""

    choice: Choice
    places: tuple[Place, ...]  # nearest first
    destination: Destination
    collections: tuple[str, ...] = ()  # buckets or roots of the backup; empty: all
    map: t.Mapping[str, str] = dataclasses.field(default_factory=dict)  # collection → another place for it
    selection: Selection = dataclasses.field(default_factory=Selection)
    what: str = "data"  # one of WHAT
    overwrite_settings: bool = True  # False: write only those that a bucket lacks
    conflicts: str = "overwrite_if_different"  # one of restore_plan.CONFLICTS
    exact: bool = False  # remove what the backup does not have
    confirm: tuple[str, ...] = ()  # names of the buckets or folders in which something may be overwritten or removed
    quarantine: Quarantine | None = None
    by_content: bool = False  # read what is there instead of believing the listing, before and after
    plan_file: str = ""  # gets every step as a line of JSON; empty: none
    remarks_file: str = ""  # gets every remark as a line of JSON; empty: none
    threads: int = THREADS


@dataclasses.dataclass(frozen=True)
class RestorePlan:
    """What a restore would do."""

    request: RestoreRequest
    candidates: tuple[Candidate, ...]  # copies of one backup, best first; the first one was planned with
    names: t.Mapping[str, str]  # collection of the backup → bucket or folder
    work: Work | None  # None: metadata only
    tally: Tally
    settings: SettingsPlan
    notes: tuple[str, ...]

    @property
    def manifest(self) -> Manifest:
        return manifest_of(self.candidates[0])

    @property
    def changed(self) -> bool:
        return self.tally.changes > 0 or bool(self.settings.changes or self.settings.made)

    @property
    def destroyed(self) -> tuple[str, ...]:
        """Return the buckets or folders in which something is overwritten or removed."""
        return tuple(dict.fromkeys((*self.tally.destroyed, *self.settings.overwritten)))


@dataclasses.dataclass(frozen=True)
class RestoreResult:
    """What a restore did."""

    job: str
    id: str
    repository: str  # whose copy was used last
    done: Done
    settings: int  # documents of buckets that were written
    settings_failed: int  # documents that the server did not take
    saved: Saved
    quarantine: str  # where that is; empty: nowhere
    differences: int  # what is not at the target as the backup has it, after all
    remarks: int
    remarks_sample: tuple[str, ...]
    seconds: float
    notes: tuple[str, ...]

    @property
    def is_complete(self) -> bool:
        done = self.done
        return not (done.failed or done.damaged or done.left or self.differences or self.settings_failed)


def plan(request: RestoreRequest, say: Say = silent) -> RestorePlan:
    """Choose the backup, compare it with the target, and count; changes nothing but writes `plan_file`.

    A copy whose index cannot be read is passed over for the next one. Raises LifeboatError when it could not work.
    """
    _check_request(request)
    found, notes = request.choice.candidates(request.places, _roles(request.what))
    for backup_id, group in itertools.groupby(found, key=lambda each: each.backup.id):
        copies = list(group)
        while copies:
            try:
                say(f"{request.choice.job}: comparing {backup_id} with {request.destination.name}")
                with retrieving(copies[0].place, say):  # its index; nobody can plan without
                    return _planned(request, tuple(copies), notes)
            except (DamagedError, StoreError) as error:
                notes.append(_passed_over(copies.pop(0), error))
    raise _no_copy(request.choice.job, notes)


def check(planned: RestorePlan) -> None:
    """Refuse a plan that may not be carried out. Raises GuardRefusal (`confirm`, `conflict`)."""
    request = planned.request
    conflicts = planned.tally.counts[CONFLICT]
    if conflicts:
        raise GuardRefusal(
            "conflict",
            f"Cannot restore into {request.destination.name}",
            f"{conflicts:,} objects are there and differ from the backup",
            "look at the plan; choose what is to become of them with conflicts, or restore somewhere else",
        )
    missing = [name for name in planned.destroyed if name not in request.confirm]
    if missing:
        given = f"confirm is {', '.join(request.confirm)}" if request.confirm else "confirm is not set"
        raise GuardRefusal(
            "confirm",
            f"Cannot overwrite or remove anything in {', '.join(missing[:5])}",
            f"something is there that differs from the backup, and {given}",
            f"look at the plan; then set confirm to {', '.join(missing[:5])}",
        )


def restore(planned: RestorePlan, say: Say = silent) -> RestoreResult:
    """Bring a backup back, and compare the target with it afterwards.

    What cannot be read from one copy comes from the next one. Raises IncompleteError (with the result) when not all is
    there as the backup has it.
    """
    check(planned)
    begun = clock.monotonic()
    remarks = Remarks()
    try:
        with contextlib.ExitStack() as stack:
            asked = [stack.enter_context(retrieving(each.place, say)) for each in planned.candidates]
            result = _restored(planned, remarks, begun, say)
        return dataclasses.replace(result, notes=(*result.notes, *itertools.chain.from_iterable(asked)))
    finally:
        try:
            write_remarks(planned.request.remarks_file, remarks)
        finally:
            remarks.close()


def _check_request(request: RestoreRequest) -> None:
    problem = f"Cannot restore {request.choice.job}"
    if request.exact and request.conflicts != "overwrite_if_different":
        raise UsageError(
            problem, f"exact stands beside conflicts={request.conflicts}", "an exact restore overwrites what differs"
        )
    if not 1 <= request.threads <= _MOST_THREADS:
        raise UsageError(problem, f"{request.threads} threads are asked for", f"use 1 to {_MOST_THREADS}")
    if request.what == "metadata" and (request.exact or not request.selection.is_all):
        raise UsageError(problem, "settings belong to whole buckets, not to keys", "leave out exact and all filters")
    request.selection.check()
    check_report(request.remarks_file)


def _roles(what: str) -> tuple[str, ...]:
    return {"data": (INDEX_ROLE,), "metadata": (SETTINGS_ROLE,)}.get(what, (INDEX_ROLE, SETTINGS_ROLE))


def _planned(request: RestoreRequest, copies: tuple[Candidate, ...], notes: t.Sequence[str]) -> RestorePlan:
    copy, manifest = StoredCopy(copies[0]), manifest_of(copies[0])
    settings = copy.settings() if request.what != "data" else {}
    collections = _chosen(request, manifest, copy.collections() if request.what != "metadata" else sorted(settings))
    names = request.destination.names(manifest.kind, collections, request.map)
    reached = restore_plan.everything if request.exact else request.selection
    request.destination.refuse_repositories(names.values(), request.places, reached)
    tally, work = Tally.empty(), None
    if request.what != "metadata":
        work = _work(request, manifest, names)
        if request.exact:
            work = dataclasses.replace(work, scope=copy.scope(), unknown=copy.unknown())
        _check_quarantine(request, work)
        with written_whole(request.plan_file) as file:
            tally = work.tally(copy, file)
        notes = (*notes, *work.notes)
    changes = plan_settings(request.destination, names, settings, request.overwrite_settings)
    lacking = unknown_settings({name: each for name, each in settings.items() if name in names})
    return RestorePlan(request, copies, names, work, tally, changes, (*notes, *lacking))


def _chosen(request: RestoreRequest, manifest: Manifest, there: t.Sequence[str]) -> list[str]:
    unknown = sorted({*request.collections, *request.map} - set(there))
    if unknown:
        raise UsageError(
            f"Cannot restore {unknown[0]} from backup {manifest.id}",
            "the backup does not have it",
            f"it has {', '.join(there[:20]) or 'nothing'}",
        )
    return [each for each in there if not request.collections or each in request.collections]


def _work(request: RestoreRequest, manifest: Manifest, names: t.Mapping[str, str]) -> Work:
    selection = request.selection
    return Work(
        target=request.destination.target(manifest.kind, names.values(), str(manifest.source.get("endpoint", ""))),
        names=names,
        policy=Policy(request.conflicts, request.exact, f".restored-{manifest.id}"),
        selected=restore_plan.everything if selection.is_all else selection,
        prefix=selection.common_prefix,
        reader=request.destination.reader(names.values()),
        by_content=request.by_content,
        threads=request.threads,
        with_parents=manifest.kind == "files" and not selection.is_all,
    )


def _check_quarantine(request: RestoreRequest, work: Work) -> None:
    place = request.quarantine
    if place is None:
        return
    prefix = f"{place.prefix.strip('/')}/".lstrip("/")
    if request.destination.holds(work.names.values(), place.destination, place.collection, prefix, work.prefix):
        raise UsageError(
            f"Cannot save what is overwritten to {place.collection}",
            "the restore itself writes there",
            "name another bucket, folder or prefix",
        )


def _shelf(request: RestoreRequest, place: Quarantine, stamp: str) -> Shelf:
    prefix = f"{place.prefix.strip('/')}/" if place.prefix.strip("/") else ""
    target = place.destination.target("bucket", (place.collection,))
    copy = place.destination.server_copy(request.destination, place.collection)
    return Shelf(target, place.collection, f"{prefix}{request.choice.job}-{stamp}/", copy)


def _restored(planned: RestorePlan, remarks: Remarks, begun: float, say: Say) -> RestoreResult:
    request, notes = planned.request, list(planned.notes)
    saved, where = _saved(planned, say)
    make_buckets(request.destination, planned.settings)
    early = apply_settings(request.destination, planned.settings, remarks, is_early=True)
    done, repository, differences = Done(), planned.candidates[0].place.name, 0
    if planned.work is not None:
        done, used = _copied(planned, planned.work, remarks, notes, say)
        repository = used.place.name
        say(f"{request.choice.job}: comparing the target with the backup")
        differences = _differences(planned.work, StoredCopy(used), remarks, notes)
    late = apply_settings(request.destination, planned.settings, remarks, is_early=False)
    result = RestoreResult(
        job=request.choice.job,
        id=planned.manifest.id,
        repository=repository,
        done=done,
        settings=early[0] + late[0],
        settings_failed=early[1] + late[1],
        saved=saved,
        quarantine=where,
        differences=differences,
        remarks=sum(remarks.counts.values()),
        remarks_sample=remarks.sample,
        seconds=clock.seconds_since(begun),
        notes=tuple(notes),
    )
    if not result.is_complete:
        raise _incomplete(result)
    return result


def _saved(planned: RestorePlan, say: Say) -> tuple[Saved, str]:
    request, work = planned.request, planned.work
    if request.quarantine is None or not planned.destroyed:
        return Saved(), ""
    place, saved = request.quarantine, Saved()
    shelf = _shelf(request, place, clock.compact(clock.now()))
    say(f"{request.choice.job}: saving what will be overwritten or removed to {place.collection}")
    shelf.target.prepare(shelf.collection)
    if work is not None and work.reader is not None:
        saved = save(work, StoredCopy(planned.candidates[0]), work.reader, shelf)
    if planned.settings.found:
        data = json.dumps(dict(planned.settings.found), sort_keys=True).encode("ascii")
        save_document(shelf, _SETTINGS, data)
    shelf.target.finish(shelf.collection)
    return saved, f"{place.collection.rstrip('/')}/{shelf.prefix}"


def _copied(planned: RestorePlan, work: Work, remarks: Remarks, notes: list[str], say: Say) -> tuple[Done, Candidate]:
    """Restore from the first copy, and what it lacks from the next ones; return what was done, and the last copy."""
    job, total = planned.request.choice.job, Done()
    *others, last = planned.candidates
    for candidate in others:
        say(f"{job}: restoring {planned.manifest.id} from {candidate.place.name}")
        restoration = Restoration(work, StoredCopy(candidate), remarks, planned.request.confirm)
        try:
            _ask_early(planned, candidate)
            done = restoration.run()
            error = LifeboatError("", f"{done.damaged:,} objects in it are damaged") if done.damaged else None
        except (DamagedError, StoreError) as failure:
            error = failure
        total = total.followed_by(restoration.done)
        if error is None:
            return total, candidate
        notes.append(_passed_over(candidate, error))
        say(f"{job}: {notes[-1]}")
    say(f"{job}: restoring {planned.manifest.id} from {last.place.name}")
    _ask_early(planned, last)
    return total.followed_by(Restoration(work, StoredCopy(last), remarks, planned.request.confirm).run()), last


def _ask_early(planned: RestorePlan, candidate: Candidate) -> None:
    """Ask for all packs at once where they lie in an archive and all are needed; single ones are asked for when they
    are read.
    """
    store, manifest = candidate.place.store, planned.manifest
    if candidate.place.archive is not None and planned.request.selection.is_all:
        store.ask_early(each.key(manifest.job) for each in needed_files(store, manifest))


def _differences(work: Work, copy: StoredCopy, remarks: Remarks, notes: list[str]) -> int:
    """Compare the target with the index once more, and count what does not have the bytes that it should.

    What the rights of who restores or the target itself do not allow (an owner, a header) is only noted.
    """
    count = described = 0
    for collection, name in work.names.items():
        for step in work.steps(copy, collection):
            if step.action == PROPERTIES:
                described += 1
            elif step.action not in _AS_ASKED:
                count += 1
                remarks.add(name, step.key, "differs", _STILL.get(step.action, f"there is still to do: {step.action}"))
    if described:
        notes.append(
            f"{described:,} objects have other properties than in the backup: the target did not take them over"
        )
    return count


def _passed_over(candidate: Candidate, error: LifeboatError) -> str:
    return f"the copy of {candidate.backup.id} in {candidate.place.name} cannot be used: {error.cause or error.problem}"


def _no_copy(job: str, notes: t.Sequence[str]) -> DamagedError:
    return DamagedError(
        f"Cannot restore {job}: no copy of the backup can be used",
        "; ".join(notes),
        "verify the other backups of the job and restore an earlier one",
    )


def _incomplete(result: RestoreResult) -> IncompleteError:
    counts = {
        "could not be written": result.done.failed,
        "are damaged in every copy": result.done.damaged,
        "were not removed because of that": result.done.left,
        "differ from the backup afterwards": result.differences,
        "have settings that the server did not take": result.settings_failed,
    }
    return IncompleteError(
        f"Backup {result.id} of {result.job} is not restored as a whole",
        "; ".join(
            [*(f"{count:,} objects {words}" for words, count in counts.items() if count), *result.remarks_sample[:3]]
        ),
        "look into the remarks, which name them and say why (remarks_file has all), then restore again: it goes on",
        result,
    )

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import typing as t

from .. import clock
from ..errors import DamagedError, IncompleteError, LifeboatError
from ..repository import catalog, copy, keyring, signing
from ..repository.catalog import Backup
from ..repository.keep import Keep
from ..repository.lease import WAIT_S
from ..repository.manifest import Manifest
from ..repository.whole_copies import whole_copies
from ..verify.drill_place import DrillPlace
from .copy_choice import NAMED, Narrowing, as_candidates, dropped_at_once
from .place import Place, Say, retrieving, silent
from .proving import Drill, prove, require_good
from .receiving import receive


@dataclasses.dataclass(frozen=True)
class CopyRequest:
    """Which backups to bring from one repository into another."""

    job: str
    backup: str  # an id, latest, latest_good, or all
    source: Place
    target: Place
    proof: str = "content"  # none | content | restore: what is done with each copy on arrival
    wait_s: float = WAIT_S
    drill: DrillPlace = dataclasses.field(default_factory=DrillPlace)
    try_out: Drill | None = None  # what proof restore is
    narrowing: Narrowing = dataclasses.field(default_factory=Narrowing)
    keep: Keep | None = None  # what the target keeps: what it would drop at once is not brought; None: all of it


@dataclasses.dataclass(frozen=True)
class CopyRunPlan:
    """What would be moved, and which copies only lack their proof."""

    request: CopyRequest
    moves: tuple[copy.CopyPlan, ...]
    manifests: t.Mapping[str, Manifest]  # by id, of all that was asked for
    unproved: frozenset[str]  # ids without a proof in the target that are to have one
    damaged: t.Mapping[str, str]  # ids that cannot be read in the source, and are not in the target either → why
    skipped: tuple[str, ...] = ()  # ids that the target would drop at once
    alone: frozenset[str] = frozenset()  # ids that cannot be read in the source: their copies only lack a proof

    @property
    def bytes(self) -> int:
        return sum(move.bytes for move in self.moves)

    @property
    def due(self) -> tuple[copy.CopyPlan, ...]:
        """Return what is to be moved, or is there and to be proved."""
        return tuple(move for move in self.moves if not move.is_empty or move.id in self.unproved)

    @property
    def is_empty(self) -> bool:
        return not self.due


@dataclasses.dataclass(frozen=True)
class CopiedBackup:
    """One backup that arrived."""

    id: str
    bytes: int
    seconds: float


def plan(request: CopyRequest) -> CopyRunPlan:
    """Compare what the source has with what the target lacks; changes nothing. Raises LifeboatError."""
    request.source.identity()
    request.target.receiving_identity()
    keyring.require_same(request.source.store, request.target.store)
    here, found = _catalogs(request)
    chosen = _chosen(request, found, here)
    now = request.target.store.now()
    skipped = dropped_at_once(here, [each.id for each in chosen], request.keep, now, request.narrowing.zone)
    chosen = [each for each in chosen if each.id not in skipped]
    manifests = {backup.id: backup.manifest for backup in chosen if backup.manifest is not None}
    there = {backup.id: backup for backup in here}
    unproved = {i for i in manifests if request.proof != "none" and not (i in there and there[i].standing.is_proved)}
    both = [(each, there[each.id]) for each in chosen if each.id in there]
    whole = whole_copies(request.source.store, request.target.store, request.job, both)
    moves: list[copy.CopyPlan] = []
    damaged: dict[str, str] = {}
    alone: dict[str, Manifest] = {}
    with retrieving(request.source):  # the lists of files; nobody can plan without
        for backup in chosen:
            try:
                is_whole = backup.id in whole
                moves.append(copy.nothing(request.job, backup.id) if is_whole else _move(request, backup))
            except DamagedError as error:
                theirs = there.get(backup.id)
                if theirs is None or theirs.has_failed:
                    damaged[backup.id] = error.cause or error.problem
                elif theirs.manifest is not None and theirs.is_sound and _is_to_be_proved(request, theirs):
                    moves.append(copy.nothing(request.job, backup.id))
                    alone[backup.id] = theirs.manifest
    return CopyRunPlan(
        request=request,
        moves=tuple(moves),
        manifests={**manifests, **alone},
        unproved=frozenset({*unproved, *alone}),
        damaged=damaged,
        skipped=tuple(sorted(skipped)),
        alone=frozenset(alone),
    )


def _is_to_be_proved(request: CopyRequest, theirs: Backup) -> bool:
    return request.proof != "none" and not theirs.standing.is_proved


def _catalogs(request: CopyRequest) -> tuple[list[Backup], list[Backup]]:
    """Return what target and source have of the job; of one backup that is named, if it is all that matters, only that.

    Whoever copies very many asks for each of them by itself.
    """
    target, source = request.target.store, request.source.store
    if request.backup not in NAMED and request.keep is None:
        here, found = (catalog.find(store, request.job, request.backup) for store in (target, source))
        if found is not None:
            return [here] if here is not None else [], [found]
    return catalog.backups(target, request.job), catalog.backups(source, request.job)


def _chosen(request: CopyRequest, found: list[Backup], here: t.Sequence[Backup]) -> list[Backup]:
    """Return the backups of the source that are asked for; none where tier and ages leave none.

    Raises LifeboatError when the source has none that could be meant.
    """
    if request.backup == "all":
        if all(backup.manifest is None for backup in found):
            raise LifeboatError(
                f"Cannot copy {request.job} from {request.source.name}",
                "it has no readable backup there",
                "run the job, or name another source",
            )
        chosen = found
    else:
        chosen = [catalog.choose(found, request.backup, request.job, request.source.name, [request.source.store])]
    if request.narrowing.is_open:
        return chosen
    ids = request.narrowing.chosen(as_candidates(chosen), as_candidates(here), request.target.store.now())
    return [each for each in chosen if each.id in ids]


def _move(request: CopyRequest, backup: catalog.Backup) -> copy.CopyPlan:
    if backup.manifest is None:
        raise DamagedError(f"Cannot copy {backup.id}", "; ".join(backup.alarms))
    if backup.signature == signing.WRONG:
        raise DamagedError(f"Cannot copy {backup.id}", signing.words(backup.signature))
    return copy.plan(request.source.store, request.target.store, backup.manifest)


def run(
    planned: CopyRunPlan, say: Say = silent, on_copied: t.Callable[[CopiedBackup], None] = lambda _copied: None
) -> tuple[CopiedBackup, ...]:
    """Copy what is missing and prove what arrived; done again it changes nothing.

    A damaged backup does not keep the others from being copied: raises IncompleteError (with what was copied) after
    them. Anything else ends the run at once; `on_copied` has heard then of each that arrived.
    """
    planned.request.target.store.discard_abandoned(planned.request.job)
    copied: list[CopiedBackup] = []
    damaged = dict(planned.damaged)
    for move in planned.due:
        try:
            copied.append(_brought(planned, move, say))
            on_copied(copied[-1])
        except DamagedError as error:
            damaged[move.id] = error.summary
    if damaged:
        raise _incomplete(planned.request, damaged, tuple(copied))
    return tuple(copied)


def require_readable(planned: CopyRunPlan) -> None:
    """Raise IncompleteError when what could be copied is there, and damaged backups are all that is left."""
    if planned.is_empty and planned.damaged:
        raise _incomplete(planned.request, planned.damaged, ())


def _incomplete(
    request: CopyRequest, damaged: t.Mapping[str, str], copied: tuple[CopiedBackup, ...]
) -> IncompleteError:
    return IncompleteError(
        f"Cannot copy {', '.join(damaged)} of {request.job} to {request.target.name}",
        "; ".join(f"{backup_id}: {why}" for backup_id, why in damaged.items()),
        f"verify the job in {request.source.name} and {request.target.name}; copy what is damaged from elsewhere",
        copied,
    )


def _brought(planned: CopyRunPlan, move: copy.CopyPlan, say: Say) -> CopiedBackup:
    request, manifest, begun = planned.request, planned.manifests[move.id], clock.monotonic()
    if move.id in planned.alone:
        say(f"{request.job}: reading {move.id} back from {request.target.name}")
        _prove(request, manifest)
        return CopiedBackup(move.id, 0, clock.seconds_since(begun))
    say(f"{request.job}: copying {move.id} from {request.source.name} to {request.target.name}")
    with retrieving(request.source, say):
        if request.source.archive is not None:
            request.source.store.ask_early(each.key(manifest.job) for each in move.missing)
        moved = receive(request.target, request.source.store, manifest, request.wait_s, say)
    if request.proof != "none":
        _prove(request, manifest)
    return CopiedBackup(move.id, moved.bytes, clock.seconds_since(begun))


def _prove(request: CopyRequest, manifest: Manifest) -> None:
    """Read a copy back. Raises DamagedError when anything of it is bad."""
    outcome = prove(request.target.store, manifest, request.proof, request.drill, drill=request.try_out)
    require_good(outcome, manifest, request.target.name)

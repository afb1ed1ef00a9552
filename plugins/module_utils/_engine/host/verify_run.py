# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import functools
import typing as t

from .. import clock
from ..errors import LifeboatError, UsageError
from ..objects.bucket_source import BucketSource
from ..objects.directory_source import DirectorySource
from ..s3.client import S3Client
from ..stream.encryption import WrongKeyError
from ..verify.drill_place import DrillPlace
from ..verify.objects_restore import Opener
from ..verify.sample import EVERYTHING, Sample
from ..verify.scratch import Scratch
from .candidates import Candidate, holdings, meant
from .copies_objective import CopiesObjective, lacking
from .drills import try_out
from .place import Place, Say, silent, twin_words
from .proving import UnrecordedError, prove

Client = t.Callable[[], S3Client]


@dataclasses.dataclass(frozen=True)
class VerifyRequest:
    """Which backups to verify, where and how hard."""

    job: str
    backup: str  # an id, latest, or all
    places: tuple[Place, ...]
    level: str  # presence | checksum | content | restore
    drill: DrillPlace = dataclasses.field(default_factory=DrillPlace)
    sample: Sample = EVERYTHING  # of the packs of objects and files, at level content
    scratch: Scratch | None = None  # for objects and files at level restore; None: a folder in that of `drill`
    copies: CopiesObjective | None = None  # that the newest of the backups is judged by; None: none
    source: Client | None = None  # objects and files: reaches the buckets whose present state is compared at restore


@dataclasses.dataclass(frozen=True)
class VerifyPlan:
    """What a verification would read."""

    request: VerifyRequest
    copies: tuple[Candidate, ...]
    problems: tuple[str, ...]  # repositories that do not answer, manifests that cannot be read or were tampered with
    has_remarks: bool = False  # a manifest is among them, which was harmed

    @property
    def stored_bytes(self) -> int:
        """Return how much lies there to be read."""
        manifests = (copy.backup.manifest for copy in self.copies)
        return sum(file.facts.stored_size for manifest in manifests if manifest for file in manifest.files)


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What the verification of one copy showed."""

    repository: str
    id: str
    level: str
    is_good: bool
    problems: tuple[str, ...]
    report: t.Mapping[str, t.Any]
    seconds: float
    unrecorded: str = ""  # why what was found is not recorded in the repository


def plan(request: VerifyRequest) -> VerifyPlan:
    """Choose the copies; every repository is to have the wanted backup. Raises LifeboatError when none has it."""
    known = holdings(request.job, request.places)
    problems = [f"{name}: {why}" for name, why in known.unreachable.items()] + twin_words(known.twins)
    rows = known.merged()
    wanted = [row.id for row in rows if request.backup in ("all", row.id)]
    if request.backup == "latest":
        wanted = [row.id for row in meant(rows, request.places, request.backup)]
    copies, has_remarks = [], False
    for place in request.places:
        here = {backup.id: backup for backup in known.found.get(place.name, [])}
        if place.name not in known.found or place.name in known.twins:
            continue
        for backup_id in wanted:
            backup = here.get(backup_id)
            if backup is None:
                if request.backup != "all":
                    problems.append(f"{place.name}: it has no copy of {backup_id}")
                continue
            remarks = backup.alarms if backup.is_usable else backup.remarks
            problems += [f"{place.name}: {backup_id}: {remark}" for remark in remarks]
            has_remarks = has_remarks or bool(remarks)
            if backup.manifest is not None:
                copies.append(Candidate(place, backup))
    if not copies and not problems:
        raise LifeboatError(
            f"Cannot verify {request.job}",
            f"no repository has backup {request.backup}",
            "look at the list of backups; run the job if it never ran",
        )
    return VerifyPlan(request, tuple(copies), tuple(problems), has_remarks)


def recording_problems(verdicts: t.Sequence[Verdict]) -> list[str]:
    """Say which verdicts nobody will know of who lists or prunes these backups."""
    return [f"{each.repository}: {each.unrecorded}" for each in verdicts if each.unrecorded]


def copies_problems(planned: VerifyPlan, verdicts: t.Sequence[Verdict]) -> list[str]:
    """Say what the newest of the verified backups lacks by the objective for copies.

    Copies that were found bad do not count, now or by a reading that proves more than this one, nor those that somebody
    has touched.
    """
    request = planned.request
    ids = [copy.backup.id for copy in planned.copies]
    if request.copies is None or not ids:
        return []
    newest, is_shallow = max(ids), request.level in ("presence", "checksum")
    doubtful = {
        copy.place.name
        for copy in planned.copies
        if copy.backup.id == newest and (copy.backup.alarms or (is_shallow and copy.backup.has_failed))
    }
    good = [each.repository for each in verdicts if each.id == newest and each.is_good]
    sites = {place.name: place.site for place in request.places}
    return lacking(request.copies, newest, [name for name in good if name not in doubtful], sites)


def no_client() -> S3Client:
    """Stand for the client where the source are folders of this host."""
    raise UsageError("Cannot compare buckets", "no server is named", "say at which server they are")


def of_objects(request: VerifyRequest, sample: Sample, scratch: Scratch | None, source: Client | None) -> VerifyRequest:
    """Return a request with what it says about objects and files."""
    return dataclasses.replace(request, sample=sample, scratch=scratch, source=source)


def _opener(client: Client | None, kind: str) -> Opener | None:
    """Return what opens the source of a backup as it is now: buckets of a server, or folders of this host."""
    if client is None:
        return None
    if kind == "files":
        return lambda roots: DirectorySource(list(roots), devices=True)
    return lambda buckets: BucketSource(client(), tuple(buckets))


def verify(planned: VerifyPlan, say: Say = silent) -> tuple[Verdict, ...]:
    """Verify every copy of the plan and record what was found; bad copies are verdicts, not errors.

    Raises WrongKeyError where the key is missing that a level needs.
    """
    return tuple(_verified(planned.request, copy, say) for copy in planned.copies)


def _verified(request: VerifyRequest, copy: Candidate, say: Say) -> Verdict:
    begun = clock.monotonic()
    backup_id, manifest = copy.backup.id, copy.backup.manifest
    problems: tuple[str, ...] = ()
    report: t.Mapping[str, t.Any] = {}
    unrecorded = ""
    say(f"{request.job}: verifying {backup_id} in {copy.place.name} ({request.level})")
    try:
        if manifest is not None:
            outcome = prove(
                copy.place.store,
                manifest,
                request.level,
                request.drill,
                sample=request.sample,
                drill=functools.partial(
                    try_out,
                    place=request.drill,
                    scratch=request.scratch,
                    source=_opener(request.source, manifest.kind),
                ),
            )
            problems, report = outcome.problems, outcome.report
    except UnrecordedError as error:
        problems, report, unrecorded = error.outcome.problems, error.outcome.report, error.summary
    except WrongKeyError:
        raise  # it is not the copy that is bad
    except LifeboatError as error:
        problems = (error.summary,)
    seconds = clock.seconds_since(begun)
    return Verdict(copy.place.name, backup_id, request.level, not problems, problems, report, seconds, unrecorded)

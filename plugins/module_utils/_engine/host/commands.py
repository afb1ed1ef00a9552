# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import argparse
import dataclasses
import functools
import typing as t

from .. import clock
from ..errors import DONE, FAILED, INCOMPLETE, UsageError
from ..repository.memory import no_search_for_cycles
from . import catalog_view, job_parts, set_listing, set_points, tables
from .config import Config
from .database_settings import DatabaseSettings
from .job_settings import JobSettings
from .minio_settings import MinioSettings
from .objects_job_settings import ObjectsSettings
from .place import Place, Say
from .run_as import Document, as_user, become, is_other, is_root
from .set_settings import SetSettings
from .shown import Shown
from .timing import zone_of
from .typed import require_repositories

if t.TYPE_CHECKING:
    from .verify_run import VerifyRequest

# Each subcommand imports its own parts when it is used: all of them take longer to load than a list takes to be shown.


def run(config: Config, options: argparse.Namespace, say: Say) -> Shown:
    """Run a job: back up, prove, copy; or acknowledge a flagged backup."""
    job = _own(config, options.job)
    if isinstance(job, SetSettings):
        from . import set_command

        return set_command.run(config, job, options)
    from . import run_command, server_command

    if isinstance(job, DatabaseSettings) and job.has_members:
        if options.acknowledge:
            job_parts.refuse(job, "acknowledge")
        return server_command.run(config, job, options, say)
    if options.acknowledge:
        return run_command.acknowledge(job, config.places_of_run(job), options.acknowledge)
    return run_command.run(job, config.places_of_run(job), options, say)


@no_search_for_cycles()
def list_backups(config: Config, options: argparse.Namespace, _say: Say) -> Shown:
    """List the backups of one job or of all."""
    jobs, remarks = _accessible(config, options.job)
    looked = [as_user(job.reader, job.name, functools.partial(_listings, config, job)) for job in jobs]
    found = [each for answer in looked for each in answer["listings"]]
    now = clock.now()
    shown: list[str] = []
    for each in found:
        if len(found) > 1 or not options.job:
            shown += ([""] if shown else []) + tables.heading(f"{each['job']} ({each['kind']})")
        shown += (set_listing if "points" in each else catalog_view).listing_lines(each, now)
        remarks += [f"{each['job']}: {words}" for words in catalog_view.remarks(each["unreachable"])]
    is_blind = any(each["unreachable"] for each in found)
    nothing = found and all(each["unreachable"] and not each["reached"] for each in found)
    return Shown({"jobs": found}, shown, FAILED if nothing else (INCOMPLETE if is_blind else DONE), remarks)


def _listings(config: Config, job: JobSettings) -> Document:
    if isinstance(job, SetSettings):
        return {"listings": [set_points.listing(config, job)]}
    return job_parts.listings(config, job)


def show(config: Config, options: argparse.Namespace, _say: Say) -> Shown:
    """Show all that is known about one backup, or about one recovery point of a set."""
    job = _own(config, options.job)
    if isinstance(job, SetSettings):
        return set_listing.show(config, job, options)
    job_parts.refuse(job, "show")
    document = catalog_view.description(config, job, options.backup)
    remarks = catalog_view.remarks(document["unreachable"])
    return Shown(
        document, catalog_view.description_lines(document, clock.now()), INCOMPLETE if remarks else DONE, remarks
    )


def copy(config: Config, options: argparse.Namespace, say: Say) -> Shown:
    """Bring every repository of a job what it lacks."""
    wanted = config.job(options.job)
    if isinstance(wanted, SetSettings):
        from . import set_command

        become(wanted.reader, wanted.name)
        places, _refused = config.usable_places(wanted)
        targets = _chosen(places, options.target, wanted)
        return set_command.copy(wanted, _chosen(places, options.source, wanted), targets, options)
    return _of_all(config, options, lambda job: _copy(config, job, options, say))


def _copy(config: Config, job: JobSettings, options: argparse.Namespace, say: Say) -> Shown:
    from . import copy_jobs
    from .copy_choice import narrowing_from
    from .drills import try_out

    places = config.places_of_run(job)
    request = copy_jobs.Request(
        job=job.name,
        backup=options.backup,
        places=places,
        sources=_chosen(places, options.source, job),
        targets=_chosen(places, options.target, job),
        proof=job.proof,
        drill=job.drill,
        try_out=functools.partial(try_out, place=job.drill),
        keep=job.keep,
        zone=zone_of(job.timezone),
        narrowing=narrowing_from(options.backup, options.tier, options.min_age, options.max_age, zone_of(job.timezone)),
    )
    result = copy_jobs.bring(request, say, dry_run=options.dry_run)
    verb = "would be copied" if options.dry_run else "copied"
    shown = [
        f"{each.id}: {verb} from {each.source} to {each.target}, {tables.size(each.bytes)}" for each in result.copied
    ]
    if not shown and not result.problems:
        shown = [f"{job.name}: every repository has what it is to have"]
    for problem in result.problems:
        shown += tables.note(problem)
    document = {"job": job.name, "dry_run": options.dry_run, **dataclasses.asdict(result)}
    return Shown(document, shown, _code(bool(result.copied), bool(result.problems)))


def prune(config: Config, options: argparse.Namespace, say: Say) -> Shown:
    """Thin out the backups of a job, and delete what nothing needs any more."""
    wanted = config.job(options.job)
    if isinstance(wanted, SetSettings):
        from . import set_command

        become(wanted.reader, wanted.name)
        places, refused = config.usable_places(wanted)
        chosen = _chosen(places, options.repository, wanted)
        return set_command.prune(wanted, places, chosen, refused, options, say)
    return _of_all(config, options, lambda job: _prune(config, job, options, say))


def _prune(config: Config, job: JobSettings, options: argparse.Namespace, say: Say) -> Shown:
    from . import prune_command

    places, refused = config.usable_places(job)
    chosen = _chosen(places, options.repository, job)
    return prune_command.prune(job, places, chosen, _of(refused, options.repository), options, say)


def lock(config: Config, options: argparse.Namespace, say: Say) -> Shown:
    """Lock what is to be kept, where there is object lock."""
    set_listing.refuse(config.job(options.job), "lock")
    return _of_all(config, options, lambda job: _lock(config, job, options, say))


def _lock(config: Config, job: JobSettings, options: argparse.Namespace, say: Say) -> Shown:
    from . import lock_command

    require_repositories(options.repository, job)
    names = options.repository or job.repositories
    return lock_command.lock(job, [config.repositories[name] for name in names], options, say)


def hold(config: Config, options: argparse.Namespace, say: Say) -> Shown:
    """Keep a backup whatever retention says, or let it go again."""
    from . import keeping_command

    job, chosen = _for_keeping(config, options)
    return keeping_command.hold(job, chosen, options, say)


def delete(config: Config, options: argparse.Namespace, say: Say) -> Shown:
    """Delete one backup."""
    from . import keeping_command

    job, chosen = _for_keeping(config, options)
    return keeping_command.delete(job, chosen, options, say)


def _for_keeping(config: Config, options: argparse.Namespace) -> tuple[JobSettings, tuple[Place, ...]]:
    job = _own(config, options.job)
    set_listing.refuse(job, options.command)
    job_parts.refuse(job, options.command)
    return job, _chosen(config.places(job), options.repository, job)


def verify(config: Config, options: argparse.Namespace, say: Say) -> Shown:
    """Verify copies of backups, and record what was found."""
    wanted = config.job(options.job)
    if isinstance(wanted, SetSettings):
        from . import set_command

        become(wanted.run_as, wanted.name)
        return set_command.verify(config, wanted, options, _verify)
    return _of_all(config, options, lambda job: _verify(config, job, options, say), misses=True)


def _verify(config: Config, job: JobSettings, options: argparse.Namespace, say: Say) -> Shown:
    from . import verify_run

    places, refused = config.usable_places(job)
    chosen = _chosen(places, options.repository, job)
    wanted = None if options.repository else job.copies
    request = verify_run.VerifyRequest(job.name, options.backup, chosen, options.level, job.drill, copies=wanted)
    planned = verify_run.plan(_with_objects_drill(request, job, options))
    verdicts = verify_run.verify(planned, say)
    problems = [
        *planned.problems,
        *catalog_view.remarks(_of(refused, options.repository)),
        *verify_run.recording_problems(verdicts),
        *verify_run.copies_problems(planned, verdicts),
    ]
    shown = []
    for each in verdicts:
        words = "good" if each.is_good else "BAD"
        shown.append(f"{each.id} in {each.repository}: {words} ({each.level}), {tables.duration(each.seconds)}")
        for problem in each.problems:
            shown += tables.note(problem)
    for problem in problems:
        shown += tables.note(problem)
    document = {
        "job": job.name,
        "level": options.level,
        "copies": [{**dataclasses.asdict(each), "good": each.is_good} for each in verdicts],
        "problems": problems,
    }
    is_damaged = any(candidate.backup.alarms for candidate in planned.copies) or not all(v.is_good for v in verdicts)
    return Shown(document, shown, FAILED if is_damaged else _code(bool(verdicts), bool(problems)))


def _with_objects_drill(request: VerifyRequest, job: JobSettings, options: argparse.Namespace) -> VerifyRequest:
    """Return a request with what the command line says about objects and files. Raises UsageError."""
    from ..verify.sample import parse_sample
    from ..verify.scratch import ScratchBucket
    from . import verify_run

    login = job.login if isinstance(job, ObjectsSettings) else None
    client = login.client if login is not None else None
    if options.scratch_bucket and client is None:
        raise UsageError(
            f"Cannot use bucket {options.scratch_bucket}",
            f"job {job.name} has no S3 server",
            "leave --scratch-bucket out",
        )
    scratch = ScratchBucket(client(), options.scratch_bucket) if options.scratch_bucket and client else None
    source = None
    if options.compare_source:
        if not isinstance(job, ObjectsSettings):
            raise UsageError(
                f"Cannot compare the source of job {job.name}", f"it is of kind {job.kind}", "leave it out"
            )
        source = client or verify_run.no_client
    return verify_run.of_objects(request, parse_sample(options.sample), scratch, source)


def restore(config: Config, options: argparse.Namespace, say: Say) -> Shown:
    """Bring a backup back: as a database, as buckets or as folders; or all backups of a recovery point."""
    job = _own(config, options.job)
    if isinstance(job, SetSettings):
        from . import set_command

        return set_command.restore(config, job, options, functools.partial(restore_member, options))
    job_parts.refuse(job, "restore")
    return _restore(config, job, options, say)


def restore_member(
    given: argparse.Namespace,
    config: Config,
    job: JobSettings,
    backup: str,
    confirm: t.Sequence[str],
    is_plan: bool,
    say: Say,
) -> Shown:
    """Bring a backup of a member of a set back to its own place, or show what that would do."""
    from . import set_command

    if isinstance(job, DatabaseSettings) and job.server_job and not job.database:  # its name was cut
        known = job_parts.known_members(config, config.job(job.server_job)).databases
        job = dataclasses.replace(job, database=known.get(job.name, ""))
    return _restore(config, job, set_command.member_options(given, job, backup, confirm, is_plan), say)


def _restore(config: Config, job: JobSettings, options: argparse.Namespace, say: Say) -> Shown:
    from . import database_restore_command, minio_command, restore_command

    restore_command.refuse_foreign(job, options)
    places, refused = config.usable_places(job)
    if isinstance(job, ObjectsSettings):
        remarks = catalog_view.remarks(_of(refused, options.repository))
        return restore_command.restore(job, _chosen(places, options.repository, job), remarks, options, say)
    if isinstance(job, MinioSettings):
        remarks = catalog_view.remarks(_of(refused, options.repository))
        return minio_command.restore(job, _chosen(places, options.repository, job), remarks, options, say)
    if not isinstance(job, DatabaseSettings):
        raise UsageError(f"Cannot restore job {job.name} like this", f"it is of kind {job.kind}", "use the modules")
    remarks = catalog_view.remarks(_of(refused, options.repository))
    return database_restore_command.restore(job, _chosen(places, options.repository, job), remarks, options, say)


def history(config: Config, options: argparse.Namespace, _say: Say) -> Shown:
    """Show the states of one object over all backups."""
    from . import restore_command

    job = _own(config, options.job)
    if not isinstance(job, ObjectsSettings):
        raise UsageError(f"Cannot show a history of job {job.name}", f"it is of kind {job.kind}", "lifeboat list")
    places, refused = config.usable_places(job)
    shown = restore_command.history(job, _chosen(places, options.repository, job), options)
    remarks = (*shown.remarks, *catalog_view.remarks(_of(refused, options.repository)))
    return dataclasses.replace(shown, remarks=remarks, exit_code=INCOMPLETE if remarks else shown.exit_code)


def show_status(config: Config, options: argparse.Namespace, _say: Say) -> Shown:
    """Say how jobs stand."""
    from . import status_command

    jobs, remarks = _accessible(config, options.job)
    mirrors = (
        [] if options.job else [each for each in config.mirrors.values() if is_root() or not is_other(each.run_as)]
    )
    return status_command.show(config, options, jobs, mirrors, remarks)


def check_all(config: Config, options: argparse.Namespace, _say: Say) -> Shown:
    """Look whether everything that runs need is there."""
    from . import check

    jobs, remarks = _accessible(config, options.job)
    used = {name for job in config.jobs.values() for name in job.repositories}
    found = []
    if not options.job:
        unused = [each for name, each in config.repositories.items() if name not in used]
        found += [check.check_repository(each) for each in unused]
        found += [check.check_reporting(config)] if config.reporting.channels else []
    found += [as_user(job.reader, job.name, functools.partial(check.check_job, config, job)) for job in jobs]
    code = check.exit_code(found)
    shown = [f"configuration {config.file}: {len(config.repositories)} repositories, {len(config.jobs)} jobs"]
    return Shown({"good": code == DONE, "checks": found}, shown + check.lines(found), code, remarks)


def _of_all(
    config: Config, options: argparse.Namespace, work: t.Callable[[JobSettings], Shown], *, misses: bool = False
) -> Shown:
    """Do the work of a subcommand for a job, or for each of its parts (see `job_parts.for_each`)."""
    job = _own(config, options.job)
    return job_parts.for_each(config, job, work, misses=misses) if job.has_members else work(job)


def _own(config: Config, name: str) -> JobSettings:
    """Return a job, as the user that it belongs to from now on. Raises UsageError."""
    job = config.job(name)
    become(job.run_as, job.name)
    return job


def _accessible(config: Config, name: str) -> tuple[list[JobSettings], list[str]]:
    """Return the jobs that this user may look at, and a remark about the others. Raises UsageError."""
    if name:
        return [config.job(name)], []
    jobs = list(config.jobs.values())
    mine = [job for job in jobs if is_root() or not is_other(job.run_as)]
    others = [f"{job.name} of user {job.run_as}" for job in jobs if job not in mine]
    if others and not mine:
        raise UsageError("Cannot look at the jobs", f"they are {', '.join(others)}", "run this as root or that user")
    return mine, [f"left out, because only root could look: {', '.join(others)}"] if others else []


def _chosen(places: t.Sequence[Place], names: t.Sequence[str], job: JobSettings) -> tuple[Place, ...]:
    """Return the places of the given names, in that order; all of them when no name is given. Raises UsageError."""
    by_name = {place.name: place for place in places}
    require_repositories(names, job)
    found = tuple(by_name[name] for name in names or by_name if name in by_name)
    if not found:
        raise UsageError(
            f"Cannot use a repository of job {job.name}", "their secrets cannot be read", f"lifeboat check {job.name}"
        )
    return found


def _of(refused: t.Mapping[str, str], names: t.Sequence[str]) -> dict[str, str]:
    return {name: why for name, why in refused.items() if not names or name in names}


def _code(has_result: bool, has_problems: bool) -> int:
    if not has_problems:
        return DONE
    return INCOMPLETE if has_result else FAILED

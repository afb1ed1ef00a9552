# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The subcommand `status`."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import typing as t

from .. import clock
from ..errors import DONE, FAILED, LifeboatError, UsageError
from . import metrics, mirror_status, server_status, set_status, status, tables
from .config import Config
from .database_settings import DatabaseSettings
from .job_settings import JobSettings
from .mirror_config import MirrorSettings
from .reporting import history_file, subject_of, write_metrics
from .run_as import Document, as_user
from .run_history import History
from .set_settings import SetSettings
from .shown import Shown

_Look = t.Callable[[bool], Document]


def show(
    config: Config,
    options: argparse.Namespace,
    jobs: t.Sequence[JobSettings],
    mirrors: t.Sequence[MirrorSettings],
    remarks: t.Sequence[str],
) -> Shown:
    """Say how jobs and mirrors stand; what cannot be looked at is wrong, and hides nothing else."""
    folder = config.reporting.metrics_dir
    if options.metrics and not folder:
        raise UsageError("Cannot write metrics", f"{config.file} has no folder for them", "set metrics.directory there")
    looked = [_looked(job, functools.partial(_of_parts, config, job, options.metrics)) for job in jobs]
    found = [part for each in looked for part in (each, *each.pop("parts", ()))]
    mirrored = [_looked(each, functools.partial(_of_mirror, config, each, options.metrics)) for each in mirrors]
    more = [*remarks, *(_host_metrics(config, folder, found) if options.metrics else ())]
    is_healthy = all(each["healthy"] for each in (*found, *mirrored)) and len(more) == len(remarks)
    now = clock.now()
    shown = status.lines(found, now) if found or not mirrored else []
    if mirrored:
        shown += ([""] if shown else []) + mirror_status.lines(mirrored, now)
    document = {"healthy": is_healthy, "jobs": found, "mirrors": mirrored}
    return Shown(document, shown, DONE if is_healthy else FAILED, more)


def _looked(settings: JobSettings | MirrorSettings, look: t.Callable[[], Document]) -> Document:
    try:
        user = settings.reader if isinstance(settings, JobSettings) else settings.run_as
        return as_user(user, settings.name, look)
    except LifeboatError as error:
        problem = error.summary
        if isinstance(settings, JobSettings):
            return status.unseen(settings, problem).document()
        return mirror_status.judge(settings, None, (problem,)).document()


def _of_parts(config: Config, job: JobSettings, writes: bool) -> Document:
    """Return how a job stands; the parts of one that has some are below its key `parts`."""
    if not isinstance(job, DatabaseSettings) or not job.has_members:
        return _of_job(config, job, writes)
    parts = [_of_job(config, each, writes) for each in server_status.members(config, job)]
    looked = server_status.look(config, job, parts)
    problems = _kept(config, job, lambda history: history, writes)
    whole = dataclasses.replace(looked, problems=(*looked.problems, *problems))
    return {**whole.document(), "parts": parts}


def _of_job(config: Config, job: JobSettings, writes: bool) -> Document:
    looked = set_status.look(config, job) if isinstance(job, SetSettings) else status.look(config, job)
    problems = _kept(config, job, looked.remembered, writes)
    return dataclasses.replace(looked, problems=(*looked.problems, *problems)).document()


def _of_mirror(config: Config, mirror: MirrorSettings, writes: bool) -> Document:
    file = history_file(config, mirror)
    problems = _kept(config, mirror, lambda history: history, writes)
    return mirror_status.judge(mirror, file.read() if file else None, problems).document()


def _kept(
    config: Config, settings: JobSettings | MirrorSettings, seen: t.Callable[[History], History], writes: bool
) -> tuple[str, ...]:
    """Remember what was seen and write the metrics, if that is asked for; return what was wrong with it."""
    file = history_file(config, settings)
    if not writes or file is None:
        return ()
    try:
        with file.changed() as kept:
            kept.history = seen(kept.history)
            write_metrics(config.reporting, settings, kept.history)
    except LifeboatError as error:
        return (error.summary,)
    return ()


def _host_metrics(config: Config, folder: str, found: t.Sequence[Document]) -> list[str]:
    now = clock.now()
    jobs = {**config.jobs, **{str(each["job"]): config.find(str(each["job"])) for each in found}}
    subjects = [subject_of(config.reporting, each, now) for each in jobs.values() if each is not None]
    subjects += [subject_of(config.reporting, each, now) for each in config.mirrors.values()]
    try:
        metrics.write_host(folder, now.timestamp(), subjects)
    except LifeboatError as error:
        return tables.note(error.summary)
    return []

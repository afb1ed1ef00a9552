# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import typing as t

from ..errors import LifeboatError
from ..objects import mirror_guards, mirror_run, mirror_verify
from ..objects.mirror_bucket import BucketSource
from ..objects.mirror_bucket_target import BucketTarget
from ..objects.mirror_directory import DirectorySource
from ..objects.mirror_directory_target import DirectoryTarget
from ..objects.mirror_files_target import FilesTarget
from ..objects.mirror_guards import Location
from ..objects.mirror_run import MirrorPlan, MirrorResult, Request
from ..objects.mirror_sides import MirrorSource, MirrorTarget
from ..objects.mirror_spool import write_plan_file
from ..objects.mirror_verify import Compared
from ..s3.client import S3Client
from ..s3.endpoint import Endpoint
from .job_lock import job_lock
from .mirror_job import MirrorJob, Side
from .place import Say, silent

_MASSES = {"mass_delete", "mass_rewrite", "entropy_jump"}


class NotEqual(LifeboatError):
    """The sides of a mirror are not the same; nothing was changed."""


@contextlib.contextmanager
def opened(job: MirrorJob) -> t.Iterator[Request]:
    """Return the sides to work with, for the duration of the block. Raises UsageError, GuardRefusal (`nested`)."""
    with contextlib.ExitStack() as stack:
        source = _source(job, stack)
        targets = tuple(_target(job, side, source, stack) for side in job.targets)
        yield Request(source, targets, job.allowed, job.threads, job.bytes_per_s, job.keeps_overwritten)


def plan(request: Request, job: MirrorJob) -> MirrorPlan:
    """Compare the sides, and write the plan to a file where that is wanted; changes nothing else."""
    planned = mirror_run.plan(request)
    try:
        if job.plan_file:
            write_plan_file(job.plan_file, planned.steps, [each.location.name for each in request.targets])
    except BaseException:
        planned.steps.close()
        raise
    return planned


def run(planned: MirrorPlan, say: Say = silent) -> MirrorResult:
    """Do what was planned. Raises BusyError while another mirror to one of the targets runs on this host."""
    with contextlib.ExitStack() as stack:
        for name in sorted({_lock_name(target.location) for target in planned.request.targets}):
            stack.enter_context(job_lock(name))
        return mirror_run.run(planned, say)


def verify(
    request: Request, job: MirrorJob, reads_content: bool
) -> tuple[MirrorPlan, tuple[Compared, ...], NotEqual | None]:
    """Compare both sides; returns the plan that would make them equal, what reading showed, and the verdict."""
    request = dataclasses.replace(request, allowed=request.allowed | _MASSES)
    planned = plan(request, job)
    planned.steps.close()
    compared = mirror_verify.compare(request) if reads_content else ()
    steps = sum(sum(tally.counts.values()) for tally in planned.tallies)
    corrupt = sum(each.different for each in compared)
    if not steps and not corrupt:
        return planned, compared, None
    cause = f"{steps:,} differences in the listings"
    if reads_content:
        cause += f", {corrupt:,} objects with other bytes"
    problem = f"The mirror of {request.source.location.name} is not equal to it"
    return planned, compared, NotEqual(problem, cause, "run the mirror; look at objects with other bytes first")


def _lock_name(location: Location) -> str:
    place = [location.endpoint.url if location.endpoint else "", location.bucket, location.path]
    return f"mirror-{hashlib.sha256(json.dumps(place).encode()).hexdigest()[:24]}"


def _source(job: MirrorJob, stack: contextlib.ExitStack) -> MirrorSource:
    location = job.source.location
    left_out = mirror_guards.left_out(location, [side.location for side in job.targets], job.allowed)
    if location.endpoint is None:
        return _closing(DirectorySource(location, left_out), stack)
    return BucketSource(_client(location.endpoint, stack), location, left_out)


def _target(job: MirrorJob, side: Side, source: MirrorSource, stack: contextlib.ExitStack) -> MirrorTarget:
    location = side.location
    others = [each.location for each in (job.source, *job.targets) if each is not side]
    left_out = mirror_guards.left_out(location, others, job.allowed)
    if location.endpoint is None:
        return _closing(DirectoryTarget(location, left_out, compares_properties=job.compares_properties), stack)
    if not isinstance(source, BucketSource):
        return FilesTarget(_client(location.endpoint, stack), location, left_out)
    own_source = source if _is_one_server(source.location, location) else None
    return BucketTarget(
        _client(location.endpoint, stack),
        location,
        left_out,
        own_source=own_source,
        compares_properties=job.compares_properties,
    )


S = t.TypeVar("S", DirectorySource, DirectoryTarget)


def _closing(side: S, stack: contextlib.ExitStack) -> S:
    stack.callback(side.close)
    return side


def _client(endpoint: Endpoint, stack: contextlib.ExitStack) -> S3Client:
    client = S3Client(endpoint)
    stack.callback(client.close)
    return client


def _is_one_server(source: Location, target: Location) -> bool:
    """Say whether the target's server can read the source by itself: the same server, with the same credentials."""
    one, other = source.endpoint, target.endpoint
    if one is None or other is None:
        return False
    keys = [(each.url, each.access_key, each.secret_key, each.session_token) for each in (one, other)]
    return keys[0] == keys[1]

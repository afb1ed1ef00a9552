# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What shows to be wrong in a command line as soon as the configuration is known."""

from __future__ import annotations

import argparse
import typing as t

from ..errors import UsageError
from .config import Config
from .job_settings import JobSettings
from .timing import zone_of


def refuse_mistyped(config: Config, options: argparse.Namespace) -> None:
    """Raise UsageError for what a person has mistyped, before anything begins: that says nothing about the job, and is
    nothing to be told or remembered."""
    if options.command in ("mirror", "notify") or not options.job:
        return
    job = config.find(options.job)
    if job is None:
        return  # somebody may miss its backups
    for names in ("repository", "source", "target"):
        require_repositories(getattr(options, names, ()), job)
    if options.command == "copy":
        from .copy_choice import narrowing_from

        narrowing_from(options.backup, options.tier, options.min_age, options.max_age, zone_of("UTC"))
    elif options.command == "verify":
        from ..verify.sample import parse_sample

        parse_sample(options.sample)
    elif options.command == "run":
        from .run_command import refuse_foreign

        refuse_foreign(job, options)


def require_repositories(names: t.Iterable[str], job: JobSettings) -> None:
    """Raise UsageError for the name of a repository that a job does not have."""
    for name in names:
        if name not in job.repositories:
            known = ", ".join(job.repositories)
            raise UsageError(f"Cannot use repository {name}", f"job {job.name} does not have it", f"it has {known}")

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of places where restores are tried out, and the place that they describe."""

from __future__ import annotations

import pwd
import typing as t

from .._engine.errors import UsageError
from .._engine.verify.drill_place import DrillPlace
from .options import Spec
from .postgres_options import POSTGRES_PROGRAMS, container_from

# Documented in the fragments _drill and _postgres_programs.
DRILL: Spec = {
    "scratch_dir": {"type": "path"},
    "scratch_user": {"type": "str"},
    "jobs": {"type": "int", "default": 1},
    **POSTGRES_PROGRAMS,
}


def drill_place_from(params: t.Mapping[str, t.Any]) -> DrillPlace:
    """Return where the options of DRILL want restores to be tried out. Raises UsageError."""
    jobs = params.get("jobs", 1)
    if jobs < 1:
        raise UsageError("Cannot restore with so many connections", f"jobs is {jobs}", "set it to 1 or more")
    container = container_from(params)
    return DrillPlace(
        bin_dir="" if container else params["bin_dir"] or "",
        folder=params.get("scratch_dir") or "",
        user=_ids_of(params.get("scratch_user") or ""),
        jobs=jobs,
        container=container,
    )


def _ids_of(user: str) -> tuple[int, int] | None:
    """Return the uid and the gid of a user of this host; None, which leaves the choice to the engine, without one."""
    if not user:
        return None
    try:
        found = pwd.getpwnam(user)
    except KeyError as error:
        raise UsageError(
            f"Cannot use scratch_user {user}", "this host has no such user", "name one that it has, such as postgres"
        ) from error
    return found.pw_uid, found.pw_gid

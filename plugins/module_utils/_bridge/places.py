# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The places that tasks name: repositories, and where restores are tried out."""

from __future__ import annotations

import pwd
import typing as t

from .._engine.errors import UsageError
from .._engine.host.place import Place
from .._engine.postgres.container import Container
from .._engine.verify.restore import DrillPlace
from .arguments import POSTGRES_PROGRAMS, Spec, archive_from, repository_name, site_from, store_from

# Documented in the fragments _drill and _postgres_programs.
DRILL: Spec = {
    "scratch_dir": {"type": "path"},
    "scratch_user": {"type": "str"},
    "jobs": {"type": "int", "default": 1},
    **POSTGRES_PROGRAMS,
}


def place_from(params: t.Mapping[str, t.Any], repository: str = "") -> Place:
    """Return the place of one `repository`; `repository` is the UUID that it must have, empty for any."""
    return Place(repository_name(params), store_from(params), repository, site_from(params), archive_from(params))


def places_from(repositories: t.Sequence[t.Mapping[str, t.Any]]) -> tuple[Place, ...]:
    """Return the places of a list of repositories, in its order.

    Raises UsageError for an empty list, and when two have the same name or are the same place: results could not tell
    which one they mean, and a copy onto itself is no copy.
    """
    problem = "Cannot use these repositories"
    if not repositories:
        raise UsageError(problem, "there is none", "name at least one")
    places = tuple(place_from(params) for params in repositories)
    _refuse_twins([place.name for place in places], problem, "give each a name of its own")
    _refuse_twins([_location(place) for place in places], problem, "name each place once")
    return places


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


def container_from(params: t.Mapping[str, t.Any]) -> Container | None:
    """Return the container that the options of POSTGRES_PROGRAMS name, None for none; `bin_dir` is a folder inside.

    Raises UsageError.
    """
    name, engine = params.get("container") or "", params.get("container_engine") or ""
    if engine and not name:
        raise UsageError("Cannot use these options", "container_engine stands alone", "name the container, too")
    return Container(name, engine, params["bin_dir"] or "") if name else None


def _location(place: Place) -> str:
    return place.store.name.rstrip("/")


def _refuse_twins(names: t.Sequence[str], problem: str, remedy: str) -> None:
    twins = sorted({name for name in names if names.count(name) > 1})
    if twins:
        raise UsageError(problem, f"{', '.join(twins)} is there more than once", remedy)


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

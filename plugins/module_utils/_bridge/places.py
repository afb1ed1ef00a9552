# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The repositories that tasks name."""

from __future__ import annotations

import typing as t

from .._engine.errors import UsageError
from .._engine.host.place import Place
from .arguments import archive_from, repository_name, site_from, store_from
from .keyring_options import access_from


def place_from(params: t.Mapping[str, t.Any], repository: str = "") -> Place:
    """Return the place of one `repository`; `repository` is the UUID that it must have, empty for any.

    Raises UsageError for a secret of its keyring that cannot be read.
    """
    access = access_from(params["keyring"]) if params.get("keyring") else None
    site, archive = site_from(params), archive_from(params)
    return Place(repository_name(params), store_from(params), repository, access, site, archive)


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


def _location(place: Place) -> str:
    return place.store.name.rstrip("/")


def _refuse_twins(names: t.Sequence[str], problem: str, remedy: str) -> None:
    twins = sorted({name for name in names if names.count(name) > 1})
    if twins:
        raise UsageError(problem, f"{', '.join(twins)} is there more than once", remedy)

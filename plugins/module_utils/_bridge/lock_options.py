# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How tasks want backups to be locked."""

from __future__ import annotations

import typing as t

from .._engine.errors import UsageError
from .._engine.host.lock_run import Request
from .._engine.host.lock_settings import policy_from
from .._engine.host.timing import zone_of
from .._engine.repository.keep import keep_from
from .places import places_from


def lock_request_from(params: t.Mapping[str, t.Any]) -> Request:
    """Return what the options of the module backup_lock ask for. Raises UsageError."""
    if params["most_requests"] < 1:
        raise UsageError(
            "Cannot lock so many files", f"most_requests is {params['most_requests']}", "set it to 1 or more"
        )
    places = places_from([_with_own_key(each) for each in params["repositories"]])
    keep, policies = {}, {}
    for place, given in zip(places, params["repositories"]):
        policies[place.name] = policy_from(given["lock"] or {}, f"lock of {place.name}")
        rules = keep_from(given["keep"] or {}, f"keep of {place.name}")
        if rules is not None:
            keep[place.name] = rules
    zone = zone_of(params["timezone"])
    return Request(params["job"], places, policies, keep, zone, params["most_requests"])


def _with_own_key(repository: t.Mapping[str, t.Any]) -> t.Mapping[str, t.Any]:
    """Return a repository with the key of who locks, where it has one."""
    own = repository["lock"] or {}
    if not own.get("access_key"):
        return repository
    return {**repository, "access_key": own["access_key"], "secret_key": own["secret_key"], "session_token": ""}

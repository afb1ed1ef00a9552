# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which backups tasks want to be copied."""

from __future__ import annotations

import dataclasses
import typing as t

from .._engine.errors import UsageError
from .._engine.host.copy_choice import narrowing_from
from .._engine.host.copy_run import CopyRequest
from .._engine.host.timing import zone_of
from .._engine.repository.keep import TIERS, keep_from
from .arguments import KEEP
from .drill_options import drill_place_from
from .options import Spec
from .places import places_from
from .postgres_options import POSTGRES_PROGRAMS

# Documented in the fragment _copy_choice.
COPY_CHOICE: Spec = {
    "tier": {"type": "str", "choices": list(TIERS)},
    "min_age": {"type": "str"},
    "max_age": {"type": "str"},
    "timezone": {"type": "str", "default": "UTC"},
    **KEEP,
    **POSTGRES_PROGRAMS,
}


def copy_request_from(params: t.Mapping[str, t.Any]) -> CopyRequest:
    """Return what the options of the module backup_copy ask for. Raises UsageError."""
    if params["wait_s"] < 0:
        raise UsageError("Cannot wait for so long", f"wait_s is {params['wait_s']}", "set it to 0 or more")
    source, target = places_from([params["source"], params["target"]])
    zone = zone_of(params["timezone"])
    request = CopyRequest(params["job"], params["backup"], source, target, params["proof"], params["wait_s"])
    return dataclasses.replace(
        request,
        drill=drill_place_from(params),
        narrowing=narrowing_from(params["backup"], params["tier"], params["min_age"], params["max_age"], zone),
        keep=keep_from(params["keep"] or {}),
    )

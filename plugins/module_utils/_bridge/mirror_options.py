# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of mirrors, and what they ask for."""

from __future__ import annotations

import typing as t

from .._engine.host.mirror_job import MirrorJob, Side
from .._engine.minio.bucket_settings import bytes_from
from .._engine.objects.mirror_guards import GUARDS
from .arguments import PLACE, PLACES
from .options import Spec
from .s3_options import endpoint_from

# Documented in the fragment _mirror_sides and in s3_mirror. A side has the suboptions of a repository.
MIRROR: Spec = {
    "source": PLACE,
    "targets": PLACES,
    "allow": {"type": "list", "elements": "str", "choices": list(GUARDS), "default": []},
    "verify": {"type": "str", "choices": ["no", "yes", "content"], "default": "no"},
    "keep_overwritten": {"type": "bool", "default": True},
    "compare_properties": {"type": "bool", "default": False},
    "threads": {"type": "int", "default": 16},
    "bandwidth": {"type": "str"},
    "plan_file": {"type": "path"},
}


def mirror_job_from(params: t.Mapping[str, t.Any]) -> MirrorJob:
    """Return the mirror that the options of MIRROR describe. Raises UsageError."""
    return MirrorJob(
        source=_side(params["source"]),
        targets=tuple(_side(each) for each in params["targets"]),
        allowed=frozenset(params["allow"]),
        threads=params["threads"],
        bytes_per_s=bytes_from(params["bandwidth"]) if params["bandwidth"] else 0,
        keeps_overwritten=params["keep_overwritten"],
        compares_properties=params["compare_properties"],
        plan_file=params["plan_file"] or "",
    )


def _side(params: t.Mapping[str, t.Any]) -> Side:
    if params["path"]:
        return Side(params["name"] or "", path=params["path"])
    return Side(params["name"] or "", endpoint_from(params), params["bucket"], params["prefix"])

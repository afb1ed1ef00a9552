# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where tasks want backups of objects and files to be tried out, and how much of them is to be read."""

from __future__ import annotations

import typing as t

from .._engine.errors import UsageError
from .._engine.host import verify_run
from .._engine.verify.sample import parse_sample
from .._engine.verify.scratch import ScratchBucket
from .options import Spec
from .s3_client import client_from
from .s3_options import S3_CONNECTION

# Documented in the module backup_verify; the connection is that to the server of the buckets.
OBJECTS_DRILL: Spec = {
    "sample": {"type": "str", "default": ""},
    "scratch_bucket": {"type": "str"},
    "compare_source": {"type": "bool", "default": False},
    **S3_CONNECTION,
}


def with_objects_drill(request: verify_run.VerifyRequest, params: t.Mapping[str, t.Any]) -> verify_run.VerifyRequest:
    """Return a request with what the options of OBJECTS_DRILL say. Raises UsageError for options that mean nothing."""
    if request.level != "restore" and (params["scratch_bucket"] or params["compare_source"]):
        name = "scratch_bucket" if params["scratch_bucket"] else "compare_source"
        raise UsageError(
            f"Cannot use {name} at level {request.level}", "nothing is restored there", "use level restore"
        )
    sample = parse_sample(params["sample"])
    if sample.total > 1 and request.level != "content":
        raise UsageError(
            f"Cannot use sample at level {request.level}", "samples are read at level content", "leave it out"
        )
    bucket = params["scratch_bucket"]
    scratch = ScratchBucket(client_from(params), bucket) if bucket else None
    return verify_run.of_objects(
        request, sample, scratch, (lambda: client_from(params)) if params["compare_source"] else None
    )

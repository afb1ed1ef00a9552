# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the modules that only look at users, groups, policies and access keys of MinIO have in common."""

from __future__ import annotations

import contextlib
import typing as t

from .._engine.errors import UsageError
from .._engine.minio.identity_api import IdentityApi
from .._engine.minio.identity_listing import Listing
from .identity_options import api_from
from .options import Spec

# Documented in the modules.
LIMIT: Spec = {"limit": {"type": "int", "default": 1000}}


def listed(params: t.Mapping[str, t.Any], what: str, read: t.Callable[[IdentityApi, int], Listing]) -> dict[str, t.Any]:
    """Return the rows that `read` finds under `what`, and how many there are. Raises LifeboatError."""
    limit = params["limit"]
    if limit < 0:
        raise UsageError("Cannot list so few", f"limit is {limit}", "set it to 0 for all, or more")
    with contextlib.closing(api_from(params)) as api:
        found = read(api, limit)
    return {what: list(found.rows), "total": found.total}

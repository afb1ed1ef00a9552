# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses

from ..postgres.container import Container


@dataclasses.dataclass(frozen=True)
class DrillPlace:
    """Where a restore is tried out, and as whom."""

    bin_dir: str = ""  # PostgreSQL's server programs; empty: the usual places
    folder: str = ""  # for the spooled archive and the scratch server; empty: that for temporary files
    user: tuple[int, int] | None = None  # uid and gid of the scratch server; None: nobody when root, else ourselves
    jobs: int = 1  # connections that load at once
    container: Container | None = None  # has programs that can read archives, for a host that has none

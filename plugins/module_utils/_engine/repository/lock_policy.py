# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import datetime as dt

MODES = ("GOVERNANCE", "COMPLIANCE")


@dataclasses.dataclass(frozen=True)
class LockPolicy:
    """How a repository locks what it keeps."""

    mode: str = "COMPLIANCE"  # one of MODES
    rolling: dt.timedelta = dt.timedelta(days=14)  # locked ahead where nobody can say how long a backup stays
    most: dt.timedelta | None = None  # never locked further ahead; None: as far as is promised

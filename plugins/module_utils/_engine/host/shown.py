# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import typing as t

from ..errors import DONE, LifeboatError
from .run_as import Document


@dataclasses.dataclass(frozen=True)
class Shown:
    """What a subcommand has to say in the end."""

    document: Document  # for machines
    lines: t.Sequence[str]  # for people
    exit_code: int = DONE
    remarks: t.Sequence[str] = ()  # for standard error
    error: LifeboatError | None = None  # what is not done, beside what is

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How endless tests choose what they do, and how long they go on.

make soak SOAK_S=3600 runs for an hour, SOAK_KILLS=200 until so many runs were killed or ended, however long that
takes; SOAK_SEED=… repeats the choices of a run that failed.
"""

from __future__ import annotations

import os
import random
import time
import typing as t

FAULTS = ("kill", "terminate")
MOST_CRASHES = 4  # in a row, before a run is left alone
ENCRYPTED = 0.5  # probability that repositories have a keyring
_TESTS = 3  # that share the time, or the kills
_SECONDS = float(os.environ.get("SOAK_S") or 600) / _TESTS
_KILLS = int(os.environ.get("SOAK_KILLS") or 0) / _TESTS  # 0: the time counts
_SEED = int(os.environ.get("SOAK_SEED") or random.SystemRandom().randrange(1_000_000))

Work = t.Callable[[random.Random], int]  # makes its choices, and returns how many runs it killed


def repeated(works: t.Sequence[Work]) -> None:
    """Do some of the works, each as often as it is named, until the time is over."""
    chance, until, killed, rounds = random.Random(_SEED), time.monotonic() + _SECONDS, 0, 0
    print(f"SOAK_SEED={_SEED}", flush=True)
    while not rounds or (killed < _KILLS if _KILLS else time.monotonic() < until):
        killed += chance.choice(works)(chance)
        rounds += 1
        print(f"{rounds} rounds, {killed} runs killed or ended", flush=True)
    assert killed

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Decide which of 10,000 backups stay, by all rules at once; the bar is a second."""

from __future__ import annotations

import argparse
import datetime as dt
import statistics
import sys
import time
import zoneinfo
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(CHECKOUT / "plugins" / "module_utils"))  # the engine needs nothing but itself
BAR_S = 1.0


def main() -> int:
    from _engine import clock
    from _engine.repository import retention
    from _engine.repository.keep import Keep

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--backups", type=int, default=10_000)
    options = parser.parse_args()
    now = dt.datetime(2026, 11, 20, 12, tzinfo=clock.UTC)
    moments = [now - dt.timedelta(hours=number) for number in range(options.backups)]
    keep = Keep(10, dt.timedelta(days=30), 48, 31, 52, 24, 7)
    taken = []
    for _round in range(options.rounds):
        found = [
            retention.Candidate(f"{clock.compact(moment)}-{number:06x}", is_proved=number % 9 != 0)
            for number, moment in enumerate(moments)
        ]
        begun = time.perf_counter()
        plan = retention.plan(found, keep, now, zoneinfo.ZoneInfo("Europe/Berlin"), force=True)
        taken.append(time.perf_counter() - begun)
    median = statistics.median(taken)
    print(f"{options.backups} backups, {len(plan.kept)} stay: {median:.2f} s (best {min(taken):.2f} s)")
    return int(median > BAR_S)


if __name__ == "__main__":
    raise SystemExit(main())

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run all benchmarks, or the named ones; every other word goes to them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
BENCHMARKS = sorted(path.stem for path in HERE.glob("*.py") if path.stem != "__main__")


def main(words: list[str]) -> int:
    """Run the benchmarks one after the other; the exit code says whether all could run."""
    named = [word for word in words if word in BENCHMARKS]
    options = [word for word in words if word not in BENCHMARKS]
    worst = 0
    for name in named or BENCHMARKS:
        print(f"== {name}", flush=True)
        worst = max(worst, subprocess.run([sys.executable, str(HERE / f"{name}.py"), *options], check=False).returncode)
    return worst


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

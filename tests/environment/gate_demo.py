# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The gate on the demo: everything comes back, and neither its end nor a Ctrl-C leaves anything behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from cache import CHECKOUT
from gate_checks import linked_variables
from gate_runner import GateFailure, Workplace
from processes import GuardedProcess

_DEMO = CHECKOUT / "tests" / "environment" / "demo.py"
_PATIENCE_S = 300.0


def demo(place: Workplace) -> str:
    """The demo shows what it promises; interrupted in its middle, it ends all that it started."""
    folder = place.scratch / "d"
    folder.mkdir()
    environment = {**linked_variables(), "TMPDIR": str(folder), "KEEP": ""}
    said = place.run(sys.executable, _DEMO, env=environment)
    _require_nothing_left(folder)
    _interrupt(place, folder, environment)
    _require_nothing_left(folder)
    in_all = [line.split()[2] for line in said.splitlines() if line.startswith("in all")]
    return f"{in_all[-1]} s" if in_all else ""


def _interrupt(place: Workplace, folder: Path, environment: dict[str, str]) -> None:
    """Press Ctrl-C while a module runs a server of its own, which is as deep as it gets."""
    log = place.scratch / "interrupted.log"
    with GuardedProcess([sys.executable, _DEMO], log=log, environment=environment, cwd=CHECKOUT) as process:
        while not list(folder.glob("*/scratch/lifeboat-pg-*")):
            with contextlib.suppress(subprocess.TimeoutExpired):
                status = process.wait(0.1)
                raise GateFailure(f"the demo ended with {status} before it could be interrupted")
        os.kill(process.pid, signal.SIGINT)
        status = process.wait(_PATIENCE_S)
    place.note(log.read_text(encoding="utf-8", errors="replace"))
    if status != 128 + signal.SIGINT:
        raise GateFailure(f"the interrupted demo ended with {status}")


def _require_nothing_left(folder: Path) -> None:
    """Raise GateFailure when a file is left, or a process that knows the folder by its arguments or environment."""
    left = [path.name for path in folder.iterdir()]
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (process / "cmdline").read_bytes()
            if os.fsencode(folder) in command + (process / "environ").read_bytes():
                left.append(command.replace(b"\0", b" ").decode("utf-8", "replace"))
    if left:
        raise GateFailure(f"the demo left {', '.join(left)}")

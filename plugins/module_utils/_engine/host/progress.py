# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import types
import typing as t

from .. import clock
from .tables import cut, duration, printable

_REDRAW_S = 1.0
# The child of a process that forks while another thread draws (`parallel_runs`) would find this lock and that of the
# stream held for ever. So whoever forks holds it, and nobody draws meanwhile.
_DRAWING = threading.Lock()
os.register_at_fork(before=_DRAWING.acquire, after_in_parent=_DRAWING.release, after_in_child=_DRAWING.release)


class Progress:
    """Shows which phase a run is in: on a terminal the current one with its time so far, else one line for each.

    To be called with a line at the begin of each phase. What cannot be shown (a terminal that was closed, a full disk
    under a log) never ends a run.
    """

    def __init__(self, stream: t.TextIO, is_terminal: bool) -> None:
        self._stream = stream
        self._is_terminal = is_terminal
        self._phase = ""
        self._begun = 0.0
        self._has_ended = threading.Event()
        self._redrawing: threading.Thread | None = None

    def __call__(self, line: str) -> None:
        """Begin the phase that `line` names."""
        line = printable(line)
        with _DRAWING:
            if not self._is_terminal:
                self._write(f"{_moment()} {line}\n")
                return
            self._leave()
            self._phase, self._begun = line, clock.monotonic()
            self._draw("")
        self._start_redrawing()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: types.TracebackType | None
    ) -> None:
        """End the last phase."""
        self._has_ended.set()
        if self._redrawing is not None:
            self._redrawing.join()
        with _DRAWING:
            self._leave()

    def _start_redrawing(self) -> None:
        if self._redrawing is None:
            self._redrawing = threading.Thread(target=self._redraw, name="progress", daemon=True)
            self._redrawing.start()

    def _redraw(self) -> None:
        while not self._has_ended.wait(_REDRAW_S):
            with _DRAWING:
                if self._phase:
                    self._draw("")

    def _leave(self) -> None:
        if self._phase:
            self._draw("\n")
            self._phase = ""

    def _draw(self, end: str) -> None:
        spent = f"  {duration(clock.monotonic() - self._begun)}"
        room = max(20, shutil.get_terminal_size().columns - len(spent) - 1)
        # Carriage return, and "erase to the end of the line" (ECMA-48, EL).
        self._write(f"\r{cut(self._phase, room)}{spent}\x1b[K{end}")

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)
            self._stream.flush()


def _moment() -> str:
    return clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")

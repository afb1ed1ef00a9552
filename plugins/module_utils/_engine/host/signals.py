# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import os
import signal
import types
import typing as t

from .. import clock

_GRACE_S = 10.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Interrupted(BaseException):
    """The command was told to end.

    No Exception, because it is not a failure of anything that could be tried again: whoever catches all of those, to go
    on with another repository for example, must not catch this.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.signal = signal.Signals(number)

    @property
    def exit_code(self) -> int:
        """Return 128 + the signal's number, as a shell reports it: 143 for SIGTERM, 130 for SIGINT."""
        return 128 + int(self.signal)


@contextlib.contextmanager
def unwinding() -> t.Iterator[None]:
    """Let the block end by Interrupted in the main thread when the process is told to end, so that children are ended
    and intents removed on the way out.

    A second signal ends the process at once; the next run of the job cleans up then. A signal that was ignored when
    the process began (nohup) stays ignored. No child outlives the block: the signal may have come between the start
    of one and the code that would end it.
    """
    previous = {number: signal.getsignal(number) for number in _SIGNALS}

    def unwind(number: int, _frame: types.FrameType | None) -> None:
        for each in handled:
            signal.signal(each, signal.SIG_DFL)
        raise Interrupted(number)

    handled = [number for number, handler in previous.items() if handler is not signal.SIG_IGN]
    for number in handled:
        signal.signal(number, unwind)
    try:
        yield
    except Interrupted:
        _end_children()
        raise
    finally:
        for number in handled:
            signal.signal(number, previous[number] or signal.SIG_DFL)


def _end_children() -> None:
    """End the children that are left, politely first, each with its process group."""
    deadline = clock.monotonic() + _GRACE_S
    _tell(signal.SIGTERM)
    while _has_children():
        if clock.monotonic() > deadline:
            _tell(signal.SIGKILL)
        clock.sleep(0.02)


def _has_children() -> bool:
    """Reap what has ended, and say whether anything is left."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _tell(number: int) -> None:
    for pid in _children():
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if os.getpgid(pid) == pid else os.kill)(pid, number)


def _children() -> list[int]:
    """Return the process ids of this process's children, as the kernel knows them (proc(5), /proc/pid/stat)."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
            # The name of the program, in parentheses, may hold anything; state and parent follow it.
            if int(file.read().rpartition(b")")[2].split()[1]) == os.getpid():
                found.append(int(name))
    return found

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import signal
import types
import typing as t

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
    the process began (nohup) stays ignored.
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
    finally:
        for number in handled:
            signal.signal(number, previous[number] or signal.SIG_DFL)

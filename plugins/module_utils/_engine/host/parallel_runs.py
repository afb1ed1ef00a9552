# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Several runs at once, each in a process of its own: a run keeps more than one core busy, and Python has only one."""

from __future__ import annotations

import contextlib
import os
import pickle
import selectors
import signal
import struct
import sys
import threading
import traceback
import typing as t

from .. import clock
from .place import Say
from .signals import Interrupted, unwinding

Work = t.Callable[[int, Say], t.Any]  # does the piece of work of this number, and returns what can be pickled

_NUMBER = struct.Struct(">I")
_LENGTH = struct.Struct(">Q")
_AT_ONCE = 1024  # numbers in one write: 4096 bytes, which a pipe takes as a whole or not at all (pipe(7), PIPE_BUF)
_BEGUN, _SAID, _DONE = "begun", "said", "done"
_SENDING = threading.Lock()
_GRACE_S = 10.0
_POLL_S = 0.02


class LostError(Exception):
    """The process that did a piece of work ended before its result was there."""


def run_all(work: Work, count: int, parallel: int, say: Say) -> list[t.Any]:
    """Do the pieces of work 0 to `count` - 1, at most `parallel` of them at once, the first ones first.

    Returns what `work` returned for each; a LostError for those whose process was killed or ended by a bug, and for
    what nobody was left to do. There may be no thread but the one that shows the progress, which holds still while
    this forks: others could be holding locks, or starting programs whose pipes the children would inherit. When this
    process is told to end, the others are told so too, and waited for.
    """
    results: list[t.Any] = [LostError() for _piece in range(count)]
    with unwinding(), contextlib.ExitStack() as stack:
        orders, giving = os.pipe()
        os.set_blocking(giving, False)
        try:
            children: list[int] = []
            for _child in range(min(parallel, count)):
                children.append(_forked(work, orders, giving, children, stack))
        finally:
            os.close(orders)
            stack.callback(os.close, giving)  # before the children are ended: those that wait for orders end by it
        _conduct(_Orders(giving, count), children, results, say)
    return results


class _Orders:
    """The numbers of the pieces of work, in a pipe that all children read: whoever is free takes the next."""

    def __init__(self, giving: int, count: int) -> None:
        self._giving = giving
        self._rest = list(range(count))

    def fill(self) -> bool:
        """Write what there is room for, and say whether that was all."""
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            while self._rest:
                os.write(self._giving, b"".join(map(_NUMBER.pack, self._rest[:_AT_ONCE])))
                del self._rest[:_AT_ONCE]
        return not self._rest


def _conduct(orders: _Orders, children: list[int], results: list[t.Any], say: Say) -> None:
    """Give orders and take results until all have come or all children have ended."""
    missing = len(results)
    buffers = {number: bytearray() for number in children}
    begun: dict[int, int] = {}
    with selectors.DefaultSelector() as selector:
        for number in children:
            selector.register(number, selectors.EVENT_READ)
        while missing and buffers:
            is_all = orders.fill()
            for key, _events in selector.select(None if is_all else 1.0):
                source = key.fd
                chunk = os.read(source, 65536)
                if not chunk:
                    selector.unregister(source)
                    del buffers[source]
                    missing -= begun.pop(source, None) is not None
                    continue
                buffers[source] += chunk
                for word, *rest in _messages(buffers[source]):
                    if word == _BEGUN:
                        begun[source] = rest[0]
                    elif word == _SAID:
                        say(rest[0])
                    else:
                        results[begun.pop(source)] = rest[0]
                        missing -= 1


def _messages(buffer: bytearray) -> t.Iterator[tuple[t.Any, ...]]:
    """Take the whole messages out of what came so far."""
    while len(buffer) >= _LENGTH.size:
        (length,) = _LENGTH.unpack_from(buffer)
        end = _LENGTH.size + length
        if len(buffer) < end:
            return
        message: tuple[t.Any, ...] = pickle.loads(bytes(buffer[_LENGTH.size : end]))
        del buffer[:end]
        yield message


def _forked(work: Work, orders: int, giving: int, others: t.Sequence[int], stack: contextlib.ExitStack) -> int:
    """Start a child, which is ended with the block of the stack, and return where it says what it does."""
    receiving, sending = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(receiving)
            os.close(giving)  # else the orders would never end
            for other in others:
                os.close(other)  # else the others would not notice that nobody listens any more
            status = _serve(work, orders, sending)
        finally:
            os._exit(status)
    os.close(sending)
    stack.callback(_end, pid, receiving)
    return receiving


def _serve(work: Work, orders: int, sending: int) -> int:
    """Be a child; what it inherited, such as the lock of the job, it keeps until it ends, and so it should."""
    for each in (signal.SIGINT, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)  # a terminal sends these to all; the parent ends its children itself
    try:
        with unwinding():
            while True:
                order = os.read(orders, _NUMBER.size)
                if len(order) < _NUMBER.size:
                    return 0
                (number,) = _NUMBER.unpack(order)
                _send(sending, _BEGUN, number)
                _send(sending, _DONE, work(number, lambda line: _send(sending, _SAID, line)))
    except Interrupted as end:
        return end.exit_code
    except BrokenPipeError:
        return 1  # nobody is left who wants to know
    except Exception:
        with contextlib.suppress(OSError, ValueError):
            traceback.print_exc(file=sys.stderr)
            sys.stderr.flush()
        return 1


def _send(sending: int, *message: t.Any) -> None:
    data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    rest = memoryview(_LENGTH.pack(len(data)) + data)
    with _SENDING:
        while rest:
            rest = rest[os.write(sending, rest) :]


def _end(pid: int, receiving: int) -> None:
    """End a child, politely first, and wait for it; one that has nothing left to do ends by itself."""
    os.close(receiving)
    deadline = clock.monotonic() + _GRACE_S
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        os.kill(pid, signal.SIGTERM)
        while not os.waitpid(pid, os.WNOHANG)[0]:
            if clock.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
            clock.sleep(_POLL_S)

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import concurrent.futures
import threading
import types
import typing as t

from .order_queue import OrderQueue
from .target import Bring, Outcome, WritesSeveral
from .worker_processes import Take, Tell, WorkerProcesses, processes_for

_THREADS = 2  # each has several requests on their way
_TOGETHER = 16  # objects that go to a process at once: each message wakes somebody up
_MOST_BYTES = 256 * 1024  # of these


class Writers(t.Protocol):
    """Who writes small objects."""

    def submit(self, order: Bring) -> concurrent.futures.Future[Outcome]:
        """Have an object written, at the latest after `send`. What concerns the whole target comes as the failure."""

    def send(self) -> None:
        """Begin with all that was submitted: to be called before anybody waits for it."""


def writers(target: WritesSeveral, at_once: int) -> t.ContextManager[Writers]:
    """Return who writes to a target, with `at_once` requests on their way: processes where that is worth it.

    To be called before any thread is started.
    """
    count = processes_for(at_once)
    return _WritingProcesses(target, count, -(-at_once // count)) if count else _WritingThreads(target, at_once)


class _WritingThreads:
    """Threads of this process."""

    def __init__(self, target: WritesSeveral, at_once: int) -> None:
        self._target = target
        self._at_once = -(-at_once // _THREADS)
        self._orders: OrderQueue[Bring] = OrderQueue()
        self._open: dict[int, concurrent.futures.Future[Outcome]] = {}  # by the number of the order
        self._error: BaseException | None = None
        self._lock = threading.Lock()
        self._last = 0
        self._pool = concurrent.futures.ThreadPoolExecutor(_THREADS, "lifeboat-writers")

    def __enter__(self) -> _WritingThreads:
        for _thread in range(_THREADS):
            self._pool.submit(self._run)
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: types.TracebackType | None
    ) -> None:
        if error is not None:
            self._error = self._error or error
        self._orders.close()
        self._pool.shutdown()

    def submit(self, order: Bring) -> concurrent.futures.Future[Outcome]:
        """Have an object written."""
        future: concurrent.futures.Future[Outcome] = concurrent.futures.Future()
        with self._lock:
            error = self._error
            self._last += 1
            if error is None:
                self._open[self._last] = future
        if error is None:
            self._orders.put(order._replace(token=self._last))
        else:
            future.set_exception(error)
        return future

    def send(self) -> None:
        """Do nothing: all that was submitted has begun."""

    def _run(self) -> None:
        try:
            for order, outcome in self._target.write_through(self._take, self._at_once):
                with self._lock:
                    future = self._open.pop(order.token, None)
                if future is not None:  # it has not failed with all others
                    future.set_result(outcome)
        except BaseException as error:  # whatever it is, who waits for the objects must hear of it
            self._fail(error)

    def _take(self, may_wait: bool) -> Bring | None:
        order = self._orders.take(may_wait)
        return order if self._error is None else None

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            self._error = self._error or error
            lost = list(self._open.values())
            self._open.clear()
        for future in lost:
            future.set_exception(error)


class _WritingProcesses:
    """Children of this process, each with connections of its own. One thread brings all objects."""

    def __init__(self, target: WritesSeveral, count: int, at_once: int) -> None:
        def write(_tell: Tell, take: Take) -> t.Iterator[tuple[int, Outcome]]:
            def take_order(may_wait: bool) -> Bring | None:
                got = take(may_wait)
                if got is None:
                    return None
                token, order = got
                return t.cast(Bring, order._replace(token=token))

            for order, outcome in target.another().write_through(take_order, at_once):
                yield order.token, outcome

        self._workers = WorkerProcesses(write, count, together=_TOGETHER)
        self._held: list[tuple[Bring, concurrent.futures.Future[Outcome]]] = []
        self._bytes = 0  # of what is held

    def __enter__(self) -> _WritingProcesses:
        self._workers.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        self._workers.__exit__(kind, error, trace)

    def submit(self, order: Bring) -> concurrent.futures.Future[Outcome]:
        """Have an object written, together with others."""
        future: concurrent.futures.Future[Outcome] = concurrent.futures.Future()
        self._held.append((order, future))
        self._bytes += len(order.data)
        if len(self._held) >= _TOGETHER or self._bytes >= _MOST_BYTES:
            self.send()
        return future

    def send(self) -> None:
        """Send what is held."""
        if self._held:
            held, self._held, self._bytes = self._held, [], 0
            self._workers.submit_all(held)

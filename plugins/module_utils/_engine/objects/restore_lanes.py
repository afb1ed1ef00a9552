# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import concurrent.futures
import threading
import types
import typing as t

In = t.TypeVar("In")
Out = t.TypeVar("Out")


class Lanes:
    """Threads that take work as it comes; who brings more than they can hold waits.

    The first error of any of them is raised by the next `submit` or `settle`; from then on nothing is begun.
    """

    def __init__(
        self,
        threads: int,
        most: int = 0,
        most_bytes: int = 64 * 1024 * 1024,
        before_waiting: t.Callable[[], None] | None = None,
    ) -> None:
        """`most` pieces of work are taken before they are done, or what suits the threads; `before_waiting` is called
        before who brings work waits for any of it.
        """
        self._before_waiting = before_waiting or _nothing
        self._pool = concurrent.futures.ThreadPoolExecutor(threads, "lifeboat-restore")
        self._changed = threading.Condition()
        self._most = most or 4 * threads  # pieces of work that were taken and are not done
        # Who waits for room is woken up when there is some for several: waking up costs more than a small object.
        self._enough = 3 * self._most // 4
        self._most_bytes = most_bytes  # that they hold in memory
        self._count = 0
        self._bytes = 0
        self._error: BaseException | None = None

    def __enter__(self) -> Lanes:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: types.TracebackType | None
    ) -> None:
        if error is not None:
            with self._changed:
                self._error = self._error or error
        self._pool.shutdown()

    def submit(self, work: t.Callable[[], None], size: int = 0) -> None:
        """Have a piece of work done that holds `size` bytes."""
        self._wait_for_room(size)
        self._pool.submit(self._do, work, size)

    def watch(
        self, begin: t.Callable[[], concurrent.futures.Future[Out]], done: t.Callable[[Out], None], size: int
    ) -> None:
        """Have somebody else begin a piece of work that holds `size` bytes, and do `done` with what comes of it."""
        self._wait_for_room(size)
        begin().add_done_callback(lambda future: self._do(lambda: done(future.result()), size))

    def _wait_for_room(self, size: int) -> None:
        if not self._has_room(size):
            self._before_waiting()
        with self._changed:
            while not self._has_room(size):
                if self._error is not None:
                    break
                self._changed.wait()
            self._raise()
            self._count += 1
            self._bytes += size

    def _has_room(self, size: int) -> bool:
        return not self._count or (self._count < self._most and self._bytes + size <= self._most_bytes)

    def settle(self) -> None:
        """Wait until all that was taken is done."""
        self._before_waiting()
        with self._changed:
            self._changed.wait_for(lambda: not self._count or self._error is not None)
            self._raise()

    def map(self, work: t.Callable[[In], Out], items: t.Sequence[In]) -> t.Iterator[Out]:
        """Yield what becomes of each item, in their order; what one raises comes out."""
        return self._pool.map(work, items)

    def _do(self, work: t.Callable[[], None], size: int) -> None:
        try:
            if self._error is None:
                work()
        except BaseException as error:  # whatever it is, the thread that brings the work must hear of it
            with self._changed:
                self._error = self._error or error
                self._changed.notify_all()
        finally:
            self._finish(size)

    def _finish(self, size: int) -> None:
        with self._changed:
            self._count -= 1
            self._bytes -= size
            if self._count <= self._enough:
                self._changed.notify_all()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error


def _nothing() -> None:
    """Do nothing."""

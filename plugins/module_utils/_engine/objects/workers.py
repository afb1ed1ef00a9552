# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import concurrent.futures
import threading
import types
import typing as t

from .source import ObjectError

Result = t.TypeVar("Result")


class Abandoned(Exception):
    """The work has been given up, and this part of it has nothing to add to why."""


class Workers:
    """Threads that work for one other; the first failure of any of them ends the work of all.

    An ObjectError is no such failure: it comes out where the result is asked for.
    """

    def __init__(self, count: int, name: str) -> None:
        self._pool = concurrent.futures.ThreadPoolExecutor(count, name)
        self._failed: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._lock = threading.Lock()
        self._is_over = False

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        self._is_over = True
        self._pool.shutdown(wait=True, cancel_futures=True)

    def submit(self, work: t.Callable[[], Result]) -> concurrent.futures.Future[Result]:
        """Let a thread do `work`; ask for its result with `result`."""
        return self._pool.submit(self._guarded, work)

    def result(self, future: concurrent.futures.Future[Result]) -> Result:
        """Wait for a result. Raises the first failure of any thread as soon as there is one."""
        if not future.done():
            either: tuple[concurrent.futures.Future[t.Any], ...] = (future, self._failed)
            concurrent.futures.wait(either, return_when=concurrent.futures.FIRST_COMPLETED)
        self.raise_failure()
        return future.result()

    def raise_failure(self) -> None:
        """Raise the first failure, if there was one."""
        if self._failed.done():
            self._failed.result()

    def require_going_on(self) -> None:
        """Raise Abandoned when nobody waits for the work any more; long work asks now and then."""
        if self._is_over or self._failed.done():
            raise Abandoned

    def _guarded(self, work: t.Callable[[], Result]) -> Result:
        self.require_going_on()
        try:
            return work()
        except (ObjectError, Abandoned):
            raise
        except BaseException as error:  # whatever it is, the waiting thread must hear of it
            with self._lock:
                if not self._failed.done():
                    self._failed.set_exception(error)
            raise

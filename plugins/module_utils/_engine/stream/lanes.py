# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import collections
import contextlib
import hashlib
import threading
import typing as t

Tick = t.Callable[[], None]
Item = t.TypeVar("Item")
Chunk = t.Union[bytes, memoryview]
_TICK_S = 1.0  # a stage that waits calls its tick this often


class Stopped(Exception):
    """The stream has stopped, and this stage has nothing to add to why."""


class Run:
    """The threads of one stream, and the first failure among them.

    All waiting happens on one condition, so that whatever changes (an item, an end, a failure) wakes everybody: stages
    carry chunks of a mebibyte, and a few wake-ups too many cost nothing.
    """

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.is_stopped = False
        self._failure: BaseException | None = None
        self._threads: list[threading.Thread] = []

    def start(self, name: str, work: t.Callable[[], None]) -> None:
        """Run `work` in a thread of its own; what it raises stops the run."""
        thread = threading.Thread(target=self._guarded, args=(work,), name=f"stream-{name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _guarded(self, work: t.Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # whatever it is, the calling thread must hear of it
            self.stop(error)

    def stop(self, failure: BaseException | None = None) -> None:
        """Make every stage end; the first failure is the one that counts, later ones are its consequences."""
        with self.changed:
            if not self.is_stopped:
                self._failure = failure
            self.is_stopped = True
            self.changed.notify_all()

    def wait(self, tick: Tick | None = None) -> None:
        """Wait until all threads have ended by themselves. Raises Stopped when one failed."""
        for thread in self._threads:
            while thread.is_alive():
                thread.join(_TICK_S)
                if tick is not None:
                    tick()
        if self.is_stopped:
            raise Stopped

    def join(self) -> None:
        """Wait until all threads have ended, after `stop`."""
        for thread in self._threads:
            # One that a signal kept from starting cannot be joined; one that starts just now finds the run stopped.
            with contextlib.suppress(RuntimeError):
                thread.join()

    def raise_failure(self) -> None:
        """Raise the first failure, as it is, if there was one."""
        failure, self._failure = self._failure, None
        if failure is not None:
            try:
                raise failure
            finally:
                del failure  # else its traceback, which names this frame, would keep blocks alive


class Lane(t.Generic[Item]):
    """A queue between two stages that holds at most `limit` items and ends when the run stops."""

    def __init__(self, run: Run, limit: int) -> None:
        self._run = run
        self._limit = limit
        self._items: collections.deque[Item] = collections.deque()
        self._is_closed = False

    def put(self, item: Item, tick: Tick | None = None) -> None:
        """Add an item; waits while the lane is full, and calls `tick` about every second meanwhile. Raises Stopped."""
        while not self._offer(item):
            if tick is not None:
                tick()

    def _offer(self, item: Item) -> bool:
        with self._run.changed:
            if len(self._items) >= self._limit and not self._run.is_stopped:
                self._run.changed.wait(_TICK_S)
            if self._run.is_stopped:
                raise Stopped
            if len(self._items) >= self._limit:
                return False
            self._items.append(item)
            self._run.changed.notify_all()
            return True

    def close(self) -> None:
        """Say that no item follows."""
        with self._run.changed:
            self._is_closed = True
            self._run.changed.notify_all()

    def __iter__(self) -> t.Iterator[Item]:
        """Take items until the lane is closed and empty. Raises Stopped."""
        while True:
            with self._run.changed:
                while not (self._items or self._is_closed or self._run.is_stopped):
                    self._run.changed.wait()
                if self._run.is_stopped:
                    raise Stopped
                if not self._items:
                    return
                item = self._items.popleft()
                self._run.changed.notify_all()
            yield item
            del item  # a waiting stage must not keep what it has passed on


class Digest:
    """Size and SHA-256 of the bytes that pass, in a thread of its own: hashing leaves the interpreter to others."""

    def __init__(self, run: Run, name: str, limit: int, passed: t.Callable[[Chunk], None] | None = None) -> None:
        """Begin; `passed` is called, in that thread, with each chunk that is not needed any more."""
        self._lane: Lane[Chunk] = Lane(run, limit)
        self._passed = passed
        self._sha256 = hashlib.sha256()
        self.size = 0  # bytes, as far as they were hashed
        run.start(f"sha256-{name}", self._work)

    def _work(self) -> None:
        for chunk in self._lane:
            self._sha256.update(chunk)
            self.size += len(chunk)
            if self._passed is not None:
                self._passed(chunk)

    def feed(self, chunk: Chunk, tick: Tick | None = None) -> None:
        """Hash `chunk` soon; waits while too much is waiting. Raises Stopped."""
        self._lane.put(chunk, tick)

    def close(self) -> None:
        """Say that nothing follows."""
        self._lane.close()

    @property
    def sha256(self) -> str:
        """Return the digest in hexadecimal; to be read after the run's threads have ended."""
        return self._sha256.hexdigest()

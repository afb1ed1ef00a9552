# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Simulated processes that stop at each request, and a clock that only the test moves."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import random
import secrets
import threading
import typing as t
import unittest.mock

from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import LifeboatError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import (
    alive,
    catalog,
    catalog_reading,
    lease,
    store,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.store import (
    ExpiredError,
    UnavailableError,
)

START = dt.datetime(2026, 11, 20, 2, 0, tzinfo=dt.timezone.utc)
LATENCY = dt.timedelta(milliseconds=300)  # of every request
_STUCK_S = 60.0  # of real time: a process that neither asks nor ends is a mistake in the test


class Crashed(BaseException):
    """The process was killed: nothing that it still does has an effect."""


class Violation(AssertionError):
    """Something happened that the protocol rules out."""


@dataclasses.dataclass
class Request:
    """What a process asks of a repository; it has an effect when the test lets it."""

    process: Process
    place: str  # name of the repository
    kind: str  # the store's method: put_new, delete …
    key: str
    execute: t.Callable[[], t.Any]
    is_change: bool = False
    is_repeatable: bool = False  # the S3 client repeats it by itself when no answer comes
    signed_at: dt.datetime | None = None  # None: signed when it is sent
    window: dt.timedelta | None = None  # how old a signature the server accepts; None where nothing is signed


@dataclasses.dataclass
class Sleep:
    until: dt.datetime


@dataclasses.dataclass(order=True)
class Flight:
    """A request that was signed and sent, and has not arrived yet."""

    arrival: dt.datetime
    number: int
    request: Request = dataclasses.field(compare=False)
    signed_at: dt.datetime = dataclasses.field(compare=False)


class Process:
    """A simulated process: a thread that runs only between `World.step` and its next request."""

    def __init__(self, world: World, name: str, work: t.Callable[[Process], t.Any]) -> None:
        self.world = world
        self.name = name
        self.result: t.Any = None
        self.error: LifeboatError | None = None
        self.bug: BaseException | None = None
        self.is_done = False
        self.is_crashed = False
        self.frozen_until = START
        self.pending: Request | Sleep | None = None
        self._work = work
        self._go = threading.Semaphore(0)
        self._answer: t.Callable[[], t.Any] = lambda: None
        self.thread = threading.Thread(target=self._main, name=name, daemon=True)

    def _main(self) -> None:
        self._go.acquire()
        try:
            if not self.is_crashed:
                self.result = self._work(self)
        except Crashed:
            pass
        except LifeboatError as error:
            self.error = error
        except BaseException as error:  # a failed assertion, or a mistake: the test must hear of it
            self.bug = error
        finally:
            self.is_done = True
            self.pending = None
            self.world.handed_back.release()

    def ask(self, what: Request | Sleep) -> t.Any:
        """Stop until the test lets the request through; called in the threads of this process."""
        if self.is_crashed:
            raise Crashed
        self.pending = what
        self.world.handed_back.release()
        self._go.acquire()
        if self.is_crashed:
            raise Crashed
        return self._answer()

    def resume(self, answer: t.Callable[[], t.Any]) -> None:
        """Go on with an answer (or the exception that it raises), up to the next request."""
        self._answer = answer
        self.pending = None
        self._go.release()
        if not self.world.handed_back.acquire(timeout=_STUCK_S):
            raise RuntimeError(f"{self.name} is stuck")

    @property
    def ready_at(self) -> dt.datetime:
        """Return when it can go on: it may be frozen, or asleep."""
        asleep = self.pending.until if isinstance(self.pending, Sleep) else START
        return max(self.frozen_until, asleep)


class World:
    """Time, and the processes in it. Used as a context: inside, the engine's clock is this one."""

    def __init__(self, seed: int = 1) -> None:
        self.now = START
        self.random = random.Random(seed)
        self.processes: list[Process] = []
        self.flights: list[Flight] = []
        self.handed_back = threading.Semaphore(0)
        self.current: Process | None = None
        self.before_change: list[t.Callable[[Request], None]] = []
        self.after_change: list[t.Callable[[Request], None]] = []
        self.is_down: set[str] = set()  # names of repositories that do not answer
        self.history: list[str] = []
        self._patches = contextlib.ExitStack()
        self._number = 0

    def __enter__(self) -> World:
        jitter = random.Random(self.random.random())
        for target, name, value in (
            (clock, "now", lambda: self.now),
            (clock, "monotonic", self._elapsed_s),
            (clock, "sleep", self.sleep),
            (secrets, "token_hex", lambda size: f"{self.random.getrandbits(8 * size):0{2 * size}x}"),
            (lease, "random", jitter),
            (alive, "_READERS", 1),
            (catalog_reading, "_LISTERS", 1),
            (store, "_READERS", 1),
            (catalog, "_READERS", 1),  # one request at a time, so that their order is always the same
        ):
            self._patches.enter_context(unittest.mock.patch.object(target, name, value))
        return self

    def _elapsed_s(self) -> float:
        return (self.now - START).total_seconds()

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            self.crash(process)
        self._patches.close()

    # Processes

    def start(self, name: str, work: t.Callable[[Process], t.Any]) -> Process:
        """Begin a process and let it come to its first request."""
        process = Process(self, name, work)
        self.processes.append(process)
        process.thread.start()
        self._resume(process, lambda: None)
        return process

    def step(self, process: Process) -> None:
        """Let a process go on to its next request; time passes if it is asleep or frozen."""
        if process.is_done:
            raise AssertionError(f"{process.name} has ended: {process.error}")
        self.advance(max(process.ready_at, self.now + LATENCY) - self.now)
        pending = process.pending
        if isinstance(pending, Request):
            outcome = self._executed(pending)
            self._resume(process, outcome)
        else:
            self._resume(process, lambda: None)

    def finish(self, process: Process) -> Process:
        """Let a process run to its end."""
        while not process.is_done:
            self.step(process)
        return process

    def do(self, name: str, work: t.Callable[[Process], t.Any]) -> t.Any:
        """Run a process from its begin to its end, and return its result; it must succeed."""
        process = self.finish(self.start(name, work))
        if process.error is not None:
            raise process.error
        return process.result

    def run_until(self, process: Process, kind: str, prefix: str = "", place: str = "", nth: int = 1) -> Request:
        """Run a process until it is about to send its `nth` request of a kind, for a key that begins with `prefix`."""
        while not process.is_done:
            found = process.pending
            if isinstance(found, Request) and found.kind == kind and found.key.startswith(prefix):
                nth -= place in ("", found.place)
                if nth == 0:
                    return found
            self.step(process)
        raise AssertionError(f"{process.name} ended ({process.error}) before any {kind} of {prefix}")

    def sleep(self, seconds: float) -> None:
        if self.current is None:
            self.advance(dt.timedelta(seconds=seconds))
        elif seconds > 0:
            self.current.ask(Sleep(self.now + dt.timedelta(seconds=seconds)))

    # Faults

    def crash(self, process: Process) -> None:
        """Kill a process; locks that it held are free, and requests that it sent may still arrive."""
        if process.is_done:
            return
        self.history.append(f"{self.now:%d %H:%M:%S.%f} {process.name} crashes")
        process.is_crashed = True
        self._resume(process, lambda: None)

    def lose_request(self, process: Process) -> None:
        """The request never arrives."""
        self._unanswered(process, "request lost")

    def lose_answer(self, process: Process) -> None:
        """The request has its effect, and the process does not hear of it."""
        self._executed(self._request(process))
        self._unanswered(process, "answer lost")

    def delay(self, process: Process, by: dt.timedelta, is_repeated: bool = False) -> None:
        """The request is on its way for a while; the process gives up waiting for it.

        `is_repeated`: the client sends it again at once by itself, and that goes through.
        """
        request = self._request(process)
        self._number += 1
        signed_at = request.signed_at or self.now
        self.flights.append(Flight(self.now + by, self._number, request, signed_at))
        self._note(request, f"in flight for {by}")
        if is_repeated:
            self.step(process)
        else:
            self._unanswered(process, "no answer")

    def advance(self, by: dt.timedelta) -> None:
        """Let time pass; what is in flight arrives."""
        end = self.now + by
        while self.flights and min(self.flights).arrival <= end:
            flight = min(self.flights)
            self.flights.remove(flight)
            self.now = max(self.now, flight.arrival)
            with contextlib.suppress(LifeboatError):  # nobody hears the answer
                self._executed(dataclasses.replace(flight.request, signed_at=flight.signed_at))()
        self.now = max(self.now, end)

    # Inside

    def _request(self, process: Process) -> Request:
        if not isinstance(process.pending, Request):
            raise AssertionError(f"{process.name} is not at a request")
        return process.pending

    def _unanswered(self, process: Process, how: str) -> None:
        request = self._request(process)
        self._note(request, how)
        error = UnavailableError(f"Cannot {request.kind} {request.key}", how)
        self._resume(process, lambda: _raise(error))

    def _resume(self, process: Process, answer: t.Callable[[], t.Any]) -> None:
        self.current, before = process, self.current
        try:
            process.resume(answer)
        finally:
            self.current = before
        if process.bug is not None:
            bug, process.bug = process.bug, None
            raise bug

    def _executed(self, request: Request) -> t.Callable[[], t.Any]:
        """Execute a request now, and return what gives its answer."""
        if request.place in self.is_down:
            error: BaseException = UnavailableError(f"Cannot reach {request.place}", "it is away")
            return lambda: _raise(error)
        if request.window is not None and request.signed_at is not None:
            age = self.now - request.signed_at
            if age > request.window:
                error = ExpiredError(f"Cannot {request.kind} {request.key}", f"signed {age} ago")
                return lambda: _raise(error)
        if request.is_change:
            self._note(request, "")
            for watch in self.before_change:
                watch(request)
        try:
            answer = request.execute()
        except LifeboatError as failure:
            error = failure
            return lambda: _raise(error)
        if request.is_change:
            for watch in self.after_change:
                watch(request)
        return lambda: answer

    def _note(self, request: Request, how: str) -> None:
        words = f"{request.process.name}: {request.kind} {request.place}/{request.key} {how}"
        self.history.append(f"{self.now:%d %H:%M:%S.%f} {words}".rstrip())


def _raise(error: BaseException) -> t.NoReturn:
    raise error

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import operator
import select
import typing as t

from .. import clock
from .connection import Wire
from .failure import S3Error
from .transport import MOST_XML, Answer, Request, Transport

Result = t.TypeVar("Result")
_value_of = operator.attrgetter("value")  # linters take the attribute itself for None


class Ask(t.NamedTuple):
    """A request of a task, whom it is for, and how long its answer may be."""

    transport: Transport
    request: Request
    most_bytes: int = MOST_XML


# A task yields what it asks for, is sent the answers (or gets an S3Error thrown), and returns its result.
Task = t.Generator[Ask, Answer, Result]


def alone(task: Task[Result]) -> Result:
    """Do a task, one request after the other. Raises S3Error, and what the task raises."""
    try:
        ask = next(task)
        while True:
            try:
                answer = ask.transport.whole(ask.request, ask.most_bytes)
            except S3Error as error:
                ask = task.throw(error)
            else:
                ask = task.send(answer)
    except StopIteration as done:
        result: Result = _value_of(done)
        return result


class _Waiting(t.NamedTuple):
    """A request that was sent."""

    task: Task[t.Any]
    ask: Ask
    wire: Wire
    until_s: float  # how long to wait for its answer, on the monotonic clock


def through(
    take: t.Callable[[bool], t.Any], task_of: t.Callable[[t.Any], Task[Result]], in_flight: int
) -> t.Iterator[Result]:
    """Yield what becomes of orders as they are done, each by a task; `take` is as in `Flight.run`."""

    def take_task(may_wait: bool) -> Task[Result] | None:
        order = take(may_wait)
        return None if order is None else task_of(order)

    return Flight(in_flight).run(take_task)


class Flight:
    """Does many small tasks in one thread, with several requests on their way at the same time.

    While one answer is read the others arrive: that takes half the processor's time of as many threads, which would
    wake each other up for each answer. What does not go smoothly is asked again, alone, with all repetitions that the
    transport has.
    """

    def __init__(self, in_flight: int) -> None:
        self._in_flight = in_flight
        self._poll = select.poll()
        self._waiting: dict[int, _Waiting] = {}  # by the number of the socket
        self._look_s = 0.0  # nobody has waited too long before, on the monotonic clock

    def run(self, take: t.Callable[[bool], Task[Result] | None]) -> t.Iterator[Result]:
        """Yield the results of tasks as they come.

        `take(True)` waits for the next task, and returns None in the end; `take(False)` returns None also where there
        is none yet. What a task raises comes out, and gives up the others.
        """
        try:
            while True:
                while len(self._waiting) < self._in_flight:
                    task = take(not self._waiting)
                    if task is None:
                        break
                    yield from self._on(task, None)
                if not self._waiting:
                    return
                for one in self._arrived():
                    yield from self._on(one.task, self._answer(one))
        finally:
            for one in self._waiting.values():
                one.wire.close()
            self._waiting.clear()

    def _on(self, task: Task[Result], answer: Answer | S3Error | None) -> t.Sequence[Result]:
        """Let a task go on until its next request is sent, or return its result."""
        try:
            while True:
                if isinstance(answer, S3Error):
                    ask = task.throw(answer)
                else:
                    ask = task.send(answer) if answer is not None else next(task)
                wire = self._sent(ask)
                if wire is None:
                    answer = self._asked_again(ask)
                    continue
                number = wire.number
                until_s = clock.monotonic() + ask.transport.endpoint.read_timeout_s
                self._look_s = min(self._look_s, until_s) if self._waiting else until_s
                self._poll.register(number, select.POLLIN)
                self._waiting[number] = _Waiting(task, ask, wire, until_s)
                return ()
        except StopIteration as done:
            return (done.value,)

    def _sent(self, ask: Ask) -> Wire | None:
        """Send a request, unless it must be watched alone."""
        if ask.request.once:
            return None
        try:
            return ask.transport.send(ask.request)
        except S3Error:
            return None

    def _arrived(self) -> t.Iterator[_Waiting]:
        """Yield the requests whose answers begin to arrive, and those that have waited too long for that."""
        for number, _event in self._poll.poll(max(1.0, 1000 * (self._look_s - clock.monotonic()))):
            yield self._taken(number)
        now_s = clock.monotonic()
        if now_s < self._look_s or not self._waiting:
            return
        for number in [number for number, one in self._waiting.items() if one.until_s <= now_s]:
            yield self._taken(number)
        self._look_s = min((one.until_s for one in self._waiting.values()), default=now_s)

    def _taken(self, number: int) -> _Waiting:
        self._poll.unregister(number)
        return self._waiting.pop(number)

    def _answer(self, one: _Waiting) -> Answer | S3Error:
        if clock.monotonic() > one.until_s and not self._has_come(one):
            one.wire.close()
            return self._asked_again(one.ask)
        try:
            return one.ask.transport.receive(one.ask.request, one.wire, one.ask.most_bytes)
        except S3Error as error:
            if error.status == 404:
                return error
        return self._asked_again(one.ask)

    def _has_come(self, one: _Waiting) -> bool:
        """Say whether an answer is there though nobody has looked for long."""
        poll = select.poll()
        poll.register(one.wire.number, select.POLLIN)
        return bool(poll.poll(0))

    def _asked_again(self, ask: Ask) -> Answer | S3Error:
        try:
            return ask.transport.whole(ask.request, ask.most_bytes)
        except S3Error as error:
            return error

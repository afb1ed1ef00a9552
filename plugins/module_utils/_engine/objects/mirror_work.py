# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import dataclasses
import os
import queue
import threading
import typing as t

from ..errors import LifeboatError
from .mirror_copy import Copier
from .mirror_flight import SimpleCopies
from .mirror_plan import SAMPLE, Action, Difference, Step
from .mirror_processes import Answer, in_processes
from .mirror_sides import MirrorSource, MirrorTarget
from .mirror_spool import Spool
from .source import ObjectError

_LOOK_S = 0.2  # how often who waits for room looks whether somebody has failed


@dataclasses.dataclass(frozen=True)
class Request:
    """What to mirror where to."""

    source: MirrorSource
    targets: tuple[MirrorTarget, ...]
    allowed: frozenset[str] = frozenset()  # guards that do not refuse this time
    threads: int = 16  # objects at once
    bytes_per_s: int = 0  # read from the source; 0: as fast as it goes
    keeps_overwritten: bool = True  # where no versions are kept: old states go to the quarantine


@dataclasses.dataclass
class Done:
    """What was done at one target."""

    counts: dict[Action, int] = dataclasses.field(default_factory=lambda: dict.fromkeys(Action, 0))
    bytes: int = 0  # written
    problems: list[str] = dataclasses.field(default_factory=list)  # the first ones
    failed: int = 0  # steps that were not done
    left: int = 0  # removals that were left for the next run

    def fail(self, words: str) -> None:
        """Note a step that failed."""
        self.failed += 1
        if len(self.problems) < SAMPLE:
            self.problems.append(words)

    def add(self, other: Done) -> None:
        """Add what another process did."""
        for action, count in other.counts.items():
            self.counts[action] += count
        self.bytes += other.bytes
        self.failed += other.failed
        self.problems = (self.problems + other.problems)[:SAMPLE]

    def to_json(self) -> dict[str, t.Any]:
        """Return what `from_json` reads."""
        return {**dataclasses.asdict(self), "counts": {action.value: count for action, count in self.counts.items()}}

    @classmethod
    def from_json(cls, found: t.Mapping[str, t.Any]) -> Done:
        """Return what another process wrote with `to_json`."""
        return cls(**{**found, "counts": {Action(name): count for name, count in found["counts"].items()}})


class Work:
    """The threads of a run, and what they did."""

    def __init__(self, request: Request, parent: int = 0) -> None:
        self._request = request
        self._parent = parent  # process that this one was forked off from; 0: none
        self._copier = Copier(request.source, request.targets, request.bytes_per_s, request.keeps_overwritten)
        self._lock = threading.Lock()  # of what was done
        self._turn = threading.Lock()  # of what comes next
        self._is_drained = False
        self._error: BaseException | None = None
        self.done = tuple(Done() for _target in request.targets)

    def close(self) -> None:
        """End the threads."""
        self._error = self._error or LifeboatError("The run has ended")
        self._copier.close()

    def copy_all(self, steps: Spool, processes: int) -> None:
        """Copy what is to be copied, by several processes where that pays."""
        coming = (each for each in steps if each.item is not None)
        if processes == 1:
            self._copy_each(coming)
            return
        answers = in_processes(processes, lambda number: self._share(steps, number, processes))
        for answer in answers:
            for done, target, (found, notes) in zip(self.done, self._request.targets, answer["targets"]):
                done.add(Done.from_json(found))
                target.notes.update(notes)
        error = next((answer["error"] for answer in answers if answer["error"]), None)
        if error is not None:
            raise LifeboatError(*error)

    def _share(self, steps: Spool, number: int, processes: int) -> Answer:
        """Be a child that copies every so manyeth object."""
        threads = max(1, self._request.threads // processes)
        request = dataclasses.replace(
            self._request, threads=threads, bytes_per_s=-(-self._request.bytes_per_s // processes)
        )
        work, error = Work(request, os.getppid()), None
        for target in request.targets:
            target.notes.clear()
        coming = (each for each in steps.part(number, processes) if each.item is not None)
        try:
            work._copy_each(coming)
            work.settle()
        except LifeboatError as failure:
            error = [failure.problem, failure.cause, failure.remedy]
        finally:
            work.close()
        found = [[done.to_json(), dict(target.notes)] for done, target in zip(work.done, request.targets)]
        return {"targets": found, "error": error}

    def _copy_each(self, steps: t.Iterator[Difference]) -> None:
        """Copy small objects in one thread, all others in the usual ones."""
        request = self._request
        simple = None if request.bytes_per_s else SimpleCopies.between(request.source, request.targets)
        if simple is None:
            self.each(self.copy, steps)
            return
        others: queue.Queue[Difference | None] = queue.Queue(request.threads)
        self._is_drained = False
        flyer = threading.Thread(target=self._fly, args=(simple, steps, others), name="lifeboat-mirror", daemon=True)
        try:
            flyer.start()
            self.each(self.copy, iter(others.get, None))
        finally:
            self._is_drained = True
            if flyer.ident is not None:
                flyer.join()

    def _fly(self, simple: SimpleCopies, steps: t.Iterator[Difference], others: queue.Queue[Difference | None]) -> None:
        def pull() -> Difference | None:
            self._require_going_on()
            return next(steps, None)

        def offer(difference: Difference | None, may_wait: bool) -> bool:
            while True:
                try:
                    others.put(difference, timeout=_LOOK_S if may_wait else 0.0)
                    return True
                except queue.Full:
                    self._require_going_on()
                    if not may_wait:
                        return False

        try:
            for difference, size in simple.run(self._request.threads, pull, offer):
                with self._lock:
                    for step in difference.steps:
                        self._note(step, difference.key, size, None)
        except BaseException as error:
            self._error = self._error or error
        while not self._is_drained:
            with contextlib.suppress(queue.Full):
                others.put(None, timeout=_LOOK_S)

    def _require_going_on(self) -> None:
        if self._error is not None:
            raise self._error
        if self._parent and os.getppid() != self._parent:
            raise LifeboatError("The mirror was ended")

    def settle(self) -> None:
        """Make durable what was done so far, by this process or those that it has forked off."""
        for target in self._request.targets:
            target.settle()

    def remove_all(self, steps: t.Iterator[Difference]) -> None:
        """Remove what is to be removed."""
        self.each(self.remove, steps)

    def each(self, work: t.Callable[[Difference], None], steps: t.Iterator[Difference]) -> None:
        """Do the work for each step, several at once; raises the first error that is not one object's."""
        threads = [
            threading.Thread(target=self._drain, args=(work, steps), name=f"lifeboat-mirror-{number}", daemon=True)
            for number in range(self._request.threads)
        ]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        except BaseException as error:
            self._error = error
            raise
        finally:
            for thread in threads:
                if thread.ident is not None:
                    thread.join()
        if self._error is not None:
            raise self._error

    def _drain(self, work: t.Callable[[Difference], None], steps: t.Iterator[Difference]) -> None:
        while self._error is None:
            try:
                self._require_going_on()
                with self._turn:
                    step = next(steps, None)
                if step is None:
                    return
                work(step)
            except BaseException as error:
                self._error = self._error or error

    def copy(self, difference: Difference) -> None:
        """Bring one object to the targets that lack it."""
        size, problems = self._copier.copy(difference)
        with self._lock:
            for step in difference.steps:
                self._note(step, difference.key, size, problems.get(step.target))

    def remove(self, difference: Difference) -> None:
        """Remove one object from the targets that still have it, unless it has come back to the source."""
        is_back = self._request.source.has(difference.key)
        for step in difference.steps:
            problem = None if is_back else self._removed(step)
            with self._lock:
                if is_back:
                    self.done[step.target].left += 1
                else:
                    self._note(step, difference.key, 0, problem)

    def _removed(self, step: Step) -> ObjectError | None:
        if step.own is None:
            raise ValueError("there is nothing to remove")
        target = self._request.targets[step.target]
        try:
            target.keep(step.own)
            target.remove(step.own)
        except ObjectError as error:
            return error
        return None

    def _note(self, step: Step, key: str, size: int, problem: ObjectError | None) -> None:
        done = self.done[step.target]
        if problem is None:
            done.counts[step.action] += 1
            done.bytes += size
        else:
            name = self._request.targets[step.target].location.name
            done.fail(f"{key} at {name}: {problem.summary}")

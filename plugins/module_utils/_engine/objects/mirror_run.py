# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import concurrent.futures
import dataclasses
import itertools
import threading
import typing as t

from ..errors import IncompleteError, LifeboatError
from . import mirror_guards
from .mirror_copy import Copier
from .mirror_plan import SAMPLE, Action, Difference, Pair, Questions, Step, Tally, Verdict, differences, joined
from .mirror_sides import MirrorSource, MirrorTarget
from .mirror_spool import Spool
from .rows import Item
from .source import ObjectError

Say = t.Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Request:
    """What to mirror where to."""

    source: MirrorSource
    targets: tuple[MirrorTarget, ...]
    allowed: frozenset[str] = frozenset()  # guards that do not refuse this time
    threads: int = 16  # objects at once
    bytes_per_s: int = 0  # read from the source; 0: as fast as it goes
    keeps_overwritten: bool = True  # where no versions are kept: old states go to the quarantine


@dataclasses.dataclass(frozen=True)
class MirrorPlan:
    """What is to be done at each target; nothing was changed yet."""

    request: Request
    tallies: tuple[Tally, ...]  # of each target
    objects: int  # of the source
    steps: Spool

    @property
    def is_empty(self) -> bool:
        return all(tally.is_empty for tally in self.tallies)


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


@dataclasses.dataclass(frozen=True)
class MirrorResult:
    """What a run did."""

    targets: tuple[Done, ...]
    remarks: tuple[str, ...]


class MirrorStopped(LifeboatError):
    """A run came to an end before its time; `result` is what it did until then. The next one goes on from there."""

    def __init__(self, error: LifeboatError, result: MirrorResult) -> None:
        super().__init__(error.problem, error.cause, error.remedy)
        self.result = result


def plan(request: Request) -> MirrorPlan:
    """Compare the sides, each listed once, at the same time; changes nothing.

    Raises GuardRefusal for what must not be done without a word of its own, and LifeboatError where a listing is not
    complete. The caller closes `steps`.
    """
    source, targets = request.source, request.targets
    tallies = tuple(Tally() for _target in targets)
    seen = {"source": 0}

    def wants(number: int, item: Item) -> bool:
        return targets[number].wants(item)

    def judge(number: int, item: Item, own: Item) -> Verdict:
        return targets[number].judge(item, own)

    def look(number: int, item: Item, own: Item) -> bool:
        return targets[number].look(source, item, own)

    steps = Spool()
    try:
        listings = [ahead(source.items()), *(ahead(target.items()) for target in targets)]
        pairs = _counting(joined(listings[0], listings[1:]), seen)
        steps.fill(differences(pairs, tallies, Questions(wants, judge, look, source.has), request.threads))
        objects = seen["source"]
        mirror_guards.check_source(objects, source.location.name, request.allowed)
        for target, tally in zip(targets, tallies):
            mirror_guards.check_masses(tally, target.location.name, request.allowed)
    except BaseException:
        steps.close()
        raise
    return MirrorPlan(request, tallies, objects, steps)


def run(planned: MirrorPlan, say: Say) -> MirrorResult:
    """Do what was planned: copies first; removals last, and only if all copies arrived.

    Raises IncompleteError when single objects failed, MirrorStopped when the run could not go on; both have the result.
    """
    request = planned.request
    work = _Work(request)
    try:
        for target, tally in zip(request.targets, planned.tallies):
            if not tally.is_empty:
                target.prepare()
        say(f"{request.source.location.name}: copying")
        work.each(work.copy, _coming(planned.steps))
        if not any(done.failed for done in work.done):
            say(f"{request.source.location.name}: removing what the source does not have")
            work.each(work.remove, _leaving(planned.steps))
        else:
            for done, tally in zip(work.done, planned.tallies):
                done.left = tally.counts[Action.REMOVE]
    except LifeboatError as error:
        raise MirrorStopped(error, work.result()) from error
    finally:
        work.close()
    result = work.result()
    failed = sum(done.failed for done in result.targets)
    if failed:
        raise _incomplete(request, result, failed)
    return result


def _incomplete(request: Request, result: MirrorResult, failed: int) -> IncompleteError:
    problems = [words for done in result.targets for words in done.problems]
    more = f"; and {failed - 3} more" if failed > 3 else ""
    left = "; nothing was removed" if any(done.left for done in result.targets) else ""
    return IncompleteError(
        f"Cannot mirror all of {request.source.location.name}",
        f"{failed} objects failed: {'; '.join(problems[:3])}{more}{left}",
        "run it again: it goes on with what is missing",
        result,
    )


def ahead(items: t.Iterator[Item]) -> t.Iterator[Item]:
    """Read a listing in a thread of its own, from now on and a page ahead: so all sides are listed at the same time."""
    pages = iter(lambda: list(itertools.islice(items, 1000)), [])
    pool = concurrent.futures.ThreadPoolExecutor(1, "lifeboat-list")
    return _pages(pages, pool, pool.submit(next, pages, None))


def _pages(
    pages: t.Iterator[list[Item]],
    pool: concurrent.futures.Executor,
    following: concurrent.futures.Future[list[Item] | None],
) -> t.Iterator[Item]:
    with pool:
        while True:
            page = following.result()
            if page is None:
                return
            following = pool.submit(next, pages, None)
            yield from page


def _counting(pairs: t.Iterator[Pair], seen: dict[str, int]) -> t.Iterator[Pair]:
    for pair in pairs:
        seen["source"] += pair.item is not None
        yield pair


def _coming(steps: t.Iterable[Difference]) -> t.Iterator[Difference]:
    return (each for each in steps if each.item is not None)


def _leaving(steps: t.Iterable[Difference]) -> t.Iterator[Difference]:
    return (each for each in steps if each.item is None)


class _Work:
    """The threads of a run, and what they did."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._copier = Copier(request.source, request.targets, request.bytes_per_s, request.keeps_overwritten)
        self._lock = threading.Lock()
        self._error: BaseException | None = None
        self.done = tuple(Done() for _target in request.targets)

    def close(self) -> None:
        self._error = self._error or LifeboatError("The run has ended")
        self._copier.close()

    def result(self) -> MirrorResult:
        sides = [self._request.source.remarks(), *(target.remarks() for target in self._request.targets)]
        return MirrorResult(self.done, tuple(words for remarks in sides for words in remarks))

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
                with self._lock:
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
            done.fail(f"{key} at {name}: {problem.problem}: {problem.cause}")

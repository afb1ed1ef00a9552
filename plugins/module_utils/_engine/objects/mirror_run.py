# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import itertools
import typing as t

from ..errors import IncompleteError, LifeboatError
from . import mirror_guards
from .mirror_order import Obstacles
from .mirror_plan import Action, Pair, Questions, Tally, Verdict, differences, joined
from .mirror_processes import processes_for
from .mirror_spool import Spool
from .mirror_work import Done, Request, Work
from .rows import Item

__all__ = ["Done", "MirrorPlan", "MirrorResult", "MirrorStopped", "Request", "ahead", "plan", "run"]

Say = t.Callable[[str], None]


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

    steps, opened = Spool(), contextlib.ExitStack()
    try:
        found = [opened.enter_context(ahead(target.items())) for target in targets]
        first = [next(items, None) for items in found]
        is_compared = any(item is not None for item in first)
        listings = [itertools.chain([item] if item else (), items) for item, items in zip(first, found)]
        own = opened.enter_context(ahead(source.items(is_compared=is_compared)))
        pairs = _counting(joined(own, listings), seen)
        found_out = differences(pairs, tallies, Questions(wants, judge, look, source.has), request.threads)
        steps.fill(opened.enter_context(contextlib.closing(found_out)))
        objects = seen["source"]
        mirror_guards.check_source(objects, source.location.name, request.allowed)
        for target, tally in zip(targets, tallies):
            mirror_guards.check_masses(tally, target.location.name, request.allowed)
            mirror_guards.check_entropy(tally, target.location.name, request.allowed, source.chunks, target.chunks)
    except BaseException:
        steps.close()
        raise
    finally:
        opened.close()
    return MirrorPlan(request, tallies, objects, steps)


def run(planned: MirrorPlan, say: Say) -> MirrorResult:
    """Do what was planned: copies first; removals last, and only if all copies arrived. In folders, what stands in the
    way of a copy is moved to the quarantine before.

    Raises IncompleteError when single objects failed, MirrorStopped when the run could not go on; both have the result.
    """
    request = planned.request
    work = Work(request)
    try:
        for target, tally in zip(request.targets, planned.tallies):
            if not tally.is_empty:
                target.prepare()
        obstacles = _obstacles(planned)
        if obstacles.are_possible:
            work.remove_all(obstacles.first())
            work.settle()  # processes that are forked off note what they change themselves
        say(f"{request.source.location.name}: copying")
        coming = max(tally.counts[Action.COPY] + tally.counts[Action.REPLACE] for tally in planned.tallies)
        work.copy_all(planned.steps, processes_for(coming, request.threads))
        work.settle()
        if not any(done.failed for done in work.done):
            say(f"{request.source.location.name}: removing what the source does not have")
            work.remove_all(obstacles.last())
            work.settle()
        else:
            for done, tally in zip(work.done, planned.tallies):
                done.left = tally.counts[Action.REMOVE] - done.counts[Action.REMOVE]
    except LifeboatError as error:
        raise MirrorStopped(error, _result(request, work)) from error
    finally:
        work.close()
    result = _result(request, work)
    failed = sum(done.failed for done in result.targets)
    if failed:
        raise _incomplete(request, result, failed)
    return result


def _obstacles(planned: MirrorPlan) -> Obstacles:
    """Return what stands in the way of copies, in those folders from which anything is to be removed."""
    targets = enumerate(zip(planned.request.targets, planned.tallies))
    trees = [number for number, (target, tally) in targets if target.is_tree and tally.counts[Action.REMOVE]]
    return Obstacles(planned.steps, trees)


def _result(request: Request, work: Work) -> MirrorResult:
    sides = [request.source.remarks(), *(target.remarks() for target in request.targets)]
    return MirrorResult(work.done, tuple(words for remarks in sides for words in remarks))


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


@contextlib.contextmanager
def ahead(items: t.Iterator[Item]) -> t.Iterator[t.Iterator[Item]]:
    """Read a listing in a thread of its own, from now on and a page ahead: so all sides are listed at the same time.

    The thread has ended when the block has. It must not be left to the collection of garbage, which comes in any thread
    and would wait there for one that may wait for it.
    """
    pages = iter(lambda: list(itertools.islice(items, 1000)), [])
    with concurrent.futures.ThreadPoolExecutor(1, "lifeboat-list") as pool:
        yield _pages(pages, pool, pool.submit(next, pages, None))


def _pages(
    pages: t.Iterator[list[Item]],
    pool: concurrent.futures.Executor,
    following: concurrent.futures.Future[list[Item] | None],
) -> t.Iterator[Item]:
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

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import enum
import heapq
import typing as t
import zlib

from ..errors import LifeboatError
from .rows import Item, order

SAMPLE = 20  # keys of each kind that results show
_LOOKED_INTO = 32  # replaced objects of a target
_LEAST = 256  # bytes; what is shorter hardly compresses


class Action(str, enum.Enum):
    """What is to be done with a key at a target."""

    COPY = "copy"  # it is not there
    REPLACE = "replace"  # it is there with another content, or other properties
    REMOVE = "remove"  # the source does not have it


class Verdict(enum.Enum):
    """What the listings say of a key that both sides have."""

    SAME = 0
    OTHER = 1
    LOOK = 2  # they do not tell: the object itself must be looked at


class Step(t.NamedTuple):
    """What is to be done with a key at one target."""

    target: int  # number of the target
    action: Action
    own: Item | None  # what the target has


class Difference(t.NamedTuple):
    """A key that some targets do not have as the source has it."""

    key: str
    item: Item | None  # as the source lists it; None where it does not
    steps: tuple[Step, ...]


class Pair(t.NamedTuple):
    """A key in the listings."""

    key: str
    item: Item | None
    owns: tuple[Item | None, ...]  # of each target


@dataclasses.dataclass
class Tally:
    """What a plan would do at one target."""

    objects: int = 0  # that it has now
    unchanged: int = 0
    hidden: int = 0  # of these: what the source has without listing it
    counts: dict[Action, int] = dataclasses.field(default_factory=lambda: dict.fromkeys(Action, 0))
    bytes: dict[Action, int] = dataclasses.field(default_factory=lambda: dict.fromkeys(Action, 0))
    rewritten: list[tuple[int, Item, Item]] = dataclasses.field(default_factory=list)  # a heap: a sample to look into
    samples: dict[Action, list[str]] = dataclasses.field(default_factory=lambda: {action: [] for action in Action})

    @property
    def is_empty(self) -> bool:
        """Say whether there is nothing to do."""
        return not any(self.counts.values())

    def add(self, key: str, step: Step, item: Item | None) -> None:
        """Count a step; the bytes of a removal are those that the target has, else those that come."""
        subject = item or step.own
        self.counts[step.action] += 1
        self.bytes[step.action] += subject.size if subject else 0
        if len(self.samples[step.action]) < SAMPLE:
            self.samples[step.action].append(key)
        if step.action is Action.REPLACE and item is not None and step.own is not None:
            self._sample(item, step.own)

    def _sample(self, item: Item, own: Item) -> None:
        """Keep the objects with the smallest checksums of their keys: the same for the same objects."""
        if min(item.size, own.size) < _LEAST or item.size == own.size and item.etag == own.etag:
            return
        entry = (-zlib.crc32(order(item.key)), item, own)
        (heapq.heappush if len(self.rewritten) < _LOOKED_INTO else heapq.heappushpop)(self.rewritten, entry)


def joined(source: t.Iterator[Item], targets: t.Sequence[t.Iterator[Item]]) -> t.Iterator[Pair]:
    """Merge listings, each in the order of `rows.order`, into one line for each key; memory does not depend on their
    length.

    Raises LifeboatError where a listing is out of order or has a key twice: it would hide differences.
    """
    heads = [_Head(each) for each in (source, *targets)]
    while True:
        due = [head.rank for head in heads if head.rank is not None]
        if not due:
            return
        first = min(due)
        item, *owns = (head.taken() if head.rank == first else None for head in heads)
        keys = [each.key for each in (item, *owns) if each is not None]
        yield Pair(keys[0], item, tuple(owns))


class _Head:
    """The next item of a listing."""

    def __init__(self, items: t.Iterator[Item]) -> None:
        self._items = items
        self._item: Item | None = None
        self.rank: bytes | None = b""
        self._advance()

    def taken(self) -> Item | None:
        """Return the item, and go on to the next."""
        item = self._item
        self._advance()
        return item

    def _advance(self) -> None:
        last, had = self.rank, self._item is not None
        self._item = next(self._items, None)
        self.rank = None if self._item is None else order(self._item.key)
        if had and self._item is not None and self.rank is not None and last is not None and self.rank <= last:
            raise LifeboatError(
                "Cannot compare the listings",
                f"{self._item.key!r} is not listed behind what stands before it",
                "look at the server's log: a listing that repeats or mixes keys hides others",
            )


Judge = t.Callable[[int, Item, Item], Verdict]  # number of the target, the source's item, the target's
Look = t.Callable[[int, Item, Item], bool]  # the same; whether the target has what the source has
Wants = t.Callable[[int, Item], bool]  # whether the target has a place for an object at all
Has = t.Callable[[str], bool]  # whether the source has a key that it does not list


@dataclasses.dataclass(frozen=True)
class Questions:
    """How keys are compared; `look` and `has` may take their time: they are asked by several threads."""

    wants: Wants
    judge: Judge
    look: Look
    has: Has


def differences(
    pairs: t.Iterable[Pair], tallies: t.Sequence[Tally], questions: Questions, threads: int = 16
) -> t.Generator[Difference, None, None]:
    """Yield what is to be done, in the order of the keys, and count it; what listings cannot tell is asked for.

    It is to be read to its end or closed, as threads work for it.
    """
    waiting: collections.deque[_Undecided] = collections.deque()
    with concurrent.futures.ThreadPoolExecutor(threads, "lifeboat-look") as pool:
        for pair in pairs:
            undecided = _undecided(pair, questions, pool)
            if undecided.is_decided and not waiting:
                yield from _counted(undecided, tallies)
                continue
            waiting.append(undecided)
            while waiting and (waiting[0].is_decided or len(waiting) > 4 * threads):
                yield from _counted(waiting.popleft(), tallies)
        while waiting:
            yield from _counted(waiting.popleft(), tallies)


_Answer = t.Union[None, Action, "concurrent.futures.Future[bool]"]  # None, True: nothing is to be done


class _Undecided(t.NamedTuple):
    pair: Pair
    answers: tuple[_Answer, ...]

    @property
    def is_decided(self) -> bool:
        return all(not isinstance(each, concurrent.futures.Future) or each.done() for each in self.answers)


def _undecided(pair: Pair, questions: Questions, pool: concurrent.futures.Executor) -> _Undecided:
    item = pair.item
    if item is None:
        # MinIO lists no `p/c` while there is `p`: what is not listed may be there all the same.
        hidden = pool.submit(questions.has, pair.key)
        return _Undecided(pair, tuple(None if own is None else hidden for own in pair.owns))
    return _Undecided(pair, tuple(_answer(n, item, own, questions, pool) for n, own in enumerate(pair.owns)))


def _answer(
    number: int, item: Item, own: Item | None, questions: Questions, pool: concurrent.futures.Executor
) -> _Answer:
    if own is None:
        return Action.COPY if questions.wants(number, item) else None
    verdict = questions.judge(number, item, own)
    if verdict is Verdict.LOOK:
        return pool.submit(questions.look, number, item, own)
    return Action.REPLACE if verdict is Verdict.OTHER else None


def _counted(undecided: _Undecided, tallies: t.Sequence[Tally]) -> t.Iterator[Difference]:
    pair, steps = undecided.pair, []
    for number, answer in enumerate(undecided.answers):
        own, tally = pair.owns[number], tallies[number]
        tally.objects += own is not None
        action = _action(answer, pair)
        if action is not None:
            steps.append(Step(number, action, own))
            tally.add(pair.key, steps[-1], pair.item)
        elif own is not None:
            tally.unchanged += 1
            tally.hidden += pair.item is None
    if steps:
        yield Difference(pair.key, pair.item, tuple(steps))


def _action(answer: _Answer, pair: Pair) -> Action | None:
    if not isinstance(answer, concurrent.futures.Future):
        return answer
    if answer.result():
        return None
    return Action.REMOVE if pair.item is None else Action.REPLACE

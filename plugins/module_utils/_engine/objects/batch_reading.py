# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import collections
import concurrent.futures
import typing as t

from . import object_fetch
from .changes import Wanted
from .member_names import MemberName
from .object_fetch import Fetched, Read, Vanished
from .order_queue import OrderQueue
from .pack_frames import Compress, Frame, Span, build, header
from .source import Order, Outcome, ReadsSeveral, Source


class Job(t.NamedTuple):
    """An object that is to be read, and the name that it gets in a pack."""

    wanted: Wanted
    name: MemberName


class Built(t.NamedTuple):
    """What some objects have become: ready to be written."""

    fetched: list[Fetched]  # one for each job
    frames: list[Frame]
    spans: list[Span]  # one for each object that has bytes of its own


class Batch:
    """Jobs that share frames, while they are read."""

    def __init__(self, source: Source, collection: str, jobs: t.Sequence[Job], token: t.Any = None) -> None:
        self.token = token  # whatever helps its owner to know it again
        self._source = source
        self._collection = collection
        self._jobs = jobs
        self._fetched: list[Fetched] = [Vanished()] * len(jobs)

    def orders(self) -> list[Order]:
        """Return what the source is asked for; tokens are (this batch, number of the job)."""
        return [
            object_fetch.order_of(self._collection, job.wanted, (self, number)) for number, job in enumerate(self._jobs)
        ]

    def have(self, number: int, outcome: Outcome) -> None:
        """Take what came of a job. Several threads may call it, each for other jobs."""
        wanted = self._jobs[number].wanted
        self._fetched[number] = object_fetch.fetched(self._source, self._collection, wanted, outcome)

    def built(self, compress: Compress) -> Built:
        """Make the frames, when there is something of each job."""
        members = [
            (header(job.name, one.found.item, len(one.data)), one.data)
            for job, one in zip(self._jobs, self._fetched)
            if isinstance(one, Read) and one.found.has_bytes
        ]
        frames, spans = build(members, compress)
        # The content is in the frames: the rows do not need it any more.
        fetched = [one._replace(data=b"") if isinstance(one, Read) else one for one in self._fetched]
        self._fetched.clear()
        return Built(fetched, frames, spans)


class Readers(t.Protocol):
    """Who reads batches of small objects."""

    def submit(self, collection: str, jobs: t.Sequence[Job]) -> concurrent.futures.Future[Built]:
        """Have some objects read whose content shares frames. What concerns the whole source comes as the failure."""


TakeBatch = t.Callable[[bool], t.Optional[Batch]]  # as `source.Take`


def read_batches(
    source: ReadsSeveral, compress: Compress, at_once: int, take: TakeBatch
) -> t.Iterator[tuple[Batch, Built]]:
    """Yield batches when they are read and built, with `at_once` requests on their way, whatever batch they are for."""
    orders: collections.deque[Order] = collections.deque()
    left: dict[Batch, int] = {}

    def take_order(may_wait: bool) -> Order | None:
        while not orders:
            batch = take(may_wait)
            if batch is None:
                return None
            orders.extend(batch.orders())
            left[batch] = len(orders)
        return orders.popleft()

    for (batch, number), outcome in source.read_through(take_order, at_once):
        batch.have(number, outcome)
        left[batch] -= 1
        if not left[batch]:
            del left[batch]
            yield batch, batch.built(compress)


class ReadingThread:
    """Reads batches in a thread of this process."""

    def __init__(self, source: ReadsSeveral, compress: Compress) -> None:
        self._source = source
        self._compress = compress
        self._batches: OrderQueue[Batch] = OrderQueue()

    def submit(self, collection: str, jobs: t.Sequence[Job]) -> concurrent.futures.Future[Built]:
        """Have some objects read."""
        future: concurrent.futures.Future[Built] = concurrent.futures.Future()
        self._batches.put(Batch(self._source, collection, jobs, future))
        return future

    def run(self, at_once: int, require_going_on: t.Callable[[], None]) -> None:
        """Read until `close`; `require_going_on` raises when nobody waits any more."""

        def take(may_wait: bool) -> Batch | None:
            batch = self._batches.take(may_wait)
            require_going_on()
            return batch

        for batch, built in read_batches(self._source, self._compress, at_once, take):
            batch.token.set_result(built)

    def close(self) -> None:
        """Let `run` end."""
        self._batches.close()

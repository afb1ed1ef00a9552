# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import collections
import concurrent.futures
import functools
import threading
import typing as t

from . import object_fetch
from .batch_reading import Batch, Built, Job, Readers, ReadingThread
from .changes import Gone, Kept, Step, Taken, Wanted
from .large_blocks import give_back_large_blocks
from .large_object import WINDOW, LargeObject
from .member_names import MemberNames
from .object_fetch import LARGEST_WHOLE, TRIES, Large, Missed, Read, Same
from .pack_frames import FRAME
from .pack_writer import PackWriter
from .remarks import OUTDATED, UNREADABLE
from .rows import Item, Row
from .source import ChangedError, ObjectError, Order, ReadsSeveral, Source, VanishedError
from .workers import Workers

THREADS = 16

# collection, key, one of the words above, why
Remark = t.Callable[[str, str, str, str], None]
_IN_FLIGHT = 64 * 1024 * 1024  # bytes in memory, plain and compressed, of objects that are read and not yet written
_OF_A_STEP = 2048  # bytes that an object takes besides its content, about
_SMALL = 256 * 1024  # bytes of objects that are asked for before others have arrived: they shall not wait for long
_HEADER = 1024  # bytes that an object needs in a frame besides its content, about
_MOST_STEPS = 4096  # of a batch


def gather(
    source: Source,
    collection: str,
    steps: t.Iterator[Step],
    packs: PackWriter,
    remark: Remark,
    threads: int = THREADS,
    readers: Readers | None = None,
) -> t.Iterator[Row | Taken]:
    """Read what is wanted of a collection into packs, and yield the finished rows and segments in the order of steps.

    Objects are read by several threads; small ones by `readers` where these are given, else by one thread that has
    several requests on their way, where the source can do that. What vanished is left out; what changes while it is
    read is read as it is then; what cannot be read keeps the row that the base has, and `remark` is called. Any other
    failure of the source or of the repository ends all threads and comes out as it is, and the unfinished packs are
    dropped. Memory: about 64 MiB besides what the upload of a pack holds, whatever the number of objects and their
    sizes.
    """
    give_back_large_blocks()
    own: ReadingThread | None = None
    if readers is None and isinstance(source, ReadsSeveral):
        readers = own = ReadingThread(source, packs.compress)
    with Workers(1 + threads, "gather") as workers:
        try:
            if own is not None:
                workers.submit(functools.partial(own.run, threads, workers.require_going_on))
            yield from _Gathering(workers, source, collection, packs, remark, readers).rows(steps)
        except BaseException:
            packs.abort()
            raise
        finally:
            if own is not None:
                own.close()


class _Batch:
    """Steps that follow each other, and whose objects share frames."""

    def __init__(self, is_small: bool = True) -> None:
        self.is_small = is_small  # so that readers may have it
        self.steps: list[Row | Taken | Job] = []
        self.jobs: list[Job] = []
        self.cost = 0  # bytes in memory
        self.size = 0  # bytes of the objects, with their headers
        self.built: concurrent.futures.Future[Built] = concurrent.futures.Future()


class _Reading:
    """A batch that is read by several threads, an object each."""

    def __init__(self, batch: Batch, count: int, future: concurrent.futures.Future[Built]) -> None:
        self.batch = batch
        self.future = future
        self._left = count
        self._lock = threading.Lock()

    def is_last(self) -> bool:
        """Note that an object is read; say whether it was the last."""
        with self._lock:
            self._left -= 1
            return self._left == 0


class _LargeJob(t.NamedTuple):
    """A large object that is being read."""

    job: Job
    object: LargeObject
    cost: int


class _Gathering:
    """The order of one collection: batches are read by threads, and written one after the other by the caller's."""

    def __init__(
        self,
        workers: Workers,
        source: Source,
        collection: str,
        packs: PackWriter,
        remark: Remark,
        readers: Readers | None,
    ) -> None:
        self._workers = workers
        self._source = source
        self._collection = collection
        self._packs = packs
        self._remark = remark
        self._readers = readers
        self._names = MemberNames(collection)
        self._batch = _Batch()
        self._pending: collections.deque[_Batch | _LargeJob] = collections.deque()
        self._cost = 0  # of what is pending

    def rows(self, steps: t.Iterator[Step]) -> t.Iterator[Row | Taken]:
        """Yield what becomes of the steps, in their order."""
        for step in steps:
            if isinstance(step, Wanted):
                self._want(Job(step, self._names.name(step.item.key)))
            elif not isinstance(step, Gone):
                ready = step.row if isinstance(step, Kept) else step
                if not self._pending and not self._batch.steps:
                    yield ready
                    continue
                self._add(ready, _OF_A_STEP)
            while self._pending and (self._cost >= _IN_FLIGHT or self._is_ready()):
                yield from self._written()
        self._close_batch()
        while self._pending:
            yield from self._written()

    def _is_ready(self) -> bool:
        """Say whether the first is read; it is looked at whenever a batch is full."""
        if self._batch.steps:
            return False
        self._workers.raise_failure()
        first = self._pending[0]
        return isinstance(first, _Batch) and first.built.done()

    def _want(self, job: Job) -> None:
        size = job.wanted.item.size
        if size > LARGEST_WHOLE and not job.wanted.only_properties:
            self._close_batch()
            large = _LargeJob(job, self._large(job, job.wanted.item), 2 * min(size, WINDOW))
            self._pending.append(large)
            self._cost += large.cost
            return
        if job.wanted.only_properties:
            size = 0
        is_small = size <= _SMALL
        if size > FRAME or is_small != self._batch.is_small:
            self._close_batch()
            self._batch.is_small = is_small
        self._batch.jobs.append(job)
        self._batch.size += size + _HEADER
        self._add(job, 2 * size + _OF_A_STEP)

    def _add(self, step: Row | Taken | Job, cost: int) -> None:
        """Add a step to the batch that is being filled."""
        batch = self._batch
        batch.steps.append(step)
        batch.cost += cost
        self._cost += cost
        if batch.size >= FRAME or len(batch.steps) >= _MOST_STEPS:
            self._close_batch()

    def _close_batch(self) -> None:
        batch = self._batch
        if not batch.steps:
            return
        self._batch = _Batch()
        self._pending.append(batch)
        if not batch.jobs:
            batch.built.set_result(Built([], [], []))
        elif batch.is_small and self._readers is not None:
            batch.built = self._readers.submit(self._collection, batch.jobs)
        else:
            self._read(batch)

    def _read(self, batch: _Batch) -> None:
        """Have a batch read by several threads."""
        reading = _Reading(Batch(self._source, self._collection, batch.jobs), len(batch.jobs), batch.built)
        for order in reading.batch.orders():
            self._workers.submit(functools.partial(self._read_one, reading, order))

    def _read_one(self, reading: _Reading, order: Order) -> None:
        """Read an object of a batch; whoever reads the last one makes the frames. Runs in a thread."""
        self._workers.require_going_on()
        reading.batch.have(order.token[1], object_fetch.outcome_of(self._source, order))
        if reading.is_last():
            reading.future.set_result(reading.batch.built(self._packs.compress))

    def _written(self) -> t.Iterator[Row | Taken]:
        """Write what is first, and yield its rows."""
        first = self._pending.popleft()
        if isinstance(first, _Batch):
            yield from self._rows_of(first)
        else:
            row = self._large_row(first.job, first.object)
            if row is not None:
                yield row
        self._cost -= first.cost

    def _rows_of(self, batch: _Batch, was_large: bool = False) -> t.Iterator[Row | Taken]:
        fetched, frames, spans = self._workers.result(batch.built)
        places = collections.deque(self._packs.add(frames, spans))
        del frames
        results = collections.deque(fetched)
        for step in batch.steps:
            if not isinstance(step, Job):
                yield step
                continue
            one = results.popleft()
            row: Row | None = None
            if isinstance(one, Read):
                row = one.row(places.popleft() if one.found.has_bytes else None)
            elif isinstance(one, Same):
                row = one.row()
            elif isinstance(one, Large) and was_large:
                row = self._missed(step.wanted, "its size changed whenever it was read")
            elif isinstance(one, Large):
                row = self._large_row(step, self._large(step, one.item))
            elif isinstance(one, Missed):
                row = self._missed(step.wanted, one.why)
            if row is not None:
                yield row

    def _missed(self, wanted: Wanted, why: str) -> Row | None:
        """Return what the base has of an object that cannot be read, and say so."""
        self._remark(self._collection, wanted.item.key, OUTDATED if wanted.base else UNREADABLE, why)
        return wanted.base

    def _large(self, job: Job, item: Item) -> LargeObject:
        return LargeObject(self._workers, self._source, self._collection, item, job.name, self._packs)

    def _large_row(self, job: Job, large: LargeObject) -> Row | None:
        """Write a large object, as it is in the end where it changes; None where there is nothing to tell of it."""
        why = ""
        try:
            for attempt in range(TRIES):
                if attempt:
                    item = self._now(job)
                    if item.size <= LARGEST_WHOLE:
                        return self._shrunk_row(job, item)
                    large = self._large(job, item)
                try:
                    return large.write()
                except ChangedError as error:
                    why = object_fetch.words(error)
                finally:
                    large.give_up()
        except VanishedError:
            return None
        except ObjectError as error:
            return self._missed(job.wanted, object_fetch.words(error))
        return self._missed(job.wanted, f"it changed whenever it was read: {why}")

    def _now(self, job: Job) -> Item:
        look = self._workers.submit(lambda: self._source.describe(self._collection, job.wanted.item))
        return self._workers.result(look).item

    def _shrunk_row(self, job: Job, item: Item) -> Row | None:
        """Read an object that is not large any more."""
        batch, small = _Batch(), job._replace(wanted=Wanted(item, job.wanted.base, only_properties=False))
        batch.steps.append(small)
        batch.jobs.append(small)
        self._read(batch)
        return t.cast("Row | None", next(self._rows_of(batch, was_large=True), None))

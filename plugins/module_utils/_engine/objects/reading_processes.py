# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import concurrent.futures
import threading
import types
import typing as t

from .batch_reading import Batch, Built, Job, read_batches
from .pack_frames import Compress
from .source import ReadsSeveral
from .worker_processes import Take, Tell, WorkerProcesses

Report = t.Callable[[str, str, str, str], None]  # collection, key, what, why
Open = t.Callable[[Report], ReadsSeveral]


class ReadingProcesses:
    """Children that read batches of small objects, each by one thread with several requests on their way."""

    def __init__(self, open_source: Open, compress: Compress, count: int, threads: int, report: Report) -> None:
        """Fork them; there must be no other threads yet. `report` takes what their sources tell, from any thread."""
        self._report = report
        self._told: set[tuple[str, str, str, str]] = set()
        self._lock = threading.Lock()
        at_once = -(-threads // count)

        def read(tell: Tell, take: Take) -> t.Iterator[tuple[int, Built]]:
            source = open_source(tell)

            def take_batch(may_wait: bool) -> Batch | None:
                got = take(may_wait)
                if got is None:
                    return None
                token, (collection, jobs) = got
                return Batch(source, collection, jobs, token)

            for batch, built in read_batches(source, compress, at_once, take_batch):
                yield batch.token, built

        self._workers = WorkerProcesses(read, count, self._tell)

    def __enter__(self) -> ReadingProcesses:
        self._workers.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        self._workers.__exit__(kind, error, trace)

    def submit(self, collection: str, jobs: t.Sequence[Job]) -> concurrent.futures.Future[Built]:
        """Have some objects read by the child that has the least to do."""
        return self._workers.submit((collection, list(jobs)))

    def _tell(self, collection: str, key: str, what: str, why: str) -> None:
        """Pass on what a source tells; what concerns a whole collection each child finds out by itself."""
        words = (collection, key, what, why)
        with self._lock:
            is_known = not key and words in self._told
            if not key:
                self._told.add(words)
        if not is_known:
            self._report(*words)

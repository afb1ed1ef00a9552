# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import concurrent.futures
import contextlib
import typing as t

from ..errors import LifeboatError
from ..s3.multipart import part_sizes
from .mirror_limits import Bandwidth, Memory
from .mirror_plan import Action, Difference, Step
from .mirror_sides import MirrorSource, MirrorTarget, Subject, Upload
from .patient_source import Patience
from .rows import Item
from .source import ChangedError, ObjectError, VanishedError

MIB = 1024 * 1024
WHOLE = 32 * MIB  # bytes: what is smaller, and has no parts, is read and written at once
MOST_PART = 128 * MIB  # bytes: objects with bigger parts get parts of other sizes
IN_FLIGHT = 192 * MIB  # bytes of objects in memory, in all
_UNCOUNTED = MIB  # bytes: smaller objects cost no more than their thread
_TRIES = 3  # how often an object that changes meanwhile is read anew
_PART_THREADS = 8


class _Job:
    """One object on its way, and what became of it at each target."""

    def __init__(self, item: Item, steps: list[Step], patience: t.Sequence[Patience]) -> None:
        self._patience = patience  # with each target
        self.item = item
        self.steps = steps  # that are still to be done
        self.size = 0  # bytes that came
        self.kept: set[int] = set()  # targets whose old state is safe
        self.problems: dict[int, ObjectError] = {}  # by target

    @contextlib.contextmanager
    def noting(self, step: Step) -> t.Iterator[None]:
        """Note what goes wrong with this object at one target: the others do not wait for it."""
        patience = self._patience[step.target]
        try:
            yield
        except LifeboatError as error:
            found = patience.judged("", self.item.key, error)
            if not isinstance(found, ObjectError):
                raise
            self.problems[step.target] = found
        else:
            patience.answered()


def _may_repeat(error: ObjectError | None) -> bool:
    return isinstance(error, (ChangedError, VanishedError))


class Copier:
    """Copies objects, each read once for all targets that lack it. Several threads may use it."""

    def __init__(
        self,
        source: MirrorSource,
        targets: t.Sequence[MirrorTarget],
        bytes_per_s: int = 0,
        keeps_overwritten: bool = True,
    ) -> None:
        self._source = source
        self._targets = targets
        self._keeps_overwritten = keeps_overwritten
        self._bandwidth = Bandwidth(bytes_per_s)
        self._memory = Memory(IN_FLIGHT)
        self._pool = concurrent.futures.ThreadPoolExecutor(_PART_THREADS, "lifeboat-part")
        self._patience = Patience()  # with the source
        self._of_targets = [Patience() for _target in targets]

    def close(self) -> None:
        """End the threads; parts that have not begun are dropped."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def copy(self, difference: Difference) -> tuple[int, dict[int, ObjectError]]:
        """Bring an object to all targets that lack it.

        Returns its size and, by number of the target, what went wrong with this object alone. Raises LifeboatError for
        all else, such as a server that cannot be reached, or that fails for one object after the other.
        """
        if difference.item is None:
            raise ValueError("there is nothing to copy")
        job = _Job(difference.item, list(difference.steps), self._of_targets)
        for tries in range(1, _TRIES + 1):
            try:
                if tries > 1:
                    job.item = self._source.describe(job.item).item
                self._try(job)
            except LifeboatError as error:
                found = self._patience.judged("", job.item.key, error)
                if not isinstance(found, ObjectError):
                    raise
                job.problems.update({step.target: found for step in job.steps})
            else:
                self._patience.answered()
            # What changed is read once more, for those that did not get it; so is what vanished: it may be back.
            job.steps = [step for step in job.steps if _may_repeat(job.problems.get(step.target))]
            if not job.steps:
                break
        return job.size, job.problems

    def _try(self, job: _Job) -> None:
        for step in job.steps:
            job.problems.pop(step.target, None)
        item = job.item
        if item.size <= WHOLE and "-" not in item.etag and not any(self._targets[s.target].copies for s in job.steps):
            self._whole(job, job.steps)
            return
        subject = self._source.describe(item)
        job.item, job.size = subject.item, subject.item.size
        left = [step for step in job.steps if not self._served(job, step, subject)]
        if left and subject.item.size <= WHOLE and not subject.part_sizes:
            self._whole(job, left)
        elif left:
            self._in_parts(job, left, subject)

    def _served(self, job: _Job, step: Step, subject: Subject) -> bool:
        """Let the server of a target do it; True also where that failed for this object."""
        is_served = True
        with job.noting(step):
            self._keep(job, step)
            is_served = self._targets[step.target].copy(subject)
        return is_served

    def _keep(self, job: _Job, step: Step) -> None:
        if not self._keeps_overwritten or step.action is not Action.REPLACE or step.own is None:
            return
        if step.target not in job.kept:
            self._targets[step.target].keep(step.own)
            job.kept.add(step.target)

    def _whole(self, job: _Job, steps: t.Sequence[Step]) -> None:
        size = job.item.size
        if size > _UNCOUNTED:
            self._memory.take(size)
        try:
            self._bandwidth.take(size)
            subject, data = self._source.read_whole(job.item)
            job.size = len(data)
            for step in steps:
                with job.noting(step):
                    self._keep(job, step)
                    self._targets[step.target].put(subject, data)
        finally:
            if size > _UNCOUNTED:
                self._memory.give_back(size)

    def _in_parts(self, job: _Job, steps: t.Sequence[Step], subject: Subject) -> None:
        uploads: dict[int, Upload] = {}
        try:
            for step in steps:
                with job.noting(step):
                    self._keep(job, step)
                    uploads[step.target] = self._targets[step.target].begin(subject)
            if uploads:
                self._send(subject, list(uploads.values()))
            for step in steps:
                if step.target in uploads:
                    with job.noting(step):
                        uploads[step.target].finish()
                        del uploads[step.target]
        finally:
            for upload in uploads.values():
                upload.abort()

    def _send(self, subject: Subject, uploads: t.Sequence[Upload]) -> None:
        sent: list[concurrent.futures.Future[None]] = []
        offset = 0
        try:
            for number, size in enumerate(parts_of(subject), 1):
                self._memory.take(size)
                part = self._pool.submit(self._part, subject, uploads, number, offset, size)
                part.add_done_callback(lambda _part, size=size: self._memory.give_back(size))  # type: ignore[misc]
                sent.append(part)
                offset += size
                for each in sent:
                    if each.done():
                        each.result()
                sent = [each for each in sent if not each.done()]
        finally:
            # Their bytes must not come after an `abort`.
            concurrent.futures.wait(sent)
        for each in sent:
            each.result()

    def _part(self, subject: Subject, uploads: t.Sequence[Upload], number: int, offset: int, size: int) -> None:
        try:
            self._bandwidth.take(size)
            data = self._source.read_range(subject, offset, size)
            for upload in uploads:
                upload.write(number, offset, data)
        except BaseException:
            for upload in uploads:
                upload.give_up()
            raise


def parts_of(subject: Subject) -> t.Iterator[int]:
    """Yield the sizes of the parts that an object is written in: its own, so that its ETag is the same everywhere,
    unless there are none or one is too big for the memory of this host.
    """
    if subject.part_sizes and max(subject.part_sizes) <= MOST_PART:
        yield from subject.part_sizes
        return
    left = subject.item.size
    for size in part_sizes(left):
        yield min(size, left)
        left -= size
        if left <= 0:
            return


def keeps_layout(subject: Subject) -> bool:
    """Say whether an object that is written in `parts_of` has the ETag that it has at the source, as far as servers
    make ETags of bytes and parts.
    """
    if not subject.comparable:
        return False
    if subject.part_sizes:
        return max(subject.part_sizes) <= MOST_PART
    return "-" not in subject.item.etag and subject.item.size <= WHOLE

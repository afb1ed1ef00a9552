# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ..errors import LifeboatError
from ..s3 import flight
from .mirror_bucket import BucketSource
from .mirror_bucket_target import BucketTarget
from .mirror_plan import Action, Difference
from .mirror_sides import MirrorSource, MirrorTarget
from .patient_source import is_of_server
from .source import ObjectError

SMALL = 256 * 1024  # bytes: longer answers would keep the others waiting

Pull = t.Callable[[], t.Optional[Difference]]  # the next difference, None in the end
Offer = t.Callable[[Difference, bool], bool]  # hand over a difference; waits for room if told so, else says whether


class SimpleCopies:
    """Copies small objects between servers, with several requests on their way in one thread.

    That is for objects without parts which overwrite nothing, or what the target's bucket keeps a version of. All
    others, and those that did not go smoothly, are handed over.
    """

    def __init__(self, source: BucketSource, targets: t.Sequence[BucketTarget]) -> None:
        self._source = source
        self._targets = targets

    @classmethod
    def between(cls, source: MirrorSource, targets: t.Sequence[MirrorTarget]) -> SimpleCopies | None:
        """Return what copies between these, None where there are none such copies."""
        buckets = [target for target in targets if isinstance(target, BucketTarget) and not target.copies]
        if not isinstance(source, BucketSource) or len(buckets) != len(targets):
            return None
        return cls(source, buckets)

    def run(self, at_once: int, pull: Pull, offer: Offer) -> t.Iterator[tuple[Difference, int]]:
        """Copy what `pull` brings, and yield it with the bytes that were copied; `offer` takes what is not for us."""
        held: list[Difference] = []

        def take(may_wait: bool) -> flight.Task[tuple[Difference, int | None]] | None:
            while True:
                difference = held.pop() if held else pull()
                if difference is None:
                    return None
                if self._is_simple(difference):
                    return self._copy_task(difference)
                if not offer(difference, may_wait):
                    held.append(difference)
                    return None

        for difference, size in flight.Flight(at_once).run(take):
            if size is None:
                offer(difference, True)
            else:
                yield difference, size

    def _is_simple(self, difference: Difference) -> bool:
        item = difference.item
        if item is None or item.size > SMALL or "-" in item.etag:
            return False
        return all(
            step.action is not Action.REPLACE or step.own is None or self._targets[step.target].keeps(step.own)
            for step in difference.steps
        )

    def _copy_task(self, difference: Difference) -> flight.Task[tuple[Difference, int | None]]:
        item = difference.item
        try:
            if item is not None:
                subject, data = yield from self._source.read_task(item)
                for step in difference.steps:
                    yield from self._targets[step.target].put_task(subject, data)
                return difference, len(data)
        except LifeboatError as error:
            if not isinstance(error, ObjectError) and not is_of_server(error):
                raise
        return difference, None

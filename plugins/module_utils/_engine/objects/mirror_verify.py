# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import threading
import typing as t

from .mirror_plan import SAMPLE, Pair, joined
from .mirror_run import Request, ahead
from .rows import Item
from .source import ObjectError


@dataclasses.dataclass
class Compared:
    """What reading both sides of a mirror showed at one target."""

    objects: int = 0  # that both sides have and that were read
    bytes: int = 0
    different: int = 0
    samples: list[str] = dataclasses.field(default_factory=list)  # keys and what is wrong with them

    def differs(self, words: str) -> None:
        """Note a difference."""
        self.different += 1
        if len(self.samples) < SAMPLE:
            self.samples.append(words)


def compare(request: Request) -> tuple[Compared, ...]:
    """Read every object that the source and a target have on both sides, and compare size and SHA-256.

    What only one side has is the plan's matter. Raises LifeboatError where a listing is not complete or a server does
    not answer.
    """
    found = tuple(Compared() for _target in request.targets)
    with contextlib.ExitStack() as opened:
        sides = [request.source.items(), *(target.items() for target in request.targets)]
        listings = [opened.enter_context(ahead(items)) for items in sides]
        pairs = joined(listings[0], listings[1:])
        work = _Comparison(request, found)
        threads = [
            threading.Thread(target=work.drain, args=(pairs,), daemon=True) for _number in range(request.threads)
        ]
        try:
            for thread in threads:
                thread.start()
        finally:
            for thread in threads:
                if thread.ident is not None:
                    thread.join()
    if work.error is not None:
        raise work.error
    return found


class _Comparison:
    """The work of the threads."""

    def __init__(self, request: Request, found: tuple[Compared, ...]) -> None:
        self._request = request
        self._found = found
        self._lock = threading.Lock()
        self.error: BaseException | None = None

    def drain(self, pairs: t.Iterator[Pair]) -> None:
        """Compare until there is nothing left."""
        while self.error is None:
            try:
                with self._lock:
                    pair = next(pairs, None)
                if pair is None:
                    return
                if pair.item is not None:
                    self._compare(pair, pair.item)
            except BaseException as error:
                self.error = self.error or error

    def _compare(self, pair: Pair, item: Item) -> None:
        theirs: tuple[int, str] | None = None
        for number, own in enumerate(pair.owns):
            if own is None:
                continue
            try:
                theirs = theirs or _digest(self._request.source.chunks(item))
                mine = _digest(self._request.targets[number].chunks(own))
                words = "" if mine == theirs else "its bytes are others"
            except ObjectError as error:
                words = error.summary
            with self._lock:
                self._note(self._found[number], pair.key, item.size, words)

    @staticmethod
    def _note(found: Compared, key: str, size: int, words: str) -> None:
        found.objects += 1
        found.bytes += size
        if words:
            found.differs(f"{key}: {words}")


def _digest(chunks: t.Iterator[bytes]) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    for chunk in chunks:
        digest.update(chunk)
        size += len(chunk)
    return size, digest.hexdigest()

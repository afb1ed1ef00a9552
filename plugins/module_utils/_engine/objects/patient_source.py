# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import threading
import typing as t

from ..errors import LifeboatError
from ..s3.failure import NOT_CONNECTED, S3Error
from .rows import Item
from .source import Described, ObjectError, Order, Outcome, ReadsSeveral, Source, Take

IN_A_ROW = 20  # objects for which a server may fail, without any other between them, before it counts as broken


class Patience:
    """Tells whether a server fails for single objects, after all attempts (`Endpoint.max_attempts`), or as a whole.

    A damaged object or a lost drive lets a server answer 500 or 503, or break off, for some objects for ever: these are
    reported like others that cannot be had. A server that is overloaded or ill answers so for all: when `IN_A_ROW`
    different ones have failed, with no other answer between them, the error stays what it is and ends the run. A server
    that cannot be connected to ends it at once. Several threads may use it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failed: set[tuple[str, str]] = set()  # collection and key, since the server has answered

    def judged(self, collection: str, key: str, error: LifeboatError) -> LifeboatError:
        """Return an error as one of its object, if it is not one too many."""
        if isinstance(error, ObjectError):
            self.answered()
            return error
        if not is_of_server(error):
            return error
        with self._lock:
            self._failed.add((collection, key))
            if len(self._failed) >= IN_A_ROW:
                return error
        return ObjectError(error.problem, error.cause, error.remedy)

    def answered(self) -> None:
        """Note that the server has answered for an object."""
        with self._lock:
            self._failed.clear()


def is_of_server(error: LifeboatError) -> bool:
    """Say whether a server that can be reached has failed to answer."""
    return isinstance(error, S3Error) and error.is_transient and error.code != NOT_CONNECTED


class PatientSource:
    """A source of which single objects may fail for the server's reasons (`Patience`)."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._patience = Patience()

    @property
    def kind(self) -> str:
        return self._source.kind

    def identity(self) -> t.Mapping[str, str]:
        return self._source.identity()

    def collections(self) -> t.Sequence[str]:
        return self._source.collections()

    def items(self, collection: str) -> t.Iterator[Item]:
        return self._source.items(collection)

    def documents(self) -> t.Mapping[str, t.Any]:
        return self._source.documents()

    def describe(self, collection: str, item: Item) -> Described:
        """Look at an object again. Raises ObjectError where the server fails for it."""
        with self._counted(collection, item.key):
            return self._source.describe(collection, item)

    def read_whole(self, collection: str, item: Item) -> tuple[Described, bytes]:
        """Read a small object. Raises ObjectError where the server fails for it."""
        with self._counted(collection, item.key):
            return self._source.read_whole(collection, item)

    def read_range(self, collection: str, item: Item, offset: int, length: int) -> t.Iterator[bytes]:
        """Yield the bytes of a range. Raises ObjectError where the server fails for it."""
        with self._counted(collection, item.key):
            yield from self._source.read_range(collection, item, offset, length)

    def read_into(self, collection: str, item: Item, offset: int, room: memoryview) -> t.Iterator[int]:
        """Fill `room` with a range. Raises ObjectError where the server fails for it."""
        with self._counted(collection, item.key):
            yield from self._source.read_into(collection, item, offset, room)

    @contextlib.contextmanager
    def _counted(self, collection: str, key: str) -> t.Iterator[None]:
        try:
            yield
        except LifeboatError as error:
            found = self._patience.judged(collection, key, error)
            if found is error:
                raise
            raise found from error
        self._patience.answered()


class _PatientSeveral(PatientSource):
    """The same for a source that can be asked for the next objects before the first has arrived."""

    def __init__(self, source: ReadsSeveral) -> None:
        super().__init__(source)
        self._several = source

    def read_through(self, take: Take, at_once: int) -> t.Iterator[tuple[t.Any, Outcome]]:
        """Yield the token of each order with its outcome."""

        def take_marked(may_wait: bool) -> Order | None:
            order = take(may_wait)
            return None if order is None else order._replace(token=order)

        for order, outcome in self._several.read_through(take_marked, at_once):
            if isinstance(outcome, LifeboatError):
                yield order.token, self._patience.judged(order.collection, order.item.key, outcome)
            else:
                self._patience.answered()
                yield order.token, outcome


def patient(source: Source) -> PatientSource:
    """Return a source that is patient with servers, and can do what it can do."""
    return _PatientSeveral(source) if isinstance(source, ReadsSeveral) else PatientSource(source)

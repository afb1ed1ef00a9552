# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import threading
import typing as t

from ..s3.failure import NOT_CONNECTED, S3Error
from .rows import Item
from .source import Described, ObjectError, Source

IN_A_ROW = 20  # objects for which a server may fail, without any other between them, before it counts as broken


class PatientSource:
    """A source of which single objects may fail for the server's reasons, after all attempts (`Endpoint.max_attempts`).

    A damaged object or a lost drive lets a server answer 500 or 503, or break off, for some objects for ever: these are
    reported like others that cannot be read. A server that is overloaded or ill answers so for all: when `IN_A_ROW`
    different ones have failed, with no other answer between them, the error comes out as it is and ends the run. A
    server that cannot be connected to ends it at once.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._lock = threading.Lock()
        self._failed: set[tuple[str, str]] = set()  # collection and key, since one was read

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

    @contextlib.contextmanager
    def _counted(self, collection: str, key: str) -> t.Iterator[None]:
        try:
            yield
        except S3Error as error:
            if not error.is_transient or error.code == NOT_CONNECTED:
                raise
            with self._lock:
                self._failed.add((collection, key))
                if len(self._failed) >= IN_A_ROW:
                    raise
            raise ObjectError(error.problem, error.cause, error.remedy) from error
        except ObjectError:  # the server answered
            self._forget()
            raise
        self._forget()

    def _forget(self) -> None:
        with self._lock:
            self._failed.clear()

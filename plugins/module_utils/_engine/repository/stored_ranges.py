# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import functools
import threading
import typing as t

from ..errors import DamagedError
from ..stream import encryption
from ..stream.encryption import Sealed, WrongKeyError
from . import keys, layout
from .store import Store

_OPEN = 1024  # files of which the headers are kept


class Ranged(t.NamedTuple):
    """A stored file of which parts are read."""

    owner: str  # id of the backup that wrote it
    name: str
    encryption: str  # as in lists; `keys.NONE` for one that is plain
    stored_size: int  # bytes; what is behind them is not read


class _Opened:
    """An encrypted file that was opened, or is about to be."""

    def __init__(self, _file: Ranged) -> None:
        self.lock = threading.Lock()
        self.sealed: Sealed | None = None


class StoredRanges:
    """Reads parts of the stored files of a job, by offsets in compressed bytes; several threads may use it.

    Of an encrypted file the header is read once, and of its frames those that hold the part.
    """

    def __init__(self, store: Store, job: str) -> None:
        self._store = store
        self._job = job
        self._lock = threading.Lock()
        self._opened = functools.lru_cache(maxsize=_OPEN)(_Opened)

    def read(self, file: Ranged, offset: int, length: int) -> t.Iterator[bytes]:
        """Yield compressed bytes of a file, authenticated where it is encrypted.

        Raises DamagedError, WrongKeyError.
        """
        key = layout.data(self._job, file.owner, file.name)
        if file.encryption == keys.NONE:
            return self._store.read(key, offset, length)
        return self._decrypted(file, key, offset, length)

    def size(self, file: Ranged) -> int:
        """Return how many compressed bytes a file has; of an encrypted one the header is read."""
        if file.encryption == keys.NONE:
            return file.stored_size
        return self._sealed(file).plain_size(file.stored_size)

    def _decrypted(self, file: Ranged, key: str, offset: int, length: int) -> t.Iterator[bytes]:
        sealed = self._sealed(file)
        if offset + length > sealed.plain_size(file.stored_size):
            raise DamagedError(
                f"Cannot read {key}", f"it has no bytes {offset} to {offset + length}", "use another copy of the backup"
            )
        if length:
            start, count = sealed.span(offset, length, file.stored_size)
            # What is read may hold a connection or a file, which ends with this iterator.
            with contextlib.closing(t.cast(t.Generator[bytes, None, None], self._chunks(key, start, count))) as stored:
                yield from sealed.plain(stored, offset, length)

    def _chunks(self, key: str, start: int, count: int) -> t.Iterator[bytes]:
        yield from self._store.read(key, start, count)

    def _sealed(self, file: Ranged) -> Sealed:
        """Return what the frames of a file are read with; of several threads that want the same, one opens it."""
        with self._lock:
            found = self._opened(file)
        with found.lock:
            if found.sealed is None:
                found.sealed = self._open(file)
            return found.sealed

    def _open(self, file: Ranged) -> Sealed:
        key = layout.data(self._job, file.owner, file.name)
        found = keys.require(self._store.keys, file.encryption, key)
        beginning = b"".join(self._chunks(key, 0, min(keys.BEGINNING, file.stored_size)))
        try:
            return found.opened(beginning, self._job, file.owner, file.name)
        except WrongKeyError as error:
            named = encryption.keys_of(beginning)
            if any(keyring == found.keyring and not found.has(keyring, epoch) for keyring, epoch in named):
                raise
            # It names keys that are at hand, or that are nobody's: it is not what was written.
            raise DamagedError(error.problem, error.cause, "use another copy of the backup") from error

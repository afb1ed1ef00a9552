# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import json
import typing as t

from ..errors import DamagedError, LifeboatError
from ..objects import pack_reader
from ..objects.index_reader import IndexReader
from ..objects.remarks import OUTDATED, SKIPPED, UNREADABLE
from ..objects.rows import Row
from ..objects.scope import Scope
from ..repository.manifest import Manifest
from ..repository.store import Store
from ..repository.stored_files import plain_chunks, small_file
from .candidates import Candidate
from .objects_choice import REMARKS_ROLE, SCOPE_ROLE, SETTINGS_ROLE, manifest_of

_MOST_UNREAD = 100_000  # keys that are held in memory: some 20 MB
_NOT_READ = (UNREADABLE, OUTDATED, SKIPPED)


class StoredCopy:
    """One copy of a backup of buckets or folders, to be read (`restore_work.Copy`)."""

    def __init__(self, candidate: Candidate) -> None:
        self._manifest = manifest_of(candidate)
        self._store = candidate.place.store
        self._index = IndexReader(self._store, self._manifest)

    def collections(self) -> list[str]:
        """Return the buckets or roots that the backup has. Raises DamagedError."""
        return self._index.collections()

    def rows(self, collection: str, prefix: str = "") -> t.Iterator[Row]:
        """Yield the rows of a collection whose keys begin with `prefix`, in order. Raises DamagedError."""
        return self._index.rows(collection, prefix)

    def find(self, collection: str, key: str) -> Row | None:
        """Return one row. Raises DamagedError."""
        return self._index.find(collection, key)

    def members(self, collection: str, rows: t.Iterable[Row]) -> t.Iterator[tuple[Row, t.Iterator[bytes]]]:
        """Yield rows with their bytes, in an order that suits the packs."""
        named = ((collection, row) for row in rows)
        for _collection, row, chunks in pack_reader.members(self._store, self._manifest.job, named):
            yield row, chunks

    def settings(self) -> t.Mapping[str, t.Mapping[str, t.Any]]:
        """Return the settings of each bucket as its server wrote them; nothing where the backup has none."""
        return settings_of(self._store, self._manifest)

    def scope(self) -> Scope:
        """Return what of its source the backup was to have. Raises DamagedError."""
        found = scope_of(self._store, self._manifest)
        return dataclasses.replace(found, prefix=str(self._manifest.source.get("prefix", "")))

    def unknown(self) -> t.Mapping[str, t.Mapping[str, str]]:
        """Return by collection the keys of what the backup cannot know, with all below, and why.

        Raises DamagedError, and LifeboatError for too many of them.
        """
        found: dict[str, dict[str, str]] = {}
        for collection, key in scope_of(self._store, self._manifest).mounts:
            found.setdefault(collection, {})[key] = "another file system was mounted there when it was backed up"
        for collection, key in unread_of(self._store, self._manifest):
            found.setdefault(collection, {})[key] = "the backup could not read it"
        return found


def scope_of(store: Store, manifest: Manifest) -> Scope:
    """Return what of its source a backup was to have, but for the prefix of its keys; all where it does not say.

    Raises DamagedError.
    """
    found = manifest.find(SCOPE_ROLE)
    if found is None:
        return Scope()
    owner, file = found
    return Scope.from_bytes(small_file(store, manifest.job, owner, file), f"{file.name} of backup {owner}")


def unread_of(store: Store, manifest: Manifest) -> set[tuple[str, str]]:
    """Return collection and key of what a backup was to have and could not read, or not as it was, by its remarks.

    A directory among them may have been listed before, and what lies in it is unknown either way. Raises DamagedError,
    and LifeboatError for more than can be held.
    """
    found: set[tuple[str, str]] = set()
    file = next((each for each in manifest.files if each.role == REMARKS_ROLE), None)
    if file is None:
        return found
    what = f"{file.name} of backup {manifest.id}"
    for line in _lines(plain_chunks(store, manifest.job, manifest.id, file)):
        collection, key, word = _remark(line, what)
        if key and word in _NOT_READ:
            found.add((collection, key))
        if len(found) > _MOST_UNREAD:
            raise LifeboatError(
                f"Cannot restore exactly what backup {manifest.id} has",
                f"more than {_MOST_UNREAD:,} objects could not be read when it was made",
                "restore without exact, or take a backup that has everything",
            )
    return found


def _lines(chunks: t.Iterable[bytes]) -> t.Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole
    if rest:
        yield rest


def _remark(line: bytes, what: str) -> tuple[str, str, str]:
    """Return collection, key and the word for what became of it. Raises DamagedError."""
    try:
        collection, key, word, _why = json.loads(line)
    except (TypeError, ValueError) as error:
        raise DamagedError(f"Cannot read {what}", f"damaged: {error}", "use another copy of it") from error
    return str(collection), str(key), str(word)


def settings_of(store: Store, manifest: Manifest) -> t.Mapping[str, t.Mapping[str, t.Any]]:
    """Return the settings of each bucket, whichever backup wrote them down; nothing where there are none.

    Raises DamagedError.
    """
    found = manifest.find(SETTINGS_ROLE)
    if found is None:
        return {}
    owner, file = found
    return _settings(small_file(store, manifest.job, owner, file), f"{file.name} of backup {owner}")


def _settings(data: bytes, what: str) -> t.Mapping[str, t.Mapping[str, t.Any]]:
    try:
        found = json.loads(data)
    except ValueError as error:
        raise DamagedError(f"Cannot read {what}", f"damaged: {error}", "use another copy of it") from error
    if not isinstance(found, dict) or not all(isinstance(each, dict) for each in found.values()):
        raise DamagedError(f"Cannot read {what}", "it is no list of settings", "use another copy of it")
    return found

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Repositories for simulated processes: a bucket in memory, and what hooks any place up to the simulation."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import hashlib
import typing as t

from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import BusyError, DamagedError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.store import (
    ChangedError,
    Document,
    Entry,
    ExistsError,
    Store,
    Upload,
    Version,
)
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.simulation import (
    Process,
    Request,
    World,
)

USUAL_WINDOW = dt.timedelta(minutes=15)
_LOCK_PAUSE_S = 30.0


@dataclasses.dataclass(frozen=True)
class _Stored:
    data: bytes
    etag: str
    modified: dt.datetime
    version_id: str
    is_delete_marker: bool = False


class Place(t.Protocol):
    """A repository of the simulation: the server's side of it."""

    name: str
    has_locks: bool
    window: dt.timedelta

    def store(self, process: Process | None = None) -> Store:
        """Return the place as a process sees it; without a process, requests are let through at once."""


class MemoryPlace:
    """A bucket on an S3 server, or (with `has_locks`) a directory: keys, versions and conditional writes in memory."""

    def __init__(
        self,
        world: World,
        name: str,
        *,
        is_versioned: bool = False,
        has_locks: bool = False,
        has_content_etags: bool = False,
        has_conditions: bool = True,
        window: dt.timedelta = USUAL_WINDOW,
    ) -> None:
        self.world = world
        self.name = name
        self.is_versioned = is_versioned
        self.has_locks = has_locks
        self.has_conditions = has_conditions
        self.window = dt.timedelta(0) if has_locks else window
        self._has_content_etags = has_content_etags  # as of MinIO: the same bytes have the same ETag
        self._keys: dict[str, list[_Stored]] = {}  # oldest first
        self._written = 0
        self._sharing: dict[str, list[Process | None]] = {}
        self._excluding: dict[str, Process | None] = {}

    def store(self, process: Process | None = None) -> Store:
        return MemoryStore(self, process)

    # The server's side; every method is one request.

    def now(self) -> dt.datetime:
        return self.world.now.replace(microsecond=0)  # the header `Date` tells seconds

    def versions(self, prefix: str) -> list[tuple[str, _Stored, bool]]:
        """Return (key, version, whether it is the latest): keys in order, of each key the newest first."""
        return [
            (key, version, version is self._keys[key][-1])
            for key in sorted(self._keys, key=str.encode)
            if key.startswith(prefix)
            for version in reversed(self._keys[key])
        ]

    def latest(self, key: str) -> _Stored | None:
        found = self._keys.get(key)
        return None if not found or found[-1].is_delete_marker else found[-1]

    def version(self, key: str, version_id: str) -> _Stored | None:
        if not version_id:
            return self.latest(key)
        found = [each for each in self._keys.get(key, []) if each.version_id == version_id]
        return found[0] if found and not found[0].is_delete_marker else None

    def readable(self, key: str, version_id: str) -> _Stored | None:
        """Return what a reader of stored files gets: behind a delete marker the oldest version."""
        found = self.version(key, version_id)
        if found is None and not version_id:
            found = next((each for each in self._keys.get(key, []) if not each.is_delete_marker), None)
        return found

    def put(self, key: str, data: bytes, is_delete_marker: bool = False) -> _Stored:
        self._written += 1
        etag = hashlib.md5(data, usedforsecurity=False).hexdigest() if self._has_content_etags else f"e{self._written}"
        version_id = f"v{self._written}" if self.is_versioned else "null"
        stored = _Stored(data, etag, self.now(), version_id, is_delete_marker)
        self._keys[key] = [*self._keys.get(key, []), stored] if self.is_versioned else [stored]
        return stored

    def put_new(self, key: str, data: bytes) -> _Stored:
        if self.has_conditions and self.latest(key) is not None:
            raise ExistsError(f"Cannot create {key}", "it is there already")
        return self.put(key, data)

    def replace(self, key: str, data: bytes, etag: str) -> _Stored:
        found = self.latest(key)
        if self.has_conditions and (found is None or found.etag != etag):
            raise ChangedError(f"Cannot replace {key}", "it is another one" if found else "it is gone")
        return self.put(key, data)

    def delete(self, key: str, version_id: str) -> None:
        if self.is_versioned and not version_id:
            self.put(key, b"", is_delete_marker=True)
            return
        left = [each for each in self._keys.get(key, []) if version_id not in ("", each.version_id)]
        self._keys[key] = left
        if not left:
            del self._keys[key]

    # The locks of a directory

    def try_shared(self, name: str, process: Process | None) -> bool:
        self._forget_the_dead()
        if name in self._excluding:
            return False
        self._sharing.setdefault(name, []).append(process)
        return True

    def try_exclusive(self, name: str, process: Process | None) -> bool:
        self._forget_the_dead()
        if name in self._excluding or self._sharing.get(name):
            return False
        self._excluding[name] = process
        return True

    def unlock(self, name: str, process: Process | None, is_exclusive: bool) -> None:
        if is_exclusive:
            self._excluding.pop(name, None)
        elif process in self._sharing.get(name, []):
            self._sharing[name].remove(process)

    def _forget_the_dead(self) -> None:
        for holders in self._sharing.values():
            holders[:] = [each for each in holders if each is None or not each.is_crashed]
        for name, holder in list(self._excluding.items()):
            if holder is not None and holder.is_crashed:
                del self._excluding[name]


class HookedStore(Store):
    """What the stores of simulated processes share: every request waits for the test's permission."""

    def __init__(self, world: World, name: str, process: Process | None, window: dt.timedelta | None) -> None:
        self.name = name
        self._world = world
        self._process = process
        self._window = window

    def refuses_second(self, key: str) -> bool:
        try:
            self.put_new(key, b"second\n")
        except ExistsError:
            return True
        return False

    def _asked(
        self,
        kind: str,
        key: str,
        execute: t.Callable[[], t.Any],
        *,
        is_change: bool = False,
        is_repeatable: bool = False,
        signed_at: dt.datetime | None = None,
    ) -> t.Any:
        if self._process is None:
            return execute()
        signed_at = signed_at if self._window is not None else None
        request = Request(
            self._process, self.name, kind, key, execute, is_change, is_repeatable, signed_at, self._window
        )
        return self._process.ask(request)


class MemoryStore(HookedStore):
    """A `MemoryPlace` as one process sees it."""

    def __init__(self, place: MemoryPlace, process: Process | None) -> None:
        super().__init__(place.world, place.name, process, None if place.has_locks else place.window)
        self._place = place

    @property
    def has_locks(self) -> bool:
        return self._place.has_locks

    def now(self) -> dt.datetime:
        return t.cast(dt.datetime, self._asked("now", "", self._place.now))

    def get(self, key: str, version_id: str = "") -> Document | None:
        found = self._asked("get", key, lambda: self._place.version(key, version_id))
        return None if found is None else Document(found.data, found.etag, found.modified)

    def stat(self, key: str) -> Entry | None:
        found = self._asked("stat", key, lambda: self._place.latest(key))
        return None if found is None else _entry(key, found)

    def entries(self, prefix: str) -> t.Iterator[Entry]:
        for key, stored, is_latest in self._asked("entries", prefix, lambda: self._place.versions(prefix)):
            if is_latest and not stored.is_delete_marker:
                yield _entry(key, stored)

    def versions(self, prefix: str) -> t.Iterator[Version]:
        for key, stored, is_latest in self._asked("versions", prefix, lambda: self._place.versions(prefix)):
            yield Version(_entry(key, stored), is_latest, stored.is_delete_marker)

    def put(self, key: str, data: bytes) -> str:
        return self._write("put", key, lambda: self._place.put(key, data), is_repeatable=True)

    def put_new(self, key: str, data: bytes, signed_at: dt.datetime | None = None) -> str:
        return self._write("put_new", key, lambda: self._place.put_new(key, data), signed_at=signed_at)

    def replace(self, key: str, data: bytes, etag: str, signed_at: dt.datetime | None = None) -> str:
        return self._write("replace", key, lambda: self._place.replace(key, data, etag), signed_at=signed_at)

    def delete(self, key: str, version_id: str = "", signed_at: dt.datetime | None = None) -> None:
        def execute() -> None:
            self._place.delete(key, version_id)

        self._asked("delete", key, execute, is_change=True, is_repeatable=True, signed_at=signed_at)

    def upload(self, key: str, estimate_bytes: int, signed_at: t.Callable[[], dt.datetime] | None = None) -> Upload:
        return _MemoryUpload(self, key, signed_at)

    def finished(self, key: str, data: bytes, signed_at: t.Callable[[], dt.datetime] | None) -> Entry:
        """Send a whole stored file by one request."""
        moment = signed_at() if signed_at else None
        write = self._place.put_new if self._place.has_locks else self._place.put
        stored = self._asked(
            "upload", key, lambda: write(key, data), is_change=True, is_repeatable=True, signed_at=moment
        )
        return _entry(key, stored)

    def discard_unfinished(self, key: str) -> None:
        self._asked("discard_unfinished", key, lambda: None)

    def read(self, key: str, offset: int = 0, length: int | None = None, version_id: str = "") -> t.Iterator[bytes]:
        found = self._asked("read", key, lambda: self._place.readable(key, version_id))
        if found is None:
            raise DamagedError(f"Cannot read {key} from {self.name}", "there is no such file")
        yield found.data[offset : None if length is None else offset + length]

    @contextlib.contextmanager
    def shared_lock(self, name: str) -> t.Iterator[None]:
        if self._place.has_locks:
            self._wait("shared_lock", name, lambda: self._place.try_shared(name, self._process), 70 * 60.0)
        try:
            yield
        finally:
            self._place.unlock(name, self._process, is_exclusive=False)

    @contextlib.contextmanager
    def exclusive_lock(self, name: str, wait_s: float) -> t.Iterator[None]:
        self._wait("exclusive_lock", name, lambda: self._place.try_exclusive(name, self._process), wait_s)
        try:
            yield
        finally:
            self._place.unlock(name, self._process, is_exclusive=True)

    def _wait(self, kind: str, name: str, attempt: t.Callable[[], bool], wait_s: float) -> None:
        deadline = clock.monotonic() + wait_s
        while not self._asked(kind, name, attempt):
            if clock.monotonic() >= deadline:
                raise BusyError(f"Cannot lock {name} in {self.name}", "somebody else has it")
            clock.sleep(_LOCK_PAUSE_S)

    def _write(
        self,
        kind: str,
        key: str,
        execute: t.Callable[[], _Stored],
        signed_at: dt.datetime | None = None,
        is_repeatable: bool = False,
    ) -> str:
        found = self._asked(kind, key, execute, is_change=True, is_repeatable=is_repeatable, signed_at=signed_at)
        return str(found.etag)


class _MemoryUpload:
    def __init__(self, store: MemoryStore, key: str, signed_at: t.Callable[[], dt.datetime] | None) -> None:
        self._store = store
        self._key = key
        self._signed_at = signed_at
        self._data = bytearray()

    def write(self, chunk: bytes) -> None:
        self._data += chunk

    def finish(self) -> Entry:
        return self._store.finished(self._key, bytes(self._data), self._signed_at)

    def abort(self) -> None:
        self._data.clear()


def _entry(key: str, stored: _Stored) -> Entry:
    return Entry(key, len(stored.data), stored.etag, stored.modified, stored.version_id)

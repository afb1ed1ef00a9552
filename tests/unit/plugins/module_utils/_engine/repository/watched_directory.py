# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real directory repository whose requests wait for the test, and whose file times are those of the simulation."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import pathlib
import typing as t

from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.store import (
    Document,
    Entry,
    Store,
    Upload,
    Version,
)
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.memory_store import (
    HookedStore,
)
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.simulation import (
    START,
    Process,
    World,
)


class WatchedDirectory:
    """A directory on the real file system as a place of the simulation."""

    has_locks = True
    window = dt.timedelta(0)

    def __init__(self, world: World, name: str, root: pathlib.Path) -> None:
        self.world = world
        self.name = name
        self.modified: dict[str, dt.datetime] = {}
        root.mkdir()
        self.real = DirectoryStore(str(root))

    def store(self, process: Process | None = None) -> Store:
        return _WatchedStore(self, process)


class _WatchedStore(HookedStore):
    def __init__(self, place: WatchedDirectory, process: Process | None) -> None:
        super().__init__(place.world, place.name, process, None)
        self._place = place
        self._real = place.real

    @property
    def has_locks(self) -> bool:
        return True

    def now(self) -> dt.datetime:
        return t.cast(dt.datetime, self._asked("now", "", lambda: self._world.now))

    def get(self, key: str, version_id: str = "") -> Document | None:
        found = self._asked("get", key, lambda: self._real.get(key, version_id))
        return None if found is None else dataclasses.replace(found, modified=self._modified(key))

    def stat(self, key: str) -> Entry | None:
        found = self._asked("stat", key, lambda: self._real.stat(key))
        return None if found is None else self._dated(found)

    def entries(self, prefix: str) -> t.Iterator[Entry]:
        yield from map(self._dated, self._asked("entries", prefix, lambda: list(self._real.entries(prefix))))

    def versions(self, prefix: str) -> t.Iterator[Version]:
        for version in self._asked("versions", prefix, lambda: list(self._real.versions(prefix))):
            yield dataclasses.replace(version, entry=self._dated(version.entry))

    def put(self, key: str, data: bytes) -> str:
        return str(self._changed("put", key, lambda: self._real.put(key, data)))

    def put_new(self, key: str, data: bytes, signed_at: dt.datetime | None = None) -> str:
        return str(self._changed("put_new", key, lambda: self._real.put_new(key, data)))

    def replace(self, key: str, data: bytes, etag: str, signed_at: dt.datetime | None = None) -> str:
        return str(self._changed("replace", key, lambda: self._real.replace(key, data, etag)))

    def delete(self, key: str, version_id: str = "", signed_at: dt.datetime | None = None) -> None:
        self._changed("delete", key, lambda: self._real.delete(key))

    def upload(self, key: str, estimate_bytes: int, signed_at: t.Callable[[], dt.datetime] | None = None) -> Upload:
        return _WatchedUpload(self, key, self._real.upload(key, estimate_bytes))

    def finished(self, key: str, upload: Upload) -> Entry:
        return self._dated(self._changed("upload", key, upload.finish))

    def discard_unfinished(self, key: str) -> None:
        self._asked("discard_unfinished", key, lambda: self._real.discard_unfinished(key))

    def read(self, key: str, offset: int = 0, length: int | None = None, version_id: str = "") -> t.Iterator[bytes]:
        yield self._asked("read", key, lambda: b"".join(self._real.read(key, offset, length)))

    @contextlib.contextmanager
    def shared_lock(self, name: str) -> t.Iterator[None]:
        self._asked("shared_lock", name, lambda: None)
        with self._real.shared_lock(name):
            yield

    @contextlib.contextmanager
    def exclusive_lock(self, name: str, wait_s: float) -> t.Iterator[None]:
        self._asked("exclusive_lock", name, lambda: None)
        with self._real.exclusive_lock(name, wait_s):
            yield

    def _changed(self, kind: str, key: str, execute: t.Callable[[], t.Any]) -> t.Any:
        def dated() -> t.Any:
            self._place.modified[key] = self._world.now
            return execute()

        return self._asked(kind, key, dated, is_change=True)

    def _modified(self, key: str) -> dt.datetime:
        return self._place.modified.get(key, START)

    def _dated(self, entry: Entry) -> Entry:
        return dataclasses.replace(entry, modified=self._modified(entry.key))


class _WatchedUpload:
    def __init__(self, store: _WatchedStore, key: str, real: Upload) -> None:
        self._store = store
        self._key = key
        self._real = real

    def write(self, chunk: bytes) -> None:
        self._real.write(chunk)

    def finish(self) -> Entry:
        return self._store.finished(self._key, self._real)

    def abort(self) -> None:
        self._real.abort()

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two repositories in a simulated world, and the steps that the traces are written in."""

from __future__ import annotations

import contextlib
import datetime as dt
import pathlib
import typing as t

from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import catalog, layout
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository import actors
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository import (
    maintenance_model as maintenance,
)
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.actors import (
    JOB,
    BackUpResult,
)
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.invariants import Watch
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.memory_store import (
    MemoryPlace,
    Place,
)
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.simulation import (
    Process,
    World,
)
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.watched_directory import (
    WatchedDirectory,
)

BUCKETS = ("bucket", "versioned bucket", "bucket whose ETags are MD5s")
MINUTE, HOUR, DAY = dt.timedelta(minutes=1), dt.timedelta(hours=1), dt.timedelta(days=1)


class Setting:
    """Repositories `a` and `b`, both empty, and what processes do with them."""

    def __init__(self, world: World, a: Place, b: Place) -> None:
        self.world = world
        self.a = a
        self.b = b
        for place in (a, b):
            actors.initialise(place)
        self.watch = Watch(world, (a, b))

    # Whole processes, from begin to end

    def back_up(self, *places: Place, **options: t.Any) -> BackUpResult:
        """Do a run that must succeed; without places, into both repositories."""
        return t.cast(
            BackUpResult, self.world.do("run", lambda process: actors.back_up(process, places or self.both, **options))
        )

    def prune(self, place: Place, keep: int = 100) -> None:
        self.world.do("prune", lambda process: maintenance.prune(place.store(process), JOB, place.window, keep))

    def remove(self, place: Place, backup_id: str) -> None:
        """Remove a backup, whatever is proved."""
        kept, self.watch.is_verified_min_kept = self.watch.is_verified_min_kept, False
        assert self.world.do(
            "remove", lambda process: maintenance.remove(place.store(process), JOB, place.window, backup_id)
        )
        self.watch.is_verified_min_kept = kept

    def copy(self, source: Place, target: Place, backup_id: str) -> None:
        self.world.do("copy", lambda process: actors.copy_in(process, source, target, backup_id))

    def restore(self, place: Place, backup_id: str) -> int:
        return t.cast(int, self.world.do("restore", lambda process: actors.restore(process, place, backup_id)))

    # Processes that the trace leads

    def start_run(self, *places: Place, name: str = "run", **options: t.Any) -> Process:
        return self.world.start(name, lambda process: actors.back_up(process, places or self.both, **options))

    def start_prune(self, place: Place, name: str = "prune", keep: int = 100) -> Process:
        return self.world.start(name, lambda process: maintenance.prune(place.store(process), JOB, place.window, keep))

    def start_removal(self, place: Place, backup_id: str, is_forced: bool = True, name: str = "remove") -> Process:
        return self.world.start(
            name, lambda process: maintenance.remove(place.store(process), JOB, place.window, backup_id, is_forced)
        )

    def start_copy(self, source: Place, target: Place, backup_id: str) -> Process:
        return self.world.start("copy", lambda process: actors.copy_in(process, source, target, backup_id))

    def start_restore(self, place: Place, backup_id: str, pause: dt.timedelta) -> Process:
        return self.world.start("restore", lambda process: actors.restore(process, place, backup_id, pause))

    # Facts

    @property
    def both(self) -> tuple[Place, Place]:
        return self.a, self.b

    def ids(self, place: Place) -> list[str]:
        """Return the ids of the backups that a repository lists."""
        return [backup.id for backup in catalog.backups(place.store(), JOB)]

    def good_ids(self, place: Place) -> list[str]:
        return [backup.id for backup in catalog.backups(place.store(), JOB) if backup.is_good]

    def keys(self, place: Place, prefix: str) -> list[str]:
        return [entry.key for entry in place.store().entries(prefix)]

    def damage(self, place: Place, key: str) -> None:
        """Change a stored file behind everybody's back; its size stays."""
        store = place.store()
        data = b"".join(store.read(key))
        self.lose(place, key)
        upload = store.upload(key, len(data))
        upload.write(bytes([data[0] ^ 1]) + data[1:])
        upload.finish()

    def lose(self, place: Place, key: str) -> None:
        """Remove a stored file behind everybody's back."""
        self.watch.damaged.add((place.name, key))
        store = place.store()
        for version in list(store.versions(key)):
            store.delete(key, version.entry.version_id)

    def collect_garbage(self) -> None:
        """Prune both repositories until nothing is left to do, which takes some days."""
        for days in (8, 2, 2):  # an intent dies, its files are planned, and go
            self.world.advance(days * DAY)
            for place in self.both:
                self.prune(place)
        self.watch.check_no_garbage()


@contextlib.contextmanager
def made(kind: str, tmp_path: pathlib.Path) -> t.Iterator[Setting]:
    """Make a setting of one kind: of `BUCKETS`, or `directory` (a real one)."""
    with World() as world:
        yield _setting(world, kind, tmp_path)


def _setting(world: World, kind: str, tmp_path: pathlib.Path) -> Setting:
    if kind == "directory":
        return Setting(world, *(WatchedDirectory(world, name, tmp_path / name) for name in ("A", "B")))
    options = {"is_versioned": "versioned" in kind, "has_content_etags": "MD5" in kind}
    return Setting(world, *(MemoryPlace(world, name, **options) for name in ("A", "B")))


def manifest_key(backup_id: str) -> str:
    return layout.manifest(JOB, backup_id)


def data_keys(backup_id: str = "") -> str:
    return f"data/{JOB}/{backup_id}"

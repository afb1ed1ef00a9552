# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What must be true of the repositories after every single request."""

from __future__ import annotations

import hashlib
import typing as t

from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import LifeboatError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import catalog, layout
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.manifest import Manifest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.stored_files import needed_files
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.actors import JOB
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.maintenance_model import (
    VERIFIED_MIN,
)
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.memory_store import Place
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.simulation import (
    Request,
    Violation,
    World,
)


class Watch:
    """Looks at each change of the repositories, and raises Violation when one breaks what the protocol promises."""

    def __init__(self, world: World, places: t.Sequence[Place]) -> None:
        self._places = {place.name: place for place in places}
        self._needed: dict[str, dict[str, str]] = {}  # backup id → keys and SHA-256 of its files
        self._first: dict[str, bytes] = {}  # key → the bytes that were written there first, in any repository
        self._listed: set[tuple[str, str]] = set()  # repository and backup id of every manifest that is there
        self._proved_before = 0
        self.damaged: set[tuple[str, str]] = set()  # repository and key of what the test damaged itself
        self.is_verified_min_kept = True  # off where an operator removes by force
        world.before_change.append(self._before)
        world.after_change.append(self._after)

    def _before(self, request: Request) -> None:
        if request.kind == "delete" and request.key.startswith(layout.MANIFESTS):
            self._proved_before = self._proved(request.place)

    def _after(self, request: Request) -> None:
        key = request.key
        if key.startswith((layout.MANIFESTS, "data/")) and request.kind != "delete":
            self._same_bytes(request)
        if key.startswith(layout.MANIFESTS):
            self._manifest_changed(request)
        elif key.startswith("data/") and request.kind == "delete":
            for place, backup_id in self._listed:
                if place == request.place and key in self._needed[backup_id]:
                    self._intact(request, backup_id, [key])

    def _same_bytes(self, request: Request) -> None:
        data = b"".join(self._places[request.place].store().read(request.key))
        if self._first.setdefault(request.key, data) != data:
            raise Violation(f"{request.key} of {request.place} has other bytes than elsewhere")

    def _manifest_changed(self, request: Request) -> None:
        store = self._places[request.place].store()
        backup_id = layout.id_of(request.key)
        document = store.get(request.key)
        if document is None:
            self._listed.discard((request.place, backup_id))
            if self.is_verified_min_kept and self._proved(request.place) < min(self._proved_before, VERIFIED_MIN):
                raise Violation(f"{request.process.name} left fewer than {VERIFIED_MIN} proved backups")
            return
        if backup_id not in self._needed:
            manifest = Manifest.from_bytes(document.data, JOB, backup_id)
            try:
                found = {each.key(JOB): each.file.facts.stored_sha256 for each in needed_files(store, manifest)}
            except LifeboatError as error:
                raise Violation(f"{backup_id} was published in {request.place} without its lists") from error
            self._needed[backup_id] = found
        self._listed.add((request.place, backup_id))
        self._intact(request, backup_id, self._needed[backup_id])

    def _intact(self, request: Request, backup_id: str, keys: t.Iterable[str]) -> None:
        store = self._places[request.place].store()
        for key in keys:
            if (request.place, key) in self.damaged:
                continue
            is_there = store.stat(key) is not None
            data = b"".join(store.read(key)) if is_there else b""
            if not is_there or hashlib.sha256(data).hexdigest() != self._needed[backup_id][key]:
                how = "with other bytes" if is_there else "without"
                what = f"{request.kind} of {request.key} by {request.process.name}"
                raise Violation(f"{backup_id} is listed in {request.place} {how} {key} after the {what}")

    def _proved(self, place: str) -> int:
        return sum(backup.is_good for backup in catalog.backups(self._places[place].store(), JOB))

    def check_good_backups(self) -> None:
        """Make sure that every backup that is called good can be restored."""
        for name, place in self._places.items():
            for backup in catalog.backups(place.store(), JOB):
                if backup.is_good:
                    request = Request(_NOBODY, name, "look", backup.id, lambda: None)
                    self._intact(request, backup.id, self._needed[backup.id])

    def check_no_garbage(self) -> None:
        """Make sure that nothing is left that no manifest names."""
        for name, place in self._places.items():
            store = place.store()
            ids = {backup_id for where, backup_id in self._listed if where == name}
            named = {key for backup_id in ids for key in self._needed[backup_id]}
            named |= {layout.data(JOB, backup_id, layout.SUMS) for backup_id in ids}
            left = {entry.key for entry in store.entries("data/")} - named
            left |= {entry.key for entry in store.entries("intents/")}
            if left:
                raise Violation(f"garbage stays in {name}: {sorted(left)}")


class _Nobody:
    name = "the test"


_NOBODY: t.Any = _Nobody()

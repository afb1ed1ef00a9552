# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The decisions of a restore: which copy, when to refuse, what goes away on failure. Only PostgreSQL is made up."""

from __future__ import annotations

import contextlib
import dataclasses
import typing as t
from pathlib import Path

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.child import ChildError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import (
    DamagedError,
    GuardRefusal,
    LifeboatError,
    UsageError,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import (
    restore_request,
    restore_run,
    verify_run,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.listing import job_summaries, listing
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.place import Place
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.restore_request import RestoreRequest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.verify_run import VerifyRequest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.comparison import Comparison
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.connection import Server
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.fingerprint import Fingerprint
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.restore import Restored
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.swap import Swapped
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.target import TargetCheck
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import (
    catalog,
    identity,
    layout,
    proof,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.manifest import Manifest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.publish import Contents, Run
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.store import (
    Document,
    UnavailableError,
)

JOB = "host1-lab"
FUTURE = "20991120T020000Z-0a1b2c"
ARCHIVE = Fingerprint({}, {}, {}, server_version="15.18", dumped_by="15.18")


class Away(DirectoryStore):
    """A repository that does not answer."""

    def get(self, key: str, version_id: str = "") -> Document | None:
        raise UnavailableError(f"Cannot read {key}", "connection refused")


class World:
    """A made-up server and its programs, and what a restore does with them."""

    def __init__(self) -> None:
        self.target = TargetCheck(exists=False, server_version=150018, problems=(), notes=("a note",))
        self.unreadable: set[bytes] = set()  # archives that pg_restore refuses
        self.restored: list[bytes] = []
        self.swapped: list[tuple[str, str, bool]] = []
        self.dropped: list[str] = []
        self.swap_fails = ""
        self.appears: list[str] = []  # databases that are made while the restore runs

    def read(self, path: str, *_: t.Any, **__: t.Any) -> Fingerprint:
        data = Path(path).read_bytes()
        if data in self.unreadable:
            raise ChildError("Cannot read the archive", "unexpected end of file", "", 1, "")
        return ARCHIVE

    def restore(self, _server: Server, path: str, *_: t.Any, **__: t.Any) -> Restored:
        self.restored.append(Path(path).read_bytes())
        return Restored("lifeboat_restore_1", ARCHIVE, Comparison(), 1.0, 0.5, 2.0, ("it said something",))

    def swap(self, _server: Server, name: str, new: str, *, keep_previous: bool) -> Swapped:
        if self.swap_fails:
            raise LifeboatError(f"Cannot swap database {name}", self.swap_fails)
        self.swapped.append((name, new, keep_previous))
        return Swapped(name, f"{name}_before" if self.target.exists and keep_previous else "")

    @contextlib.contextmanager
    def connect(self, _server: Server, _database: str) -> t.Iterator[World]:
        yield self

    def rows(self, _query: str, name: str) -> list[tuple[()]]:
        return [()] if name in self.appears else []


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    monkeypatch.setattr(restore_run, "check_target", lambda *_, **__: made.target)
    monkeypatch.setattr(restore_run, "fingerprint_of_archive", made.read)
    monkeypatch.setattr(restore_run, "restore_database", made.restore)
    monkeypatch.setattr(restore_run, "swap", made.swap)
    monkeypatch.setattr(restore_run, "drop_database", lambda _server, name: made.dropped.append(name))
    monkeypatch.setattr(restore_run, "_tools", lambda *_: dataclasses.make_dataclass("Tools", ["pg_restore"])("tool"))
    monkeypatch.setattr(restore_request, "connect", made.connect)
    monkeypatch.setattr(restore_run, "restoring", lambda _server: contextlib.nullcontext())
    ids = (f"20261120T0200{second:02}Z-0a1b2c" for second in range(60))
    monkeypatch.setattr(clock, "new_backup_id", lambda _moment: next(ids))
    return made


@pytest.fixture
def place(tmp_path: Path) -> t.Callable[..., Place]:
    """Return a function that makes repositories by name."""

    def make(name: str, kind: type[DirectoryStore] = DirectoryStore) -> Place:
        folder = tmp_path / name
        folder.mkdir()
        identity.initialise(DirectoryStore(str(folder)))
        return Place(name, kind(str(folder)))

    return make


Places = t.Callable[..., Place]


def backed_up(place: Place, data: bytes, is_proved: bool = True) -> Manifest:
    run = Run(place.store, JOB)
    run.store_file("database.dump", "dump", [data], "none")
    source = {"database": "lab", "server_version_number": 150018, "size_bytes": 8000}
    manifest = run.publish(Contents("pg_database", {"pg_dump": "15.18"}, source, {}))
    run.close()
    if is_proved:
        verdicts = tuple(proof.FileVerdict(file.name, file.facts.stored_sha256, True) for file in manifest.files)
        record = proof.ProofRecord(JOB, manifest.id, "content", place.store.now(), "host1", verdicts, {})
        proof.write(place.store, record)
    return manifest


def copied(source: Place, target: Place, backup_id: str, is_proved: bool = True) -> None:
    for entry in source.store.entries(""):
        wanted = backup_id in entry.key and (is_proved or not entry.key.startswith("verified/"))
        if wanted:
            target.store.put(entry.key, b"".join(source.store.read(entry.key)))


def plan_of(*places: Place, **more: t.Any) -> restore_run.RestorePlan:
    request = RestoreRequest(JOB, more.pop("backup", "latest_good"), places, Server(), **more)
    return restore_run.plan(request)


def damage(place: Place, manifest: Manifest) -> None:
    path = Path(place.store.name) / "data" / JOB / manifest.id / "database.dump"
    path.chmod(0o600)
    path.write_bytes(b"X" + path.read_bytes()[1:])


def test_the_nearest_proved_copy_is_restored_under_the_name_of_the_source(world: World, place: Places) -> None:
    near, far = place("near"), place("far")
    manifest = backed_up(near, b"data")
    copied(near, far, manifest.id)
    result = restore_run.restore(plan_of(far, near))
    assert (result.id, result.repository, result.database) == (manifest.id, "far", "lab")
    assert world.restored == [b"data"] and world.swapped == [("lab", "lifeboat_restore_1", True)]
    assert result.notes == ("a note", "it said something") and result.previous == ""


def test_a_proved_copy_comes_before_a_nearer_one_that_is_not(world: World, place: Places) -> None:
    near, far = place("near"), place("far")
    manifest = backed_up(far, b"data")
    copied(far, near, manifest.id, is_proved=False)
    assert plan_of(near, far).first.place.name == "far"
    assert [c.place.name for c in plan_of(near, far, backup="latest").candidates] == ["far", "near"]
    assert [c.place.name for c in plan_of(near, far).candidates] == ["far"]


def test_a_repository_that_is_away_is_told_and_passed_over(world: World, place: Places) -> None:
    gone, here = place("gone", Away), place("here")
    backed_up(here, b"data")
    result = restore_run.restore(plan_of(gone, here))
    assert result.repository == "here"
    assert result.notes[0] == "gone cannot be used: connection refused"


def test_a_backup_of_the_future_is_not_taken_for_the_newest(
    world: World, place: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = place("here")
    monkeypatch.setattr(clock, "now", lambda: clock.from_text("2026-11-20T03:00:00Z"))
    with monkeypatch.context() as ahead:
        ahead.setattr(clock, "new_backup_id", lambda _moment: FUTURE)
        backed_up(here, b"of a run while a clock was ahead")
    alone = plan_of(here)
    assert alone.first.backup.id == FUTURE
    assert alone.notes[0].startswith(f"{FUTURE}: of the future") and "there may be newer ones" in alone.notes[0]
    newer = backed_up(here, b"of a run since")
    for wanted in ("latest", "latest_good"):
        planned = plan_of(here, backup=wanted)
        assert planned.first.backup.id == newer.id
        assert planned.notes[0].startswith(f"{FUTURE}: of the future") and "not taken" in planned.notes[0]
    assert plan_of(here, backup=FUTURE).first.backup.id == FUTURE
    here.store.put(layout.binding(JOB), b"{}")
    chosen = [row.id for wanted in ("latest", "latest_good") for row in listing((here,), JOB, wanted).rows]
    verified = [each.backup.id for each in verify_run.plan(VerifyRequest(JOB, "latest", (here,), "presence")).copies]
    copied_first = catalog.choose(catalog.backups(here.store, JOB), "latest", JOB, "here", [here.store]).id
    assert {*chosen, *verified, copied_first, job_summaries(here.store)[0]["latest_good"]} == {newer.id}


@pytest.mark.parametrize("trouble", ["changed", "missing", "unreadable"])
def test_a_copy_that_cannot_be_used_is_told_and_the_next_one_taken(world: World, place: Places, trouble: str) -> None:
    near, far = place("near"), place("far")
    older = backed_up(near, b"older")
    newer = backed_up(near, b"newer")
    if trouble == "changed":
        damage(near, newer)
    elif trouble == "missing":
        near.store.delete(f"data/{JOB}/{newer.id}/database.dump")
    else:
        world.unreadable.add(b"newer")
    copied(near, far, older.id)
    result = restore_run.restore(plan_of(near, far))
    assert (result.id, result.repository) == (older.id, "near")
    assert any(note.startswith(f"the copy of {newer.id} in near cannot be used") for note in result.notes)
    assert world.restored == [b"older"]


@pytest.mark.parametrize("wanted", ["latest", "id"])
def test_when_no_copy_can_be_used_the_server_is_not_touched(world: World, place: Places, wanted: str) -> None:
    near, far = place("near"), place("far")
    backed_up(near, b"older")
    newer = backed_up(near, b"newer")
    copied(near, far, newer.id)
    for each in (near, far):
        damage(each, newer)
    with pytest.raises(DamagedError) as caught:
        restore_run.restore(plan_of(near, far, backup=newer.id if wanted == "id" else wanted))
    assert "near" in caught.value.cause and "far" in caught.value.cause
    assert world.restored == [] and world.swapped == []


@pytest.mark.parametrize(
    "exists, database, confirm, is_refused",
    [
        (False, "", "", False),
        (False, "", "something else", False),
        (True, "", "lab", False),
        (True, "", "", True),
        (True, "", "Lab", True),
        (True, "lab two", "lab", True),
        (True, "lab two", "lab two", False),
    ],
)
def test_replacing_needs_the_exact_name(
    world: World, place: Places, exists: bool, database: str, confirm: str, is_refused: bool
) -> None:
    here = place("here")
    backed_up(here, b"data")
    world.target = dataclasses.replace(world.target, exists=exists)
    planned = plan_of(here, database=database, confirm=confirm)
    if not is_refused:
        restore_run.check(planned)
        return
    with pytest.raises(GuardRefusal) as caught:
        restore_run.restore(planned)
    assert caught.value.guard == "confirm" and repr(planned.database) in caught.value.remedy
    assert world.restored == []


def test_what_the_target_lacks_is_told_before_anything_is_fetched(world: World, place: Places) -> None:
    here = place("here")
    backed_up(here, b"data")
    world.target = dataclasses.replace(world.target, problems=("the server lacks the roles a",))
    with pytest.raises(LifeboatError, match="lacks the roles a"):
        restore_run.restore(plan_of(here))
    assert world.restored == []


def test_the_wish_to_drop_the_replaced_database_is_passed_on(world: World, place: Places) -> None:
    here = place("here")
    backed_up(here, b"data")
    world.target = dataclasses.replace(world.target, exists=True)
    restore_run.restore(plan_of(here, confirm="lab", keep_previous=False))
    assert world.swapped == [("lab", "lifeboat_restore_1", False)]


def test_a_database_that_nobody_confirmed_is_not_replaced_when_it_appears(world: World, place: Places) -> None:
    here = place("here")
    backed_up(here, b"data")
    world.appears = ["lab"]
    with pytest.raises(GuardRefusal) as caught:
        restore_run.restore(plan_of(here))
    assert caught.value.guard == "confirm"
    assert world.swapped == [] and world.dropped == ["lifeboat_restore_1"]
    restore_run.restore(plan_of(here, confirm="lab"))
    assert len(world.swapped) == 1


def test_a_swap_that_fails_takes_the_restored_database_away(world: World, place: Places) -> None:
    here = place("here")
    backed_up(here, b"data")
    world.swap_fails = "2 sessions do not end"
    with pytest.raises(LifeboatError, match="sessions do not end"):
        restore_run.restore(plan_of(here))
    assert world.dropped == ["lifeboat_restore_1"]


def test_nothing_to_restore_is_told_with_what_there_is(world: World, place: Places) -> None:
    gone, here = place("gone", Away), place("here")
    backed_up(here, b"data", is_proved=False)
    with pytest.raises(LifeboatError) as caught:
        plan_of(gone, here)
    assert caught.value.cause == "1 backups are known, 0 of them proved; gone cannot be used: connection refused"
    with pytest.raises(UsageError):
        plan_of(here, backup="the newest")
    with pytest.raises(LifeboatError):
        plan_of(here, backup="20200101T000000Z-0a1b2c")

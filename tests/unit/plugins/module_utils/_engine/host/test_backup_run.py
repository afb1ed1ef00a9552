# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The decisions of a run: which repository, in which order, when to refuse. Only the database is made up."""

from __future__ import annotations

import dataclasses
import datetime as dt
import typing as t
from pathlib import Path

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import (
    DamagedError,
    GuardRefusal,
    IncompleteError,
    LifeboatError,
    UsageError,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import (
    backup_run,
    database_backup,
    database_plan,
    job_kinds,
    job_lock,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.database_backup import DatabaseJob, Source
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.place import Place
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.connection import Server
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.container import Container
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.dump import DumpOptions
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.preflight import Preflight
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.tools import ClientTools, Tool
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import binding, identity, layout
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.proof import FileVerdict
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.store import (
    Document,
    StoreError,
    UnavailableError,
    Upload,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.verify.drill_place import DrillPlace
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.verify.outcome import Outcome

JOB = "host1-lab"
TOOL = Tool("pg_dump", "/usr/bin/pg_dump", 15, "15.18")


class Away(DirectoryStore):
    """A repository that does not answer."""

    def get(self, key: str, version_id: str = "") -> Document | None:
        raise UnavailableError(f"Cannot read {key}", "connection refused")


class Full(DirectoryStore):
    """A repository without room."""

    def upload(self, key: str, estimate_bytes: int, signed_at: t.Any = None) -> Upload:
        raise StoreError(f"Cannot write {key}", "no space left on device")


class World:
    """A made-up database, and what a run does with it."""

    def __init__(self) -> None:
        self.rows = b"row\n" * 1000
        self.fails = ""
        self.is_standby = False
        self.system = "4711"
        self.dumped_with: list[DumpOptions] = []
        self.proved: list[tuple[str, str]] = []  # name of the repository, level
        self.bad_in: set[str] = set()
        self.outlast_second = backup_run._outlast_second

    def inspect(self, job: DatabaseJob) -> Source:
        description = {
            "system_identifier": self.system,
            "database": job.database,
            "server_version": "15.18",
            "server_version_number": 150018,
            "encoding": "LATIN1",
        }
        check = Preflight(8000, self.is_standby, (), ("a note",))
        return Source(check, ClientTools(TOOL, TOOL, TOOL, ("a warning",)), description)

    def dump(self, _server: Server, _database: str, _tool: Tool, options: DumpOptions) -> Output:
        self.dumped_with.append(options)
        return Output(self.rows, self.fails)

    def prove(self, store: DirectoryStore, manifest: t.Any, level: str, _place: DrillPlace, **_how: bool) -> Outcome:
        where = Path(store.name).name
        self.proved.append((where, level))
        verdict = FileVerdict(
            "database.dump", "00", where not in self.bad_in, "bit rot" if where in self.bad_in else ""
        )
        return Outcome(level, {manifest.id: (verdict,)})


class Output:
    """Stands for a running pg_dump or pg_dumpall."""

    warnings = ("it said something",)

    def __init__(self, data: bytes, fails: str = "") -> None:
        self.data, self.fails = data, fails

    def __iter__(self) -> t.Iterator[bytes]:
        yield self.data
        if self.fails:
            raise LifeboatError("Cannot back up database lab", self.fails)

    def __enter__(self) -> Output:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    made = World()
    monkeypatch.setattr(database_backup, "inspect", made.inspect)
    monkeypatch.setattr(database_plan, "inspect", made.inspect)
    monkeypatch.setattr(database_backup, "Dump", made.dump)
    monkeypatch.setattr(database_backup, "Globals", lambda *_: Output(b"CREATE ROLE r;\n"))
    monkeypatch.setattr(backup_run, "prove", made.prove)
    monkeypatch.setattr(job_lock, "_FOLDERS", (str(tmp_path),))
    monkeypatch.setattr(backup_run, "_outlast_second", lambda _store, _job: None)
    ids = (f"20261120T0200{second:02}Z-0a1b2c" for second in range(60))
    monkeypatch.setattr(clock, "new_backup_id", lambda _moment: next(ids))
    return made


@pytest.fixture
def place(tmp_path: Path) -> t.Callable[..., Place]:
    """Return a function that makes repositories by name."""

    def make(name: str, kind: type[DirectoryStore] = DirectoryStore, is_new: bool = True) -> Place:
        folder = tmp_path / name
        folder.mkdir()
        if is_new:
            identity.initialise(DirectoryStore(str(folder)))
        return Place(name, kind(str(folder)))

    return make


Places = t.Callable[..., Place]


def job_of(*places: Place, **more: t.Any) -> DatabaseJob:
    return dataclasses.replace(DatabaseJob(JOB, Server(), "lab", places, compression="none"), **more)


def ids_in(place: Place) -> list[str]:
    return [layout.id_of(entry.key) for entry in place.store.entries(layout.manifests(JOB))]


def test_the_first_repository_is_written_to_and_the_others_get_copies(world: World, place: Places) -> None:
    places = (place("one"), place("two"), place("three"))
    said: list[str] = []
    made = database_backup.back_up(job_of(*places), said.append)
    assert [(c.repository, c.is_primary, c.is_present, c.is_proved) for c in made.copies] == [
        ("one", True, True, True),
        ("two", False, True, True),
        ("three", False, True, True),
    ]
    assert all(ids_in(each) == [made.id] for each in places)
    assert world.proved == [("one", "content"), ("two", "content"), ("three", "content")]
    assert made.warnings == ("a warning", "a note", "it said something", "it said something")
    assert made.plain_bytes == made.stored_bytes == 4015
    assert [line.split(": ")[1].split(" ")[0] for line in said] == ["backing", "reading", "copying", "copying"]


def test_a_run_may_leave_the_proof_to_later(world: World, place: Places) -> None:
    made = database_backup.back_up(job_of(place("one"), place("two"), proof="none"))
    assert world.proved == [] and made.is_complete and not any(copy.is_proved for copy in made.copies)


@pytest.mark.parametrize("kind", [Away, Full])
def test_the_next_repository_is_used_when_one_fails(world: World, place: Places, kind: type[DirectoryStore]) -> None:
    bad, good = place("bad", kind), place("good")
    with pytest.raises(IncompleteError) as caught:
        database_backup.back_up(job_of(bad, good))
    result = caught.value.result
    assert [(c.repository, c.is_primary, c.is_present) for c in result.copies] == [
        ("bad", False, False),
        ("good", True, True),
    ]
    assert ids_in(good) == [result.id] and not result.is_complete
    assert not list(good.store.entries("intents/"))


def test_a_repository_without_identity_counts_as_away(world: World, place: Places) -> None:
    unmounted, good = place("unmounted", is_new=False), place("good")
    result = database_backup.back_up(job_of(unmounted, good, allow_partial=True))
    assert "no repository" in result.copies[0].problem and result.copies[1].is_primary


def test_a_failure_of_the_source_is_not_tried_again_elsewhere(world: World, place: Places) -> None:
    places = (place("one"), place("two"))
    world.fails = "the server closed the connection"
    with pytest.raises(LifeboatError, match="closed the connection"):
        database_backup.back_up(job_of(*places))
    assert len(world.dumped_with) == 1
    for each in places:
        assert ids_in(each) == [] and not list(each.store.entries("intents/"))


def test_a_single_repository_fails_with_its_own_words(world: World, place: Places) -> None:
    with pytest.raises(UnavailableError, match="connection refused"):
        database_backup.back_up(job_of(place("one", Away)))


def test_no_working_repository_names_them_all(world: World, place: Places) -> None:
    with pytest.raises(LifeboatError, match="no repository works") as caught:
        database_backup.back_up(job_of(place("one", Away), place("two", is_new=False)))
    assert "connection refused" in caught.value.cause and "no lifeboat.json" in caught.value.cause


def test_a_job_without_repository_or_with_an_odd_name_is_refused(world: World, place: Places) -> None:
    with pytest.raises(UsageError):
        database_backup.back_up(job_of(place("one"), name="../x"))
    with pytest.raises(UsageError):
        database_plan.plan(job_of(place("two"), name="a/b"))


def test_a_backup_that_does_not_read_back_is_not_copied(world: World, place: Places) -> None:
    places = (place("one"), place("two"))
    world.bad_in = {"one"}
    with pytest.raises(DamagedError, match="bit rot"):
        database_backup.back_up(job_of(*places))
    assert ids_in(places[1]) == []


def test_a_copy_that_does_not_read_back_is_present_and_not_proved(world: World, place: Places) -> None:
    world.bad_in = {"two"}
    with pytest.raises(IncompleteError, match="bit rot") as caught:
        database_backup.back_up(job_of(place("one"), place("two"), place("three")))
    assert [(c.is_present, c.is_proved) for c in caught.value.result.copies] == [
        (True, True),
        (True, False),
        (True, True),
    ]


@pytest.mark.parametrize(
    "rows, policy, outcome",
    [
        (500, "fail", "taken"),
        (490, "fail", "refused"),
        (490, "warn", "warned"),
        (490, "ignore", "taken"),
        (4000, "fail", "taken"),
    ],
)
def test_less_than_half_of_the_last_size_is_refused_or_told(
    world: World, place: Places, rows: int, policy: str, outcome: str
) -> None:
    here = place("one")
    first = database_backup.back_up(job_of(here))
    world.rows = b"row\n" * rows
    job = job_of(here, on_shrink=policy)
    if outcome == "refused":
        with pytest.raises(GuardRefusal) as caught:
            database_backup.back_up(job)
        assert caught.value.guard == "shrunk" and ids_in(here) == [first.id]
        assert not list(here.store.entries("intents/"))
    else:
        words = [each for each in database_backup.back_up(job).warnings if "the last time" in each]
        assert len(words) == (1 if outcome == "warned" else 0)


def test_a_standby_is_asked_for_no_unlogged_rows(world: World, place: Places) -> None:
    here = place("one")
    database_backup.back_up(job_of(here))
    world.is_standby = True
    database_backup.back_up(job_of(here))
    assert [options.with_unlogged_data for options in world.dumped_with] == [True, False]


def test_a_database_is_dumped_in_its_own_encoding_whatever_its_clients_use(world: World, place: Places) -> None:
    database_backup.back_up(job_of(place("one")))
    assert [options.encoding for options in world.dumped_with] == ["LATIN1"]


def test_a_job_that_is_bound_anew_is_bound_so_in_every_repository(world: World, place: Places) -> None:
    places = (place("one"), place("two"))
    database_backup.back_up(job_of(*places))
    world.system = "4712"
    with pytest.raises(GuardRefusal) as caught:
        database_backup.back_up(job_of(*places))
    assert caught.value.guard == "source"
    assert database_backup.back_up(job_of(*places, rebind=True)).is_complete
    for each in places:
        binding.check(each.store, JOB, job_kinds.DATABASE, {"system_identifier": "4712", "database": "lab"})


def test_copies_are_proved_by_the_programs_that_wrote_the_dump() -> None:
    server = Server(bin_dir="/opt/pg18/bin")
    assert job_of(server=server).proving_place.bin_dir == "/opt/pg18/bin"
    named = job_of(server=server, drill=DrillPlace(bin_dir="/opt/pg19/bin", jobs=3)).proving_place
    assert (named.bin_dir, named.jobs) == ("/opt/pg19/bin", 3)
    inside = job_of(server=Server(container=Container("shop-db"))).proving_place
    assert (inside.bin_dir, inside.container) == ("", Container("shop-db"))


def test_the_newest_manifest_is_the_newest_one_that_can_be_read(world: World, place: Places) -> None:
    here = place("one")
    assert backup_run.newest_manifest(here.store, JOB) is None
    first = database_backup.back_up(job_of(here))
    second = database_backup.back_up(job_of(here))
    found = backup_run.newest_manifest(here.store, JOB)
    assert found is not None and found.id == second.id
    path = Path(here.store.name) / layout.manifest(JOB, second.id)
    path.chmod(0o600)
    path.write_bytes(b"{}")
    found = backup_run.newest_manifest(here.store, JOB)
    assert found is not None and found.id == first.id


def test_the_latest_of_quick_backups_is_the_last(world: World, place: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    here = place("one")
    monkeypatch.setattr(backup_run, "_outlast_second", world.outlast_second)
    moments = [dt.datetime(2026, 11, 20, 2, tzinfo=clock.UTC)]

    def now() -> dt.datetime:
        moments.append(moments[-1] + dt.timedelta(milliseconds=1))
        return moments[-1]

    suffixes = iter(("cccccc", "bbbbbb", "aaaaaa"))
    monkeypatch.setattr(here.store, "now", now)
    monkeypatch.setattr(clock, "new_backup_id", lambda moment: f"{clock.compact(moment)}-{next(suffixes)}")
    monkeypatch.setattr(clock, "sleep", lambda pause_s: moments.append(moments[-1] + dt.timedelta(seconds=pause_s)))
    made = [database_backup.back_up(job_of(here, proof="none")).id for _run in range(3)]
    assert ids_in(here) == made
    assert (moments[-1] - moments[0]).total_seconds() < 3


def test_a_run_waits_until_the_second_of_the_newest_backup_is_over(
    world: World, place: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = place("one")
    database_backup.back_up(job_of(here))  # 20261120T020000Z-0a1b2c
    start = dt.datetime(2026, 11, 20, 2, 0, 0, tzinfo=clock.UTC)
    readings = [start, start + dt.timedelta(seconds=0.9), start + dt.timedelta(seconds=1)]
    pauses: list[float] = []
    monkeypatch.undo()
    monkeypatch.setattr(here.store, "now", lambda: readings.pop(0))
    monkeypatch.setattr(clock, "sleep", pauses.append)
    backup_run._outlast_second(here.store, JOB)
    assert len(pauses) == 2 and readings == []
    readings[:] = [start - dt.timedelta(hours=1)]  # a clock that was set back is not waited for
    backup_run._outlast_second(here.store, JOB)
    assert len(pauses) == 2


def test_a_plan_names_what_a_run_would_find_and_writes_nothing(world: World, place: Places) -> None:
    places = (place("away", Away), place("one"), place("unmounted", is_new=False))
    job = job_of(*places, allow_partial=True)
    first = database_plan.plan(job)
    assert list(places[1].store.entries("")) == list(places[1].store.entries("lifeboat.json"))
    assert [bool(state.problem) for state in first.places] == [True, False, True]
    assert first.primary.repository == "one" and first.estimated_bytes == 8000
    made = database_backup.back_up(job)
    second = database_plan.plan(job)
    assert second.primary.latest is not None and second.primary.latest.id == made.id
    assert second.estimated_bytes == made.stored_bytes


def test_a_plan_refuses_what_a_run_would_refuse(world: World, place: Places) -> None:
    one, two = place("one"), place("two")
    with pytest.raises(GuardRefusal) as no_repository:
        database_plan.plan(job_of(place("unmounted", is_new=False)))
    with pytest.raises(LifeboatError, match="no repository works"):
        database_plan.plan(job_of(place("a", Away), place("b", Away)))
    database_backup.back_up(job_of(one))
    world.system = "4712"
    with pytest.raises(GuardRefusal) as other_source:
        database_plan.plan(job_of(one, two))
    assert (no_repository.value.guard, other_source.value.guard) == ("repository", "source")
    assert "is bound to" in database_plan.plan(job_of(two, one)).places[1].problem
    assert not database_plan.plan(job_of(one, two, rebind=True)).places[0].problem


@pytest.mark.parametrize(
    "database_bytes, stored, before, expected",
    [(8000, 0, 0, 8000), (8000, 1000, 8000, 1000), (16000, 1000, 8000, 2000), (8000, 1000, 0, 8000), (0, 10, 5, 0)],
)
def test_the_estimate_goes_by_the_last_backup(
    world: World, place: Places, database_bytes: int, stored: int, before: int, expected: int
) -> None:
    here = place("one")
    database_backup.back_up(job_of(here))
    manifest = backup_run.newest_manifest(here.store, JOB)
    assert manifest is not None
    last = dataclasses.replace(manifest, statistics={"stored_bytes": stored, "database_bytes": before})
    assert database_plan.estimated_bytes(database_bytes, last) == expected
    assert database_plan.estimated_bytes(database_bytes, None) == database_bytes

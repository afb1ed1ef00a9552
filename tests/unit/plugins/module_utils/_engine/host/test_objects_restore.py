# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Restores of folders from repositories in directories: everything is real and small."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import errno
import json
import os
import stat
import typing as t
from pathlib import Path

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock, steps
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import (
    DamagedError,
    GuardRefusal,
    IncompleteError,
    LifeboatError,
    UsageError,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import (
    backup_run,
    job_lock,
    objects_backup,
    objects_copy,
    objects_history,
    objects_restore,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.object_sources import FileSelection
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.objects_choice import Choice, parse_time
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.objects_destination import Folder
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.objects_job import ObjectsJob
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.objects_restore import (
    Quarantine,
    RestorePlan,
    RestoreRequest,
    RestoreResult,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.place import Place
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects import directory_source, tree_walk
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.restore_work import Work
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.selection import Selection
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import identity
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore

JOB = "web1-www"


class World:
    """A folder with files, and repositories that have backups of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "www"
        self.root.mkdir()
        self.places = (self.place("near"), self.place("far"))
        self.ids: list[str] = []

    def place(self, name: str) -> Place:
        path = self.folder / name
        path.mkdir()
        identity.initialise(DirectoryStore(str(path)))
        return Place(name, DirectoryStore(str(path)))

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def back_up(self, **changes: t.Any) -> str:
        job = ObjectsJob(JOB, "files", FileSelection((str(self.root),)).opened, self.places)
        self.ids.append(objects_backup.back_up(dataclasses.replace(job, **changes)).id)
        return self.ids[-1]

    def request(self, **changes: t.Any) -> RestoreRequest:
        given = RestoreRequest(Choice(JOB), self.places, Folder(), threads=3)
        return dataclasses.replace(given, **changes)

    def plan(self, **changes: t.Any) -> RestorePlan:
        return objects_restore.plan(self.request(**changes))

    def restore(self, **changes: t.Any) -> RestoreResult:
        return objects_restore.restore(self.plan(**changes))

    def restore_over(self, **changes: t.Any) -> RestoreResult:
        return self.restore(confirm=(str(self.root),), **changes)

    def texts(self, root: Path | None = None) -> dict[str, str]:
        folder = root or self.root
        files = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink())
        return {str(path.relative_to(folder)): path.read_text(encoding="utf-8") for path in files}

    def packs(self, place: str) -> list[Path]:
        return sorted((self.folder / place / "data" / JOB).rglob("pack-*"))


FILES = {"index.html": "home", "pages/one.html": "one", "pages/two.html": "two", "pages/deep/three.html": "three"}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(job_lock, "_FOLDERS", (str(tmp_path),))
    monkeypatch.setattr(backup_run, "_outlast_second", lambda _store, _job: None)
    ids = (f"20261120T02{minute:02}{second:02}Z-0a1b2c" for minute in range(60) for second in range(60))
    monkeypatch.setattr(clock, "new_backup_id", lambda _moment: next(ids))
    made = World(tmp_path)
    for name, text in FILES.items():
        made.write(name, text)
    made.back_up()
    return made


def test_what_was_lost_or_changed_comes_back_and_the_rest_is_left_alone(world: World) -> None:
    world.write("index.html", "defaced")
    world.write("new.html", "mine")
    (world.root / "pages/one.html").unlink()

    result = world.restore_over()

    assert world.texts() == {**FILES, "new.html": "mine"}
    assert (result.done.written, result.done.removed, result.differences) == (2, 0, 0)
    assert (result.id, result.repository) == (world.ids[0], "near")


def test_a_second_restore_changes_nothing(world: World) -> None:
    world.write("index.html", "defaced")
    world.restore_over()

    planned = world.plan()

    assert not planned.changed and planned.tally.destroyed == ()


def test_nothing_is_overwritten_without_the_name_of_the_folder(world: World) -> None:
    world.write("index.html", "defaced")

    for confirm in ((), (str(world.folder),)):
        with pytest.raises(GuardRefusal) as refusal:
            world.restore(confirm=confirm)
        assert refusal.value.guard == "confirm"
    assert world.texts()["index.html"] == "defaced"


def test_what_is_missing_needs_no_word(world: World) -> None:
    (world.root / "index.html").unlink()

    world.restore()

    assert world.texts() == FILES


def test_an_exact_restore_removes_what_the_backup_does_not_have_where_it_was_asked(world: World) -> None:
    world.write("new.html", "mine")
    world.write("pages/new/more.html", "mine")

    world.restore_over(exact=True, selection=Selection(prefix="pages/"))
    assert world.texts() == {**FILES, "new.html": "mine"}
    assert not (world.root / "pages/new").exists()

    world.restore_over(exact=True)
    assert world.texts() == FILES


def test_an_exact_restore_leaves_alone_what_the_job_left_out(world: World) -> None:
    selection = FileSelection((str(world.root),), exclude=("/cache/", "*.tmp"))
    world.write("cache/deep/1", "cached")
    world.back_up(open_source=selection.opened)
    again = world.back_up(open_source=selection.opened)
    world.write("new/a.tmp", "left out")
    world.write("new/b", "mine")

    planned = world.plan(exact=True)
    assert (planned.tally.counts["remove"], planned.tally.counts["leave"]) == (1, 2)
    assert {each["key"]: each["why"] for each in planned.tally.sample if each["action"] == "leave"} == {
        "cache": "the patterns of the job leave it out",
        "new/a.tmp": "the patterns of the job leave it out",
    }
    world.restore_over(exact=True)

    assert world.texts() == {**FILES, "cache/deep/1": "cached", "new/a.tmp": "left out"}
    names = [path.name for path in (world.folder / "near/data" / JOB / again).iterdir()]
    assert "scope.json.zst" not in names  # the second backup has that of the first one
    assert world.restore_over(exact=True, choice=Choice(JOB, world.ids[0])).done.removed > 0  # which left nothing out


@contextlib.contextmanager
def closed(monkeypatch: pytest.MonkeyPatch, *names: bytes) -> t.Iterator[None]:
    """Let nobody read files and directories of some names, not even root."""
    opened, is_listable = directory_source._open_file, tree_walk._Level._is_listable

    def refuse(at: int, name: bytes) -> int:
        if name in names:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return opened(at, name)

    with monkeypatch.context() as patched:
        patched.setattr(directory_source, "_open_file", refuse)
        patched.setattr(
            tree_walk._Level, "_is_listable", lambda level, name: name not in names and is_listable(level, name)
        )
        yield


def test_an_exact_restore_leaves_alone_what_the_backup_could_not_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.write("pages/closed.html", "mine")
    world.write("vault/deep/key", "mine")
    with closed(monkeypatch, b"closed.html", b"vault"):
        world.back_up(allow_partial=True)
    world.write("index.html", "defaced")
    world.write("new.html", "not mine")

    planned = world.plan(exact=True, choice=Choice(JOB, world.ids[-1]))
    left = {each["key"]: each["why"] for each in planned.tally.sample if each["action"] == "leave"}
    assert left == dict.fromkeys(("pages/closed.html", "vault"), "the backup could not read it")
    world.restore_over(exact=True, choice=Choice(JOB, world.ids[-1]))

    assert world.texts() == {**FILES, "pages/closed.html": "mine", "vault/deep/key": "mine"}


def test_an_exact_restore_leaves_alone_what_lay_on_another_file_system_when_it_was_backed_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    enters = directory_source._Chooser.enters

    def enter(chooser: t.Any, key: str, facts: os.stat_result) -> bool:
        other = list(facts)
        other[stat.ST_DEV] += key == "pages/deep"
        return enters(chooser, key, os.stat_result(other))

    with monkeypatch.context() as patched:
        patched.setattr(directory_source._Chooser, "enters", enter)
        world.back_up(open_source=FileSelection((str(world.root),), one_file_system=True).opened)
    world.write("pages/deeper", "mine")

    assert world.restore_over(exact=True).done.removed == 1
    assert world.texts() == FILES


def test_an_exact_restore_of_a_folder_leaves_another_one_in_it_to_the_restore_of_that(world: World) -> None:
    """As where a file system of its own was mounted once, and its directory lies on that of the other one now."""
    other = world.folder / "disk"
    other.mkdir()
    (other / "data").write_text("brought", encoding="utf-8")
    world.back_up(open_source=FileSelection((str(world.root), str(other))).opened, rebind=True)
    inner = world.root / "mounted/disk"
    changes: dict[str, t.Any] = {"exact": True, "map": {str(other): str(inner)}, "choice": Choice(JOB, world.ids[-1])}
    confirm = (str(world.root), str(inner))
    world.restore(confirm=confirm, **changes)
    world.write("mounted/disk/new", "mine")
    world.write("mounted/new", "mine")

    planned = world.plan(**changes)
    assert {each["key"] for each in planned.tally.sample if each["action"] == "remove"} == {"new", "mounted/new"}
    result = world.restore(confirm=confirm, **changes)

    assert world.texts() == {**FILES, "mounted/disk/data": "brought"}
    assert (result.differences, result.done.written, result.done.removed) == (0, 0, 2)
    assert not world.plan(**changes).changed


def test_what_lay_in_a_directory_that_was_closed_later_is_left_alone_by_an_exact_restore(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closed(monkeypatch, b"deep"):
        world.back_up(allow_partial=True)

    world.restore_over(exact=True, choice=Choice(JOB, world.ids[-1]))

    assert world.texts() == FILES


def test_what_lies_in_a_directory_that_was_closed_later_stays_in_the_backup_as_the_last_one_had_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closed(monkeypatch, b"deep"):
        for text in ("changed", "changed again"):
            world.write("pages/deep/three.html", text)
            world.write("index.html", text)
            with pytest.raises(IncompleteError, match="1 outdated"):
                world.back_up()
    ids = [backup.stem for backup in sorted((world.folder / "near/manifests" / JOB).iterdir())]
    (world.root / "pages/deep/three.html").unlink()

    world.restore(choice=Choice(JOB, ids[-1]))
    assert world.texts() == {**FILES, "index.html": "changed again"}

    (world.root / "pages/deep/three.html").unlink()
    world.back_up()
    world.restore()
    assert "pages/deep/three.html" not in world.texts()


def test_an_exact_restore_of_a_backup_that_could_not_read_very_much_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects_copy, "_MOST_UNREAD", 1)
    with closed(monkeypatch, b"one.html", b"two.html"):
        world.back_up(mode="full", allow_partial=True)

    with pytest.raises(LifeboatError, match="more than 1 objects could not be read"):
        world.plan(exact=True, choice=Choice(JOB, world.ids[-1]))
    assert not world.plan(choice=Choice(JOB, world.ids[-1])).changed


def test_a_plan_names_what_is_mounted_below_the_target(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    tally = Work.tally

    def tallied(work: Work, *words: t.Any) -> t.Any:
        work.mounts.update((str(world.root), f"disk{number}") for number in range(7))
        return tally(work, *words)

    monkeypatch.setattr(Work, "tally", tallied)

    (note,) = [words for words in world.plan(exact=True).notes if "mounted" in words]
    assert f"{world.root}/disk0, " in note and note.endswith("disk4, and 2 more")


def test_a_backup_says_anew_what_it_leaves_out_where_that_has_changed(world: World) -> None:
    world.write("cache/1", "cached")
    first = FileSelection((str(world.root),), exclude=("/cache/",))
    for selection in (first, dataclasses.replace(first, exclude=("*.tmp",)), FileSelection((str(world.root),))):
        world.back_up(open_source=selection.opened)
    world.write("a.tmp", "mine")

    left = [world.plan(exact=True, choice=Choice(JOB, each)).tally.counts["leave"] for each in world.ids]

    assert left == [0, 1, 1, 0]


@pytest.mark.parametrize(
    ("selection", "names"),
    [
        (Selection(keys=("pages/deep/three.html",)), {"pages/deep/three.html"}),
        (Selection(prefix="pages/deep"), {"pages/deep/three.html"}),
        (Selection(include=("*.html",), exclude=("deep/",)), {"index.html", "pages/one.html", "pages/two.html"}),
    ],
)
def test_only_what_is_selected_is_restored_with_the_directories_above_it(
    world: World, selection: Selection, names: set[str]
) -> None:
    os.chmod(world.root / "pages", 0o711)
    world.back_up()
    out = world.folder / "out"

    world.restore(destination=Folder(str(out)), selection=selection)

    below = Path(str(out) + str(world.root))
    assert set(world.texts(below)) == names
    assert (below / "pages").stat().st_mode & 0o777 == 0o711


def test_conflicts_are_treated_as_asked(world: World) -> None:
    world.write("index.html", "mine")

    assert world.restore(conflicts="skip").done.skipped == 1
    assert world.texts()["index.html"] == "mine"
    world.restore(conflicts="rename")
    beside = world.texts()[f"index.html.restored-{world.ids[0]}"]
    assert (world.texts()["index.html"], beside) == ("mine", "home")
    with pytest.raises(GuardRefusal) as refusal:
        world.restore_over(conflicts="refuse")
    assert refusal.value.guard == "conflict"


def test_the_newest_backup_before_a_moment_is_taken(world: World) -> None:
    world.write("index.html", "second")
    world.back_up()
    moments = [candidate.backup.manifest for candidate in Choice(JOB, "latest").candidates(world.places)[0]]
    assert moments[0] is not None
    second = moments[0].started

    at = [second + dt.timedelta(microseconds=offset) for offset in (0, -1)]
    chosen = [world.plan(choice=Choice(JOB, as_of=moment)).manifest.id for moment in at]

    assert chosen == [world.ids[1], world.ids[0]]
    with pytest.raises(LifeboatError):
        world.plan(choice=Choice(JOB, as_of=second - dt.timedelta(days=1)))


def test_a_backup_that_is_not_proved_is_restored_only_by_name_or_as_the_latest(world: World) -> None:
    world.write("index.html", "second")
    newest = world.back_up(proof="none")

    assert world.plan().manifest.id == world.ids[0]
    assert world.plan(choice=Choice(JOB, newest)).manifest.id == newest
    assert world.plan(choice=Choice(JOB, "latest")).manifest.id == newest


def test_damage_in_one_copy_is_read_from_the_other_and_told(world: World) -> None:
    for pack in world.packs("near"):
        data = bytearray(pack.read_bytes())
        data[30:34] = b"XXXX"
        pack.chmod(0o600)
        pack.write_bytes(data)
    out = world.folder / "out"

    result = world.restore(destination=Folder(str(out)))

    assert world.texts(Path(str(out) + str(world.root))) == FILES
    assert result.repository == "far" and any("near cannot be used" in note for note in result.notes)


def test_an_index_that_is_gone_in_one_copy_is_read_from_the_other(world: World) -> None:
    for index in (world.folder / "near" / "data").rglob("index*"):
        index.unlink()

    assert world.plan().candidates[0].place.name == "far"


def test_damage_in_every_copy_restores_the_rest_and_says_what_is_lost(world: World) -> None:
    world.write("new.html", "added later, so it lies in a pack of its own")
    world.back_up()
    for place in ("near", "far"):
        (pack,) = [each for each in world.packs(place) if world.ids[1] in str(each)]
        pack.chmod(0o600)
        pack.write_bytes(b"\0" * pack.stat().st_size)
    out, remarks = world.folder / "out", world.folder / "remarks.jsonl"

    with pytest.raises(IncompleteError) as error:
        world.restore(destination=Folder(str(out)), remarks_file=str(remarks))

    assert world.texts(Path(str(out) + str(world.root))) == FILES
    assert error.value.result.done.damaged == 1
    assert any(json.loads(line)[1:3] == ["new.html", "damaged"] for line in remarks.read_text().splitlines())


def test_no_index_at_all_is_an_error_that_names_every_copy(world: World) -> None:
    for place in ("near", "far"):
        for file in (world.folder / place / "data").rglob("segments*"):
            file.unlink()

    with pytest.raises(DamagedError, match=r"near.*far"):
        world.plan()


def test_what_is_destroyed_is_saved_first(world: World) -> None:
    world.write("index.html", "evidence")
    world.write("pages/note", "ransom")
    shelf = world.folder / "shelf"

    result = world.restore_over(exact=True, quarantine=Quarantine(Folder(str(shelf)), str(shelf), "cases"))

    saved = world.texts(Path(result.quarantine))
    listing = [json.loads(line) for line in saved.pop("listing.jsonl").splitlines()]
    assert set(saved.values()) == {"evidence", "ransom"} and result.saved.objects == 2
    assert sorted(line[0] for line in listing) == ["index.html", "pages/note"]
    assert result.quarantine.startswith(f"{shelf}/cases/{JOB}-") and world.texts() == FILES


def test_nothing_is_restored_when_it_cannot_be_saved(world: World) -> None:
    world.write("index.html", "evidence")
    (world.folder / "file").write_text("no folder")

    with pytest.raises(LifeboatError):
        world.restore_over(quarantine=Quarantine(Folder("/x"), str(world.folder / "file" / "shelf")))

    assert world.texts()["index.html"] == "evidence"


def test_a_file_that_looks_the_same_is_seen_through_by_its_content(world: World) -> None:
    path = world.root / "index.html"
    facts = path.stat()
    path.write_text("h0me")
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))

    assert not world.plan().changed
    world.restore_over(by_content=True)

    assert path.read_text() == "home"


def test_a_restore_that_was_killed_goes_on(world: World) -> None:
    class Killed(BaseException):
        pass

    def kill(step: str) -> None:
        if step == "restore:written":
            raise Killed

    out = world.folder / "out"
    steps.watch(kill)
    try:
        with pytest.raises(Killed):
            world.restore(destination=Folder(str(out)))
    finally:
        steps.unwatch(kill)

    world.restore(destination=Folder(str(out)))

    below = Path(str(out) + str(world.root))
    assert world.texts(below) == FILES
    assert list(below.rglob(".lifeboat-*")) == []


def test_the_plan_is_written_as_a_whole_and_for_nobody_else(world: World) -> None:
    (world.root / "index.html").unlink()
    file = world.folder / "plan.jsonl"

    world.plan(plan_file=str(file))

    steps_ = {each["key"]: each["action"] for each in map(json.loads, file.read_text().splitlines())}
    assert steps_["index.html"] == "write" and steps_["pages/one.html"] == "keep"
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("where", ["near", "near/data", "."])
def test_a_restore_never_writes_into_a_repository(world: World, where: str) -> None:
    with pytest.raises(GuardRefusal) as refusal:
        world.plan(map={str(world.root): str((world.folder / where).resolve())}, exact=True)
    assert refusal.value.guard == "repository"


def test_a_link_to_a_repository_does_not_hide_it(world: World) -> None:
    (world.folder / "link").symlink_to(world.folder / "near")

    with pytest.raises(GuardRefusal):
        world.plan(map={str(world.root): str(world.folder / "link" / "sub")})


def test_a_folder_with_a_repository_in_it_can_be_restored_without_that(world: World) -> None:
    planned = world.plan(
        map={str(world.root): str(world.folder)}, selection=Selection(exclude=("/near", "/far")), conflicts="skip"
    )
    assert planned.tally.counts["write"] > 0


@pytest.mark.parametrize(
    "changes",
    [
        {"exact": True, "conflicts": "skip"},
        {"threads": 0},
        {"selection": Selection(exclude=("a/../b",))},
        {"what": "metadata", "exact": True},
        {"what": "metadata"},
        {"collections": ("/none",)},
        {"map": {"/none": "/x"}},
        {"destination": Folder("relative")},
        {"choice": Choice(JOB, "20261120T020000Z-0a1b2c", dt.datetime(2026, 11, 20, tzinfo=clock.UTC))},
        {"plan_file": "/nowhere/at/all"},
    ],
)
def test_what_makes_no_sense_is_refused(world: World, changes: dict[str, t.Any]) -> None:
    with pytest.raises((UsageError, LifeboatError)) as error:
        world.plan(**changes)
    assert error.value.exit_code == 2 or "what" in changes


def test_what_is_saved_cannot_lie_in_what_is_restored(world: World) -> None:
    root = str(world.root)
    with pytest.raises(UsageError):
        world.plan(quarantine=Quarantine(Folder(root), root))
    with pytest.raises(UsageError):
        world.plan(quarantine=Quarantine(Folder(root), f"{root}/pages/shelf"))


@pytest.mark.parametrize("text", ["2026-11-20", "2026-11-20T02:00:00", "yesterday", ""])
def test_a_time_without_its_zone_is_none(text: str) -> None:
    with pytest.raises(UsageError):
        parse_time(text)


@pytest.mark.parametrize("text", ["2026-11-20T02:00:00Z", "2026-11-20T03:00:00+01:00", "2026-11-20T02:00:00.000Z"])
def test_a_time_is_read_in_its_zone(text: str) -> None:
    assert parse_time(text) == dt.datetime(2026, 11, 20, 2, tzinfo=clock.UTC)


def test_the_history_of_a_file_tells_its_states(world: World) -> None:
    world.write("index.html", "second")
    world.back_up()
    (world.root / "index.html").unlink()
    world.back_up()
    world.back_up()
    question = objects_history.Question(JOB, str(world.root), "index.html", world.places)

    found = objects_history.history(question)

    assert [each["present"] for each in found.states] == [False, True, True]
    assert [each["backup_count"] for each in found.states] == [2, 1, 1]
    assert [each["first_backup"] for each in found.states] == [world.ids[2], world.ids[1], world.ids[0]]
    assert [each["size"] for each in found.states] == [None, 6, 4]
    assert found.is_complete and found.backups == 4 and found.problems == ()
    short = objects_history.history(dataclasses.replace(question, limit=2))
    assert len(short.states) == 2 and not short.is_complete


def test_a_history_goes_on_past_copies_that_cannot_be_read(world: World) -> None:
    for index in (world.folder / "near" / "data").rglob("index*"):
        index.unlink()
    question = objects_history.Question(JOB, str(world.root), "index.html", world.places)

    assert [each["sha256"] != "" for each in objects_history.history(question).states] == [True]
    alone = objects_history.history(dataclasses.replace(question, places=world.places[:1]))
    assert alone.states == () and "cannot be used" in alone.problems[0]

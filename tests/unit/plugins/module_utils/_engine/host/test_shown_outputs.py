# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an operator reads of a year of backups: proved, damaged, flagged, held, and with names that mean harm."""

from __future__ import annotations

import datetime as dt
import json
import pathlib
import typing as t
import zlib

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.cli import main
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import (
    hold,
    identity,
    layout,
    lease,
    proof,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.manifest import (
    Manifest,
    file_list,
    need_list,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.proof import (
    FileVerdict,
    ProofRecord,
)
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.examples import (
    stored_file,
)

NOW = dt.datetime(2026, 11, 20, 12, tzinfo=clock.UTC)
SHORT = ("local", "offsite")
LONG = ("local", "offsite-data-centre-at-the-other-end-of-the-country", "cold-archive", "nas-in-the-basement-of-c")
JOB = "db1-shop"
LONG_JOB = "web17.customer.example.org-" + "uploads-and-thumbnails-" * 3 + "of-the-shop"
HARM = "\x1b]0;gone\x07\x1b[2J\r\x9b31m\u202eafter\x00\x08"  # titles, cleared screens, other directions


class Yard:
    """Repositories in directories, and a host with jobs that use them."""

    def __init__(self, folder: pathlib.Path, names: t.Sequence[str]) -> None:
        self.folder = folder
        self.names = names
        self.stores = {}
        for name in names:
            (folder / name).mkdir()
            self.stores[name] = DirectoryStore(str(folder / name))
            identity.initialise(self.stores[name])
        self.config = folder / "config.json"

    def backup(self, job: str, days: float, where: t.Sequence[str], problem: str = "", **changes: t.Any) -> str:
        """Write a backup of so many days ago; `problem` was found in the first repository, "-" stands for no proof."""
        began = NOW - dt.timedelta(days=days)
        backup_id = f"{clock.compact(began)}-{zlib.crc32(f'{job} {days}'.encode()) % 0xFFFFFF:06x}"
        dump = stored_file("database.dump.zst", "dump")
        lists = (
            stored_file("files.jsonl", "files", file_list([dump])),
            stored_file("needs.jsonl", "needs", need_list([])),
        )
        fields = {
            "kind": "pg_database",
            "host": "db1.example.org",
            "source": {"database": "shop", "server_version": "15.18"},
            "statistics": {"plain_bytes": 13_400_000_000, "stored_bytes": 2_680_000_000},
            **changes,
        }
        ended = began + dt.timedelta(minutes=7)
        manifest = Manifest(
            id=backup_id, job=job, base="", started=began, finished=ended, versions={}, files=(dump, *lists), **fields
        )
        for name in where:
            for each in manifest.files:
                self.stores[name].put(layout.data(job, backup_id, each.name), b"?" * each.facts.stored_size)
            self.stores[name].put_new(layout.manifest(job, backup_id), manifest.to_bytes())
            if problem != "-":
                words = problem if name == where[0] else ""
                verdicts = [
                    FileVerdict(each.name, each.facts.stored_sha256, not (words and each is dump), words)
                    for each in manifest.files
                ]
                proof.write(self.stores[name], ProofRecord(job, backup_id, "content", ended, "db1", tuple(verdicts)))
        return backup_id

    def year(self, job: str = JOB) -> list[str]:
        """Write seven days, four weeks and a year of months; only the newest are in the first repository."""
        days = [*range(7), 14, 21, 28, *range(60, 365, 30)]
        return [
            self.backup(job, each, self.names if each < 30 else self.names[1:], {2: "-", 4: "a bit"}.get(each, ""))
            for each in days
        ]

    def hold(self, backup_id: str, reason: str) -> None:
        store = self.stores[self.names[-1]]
        with lease.held(store, JOB, dt.timedelta(minutes=15), 0) as permit:
            hold.place(store, JOB, backup_id, reason, None, permit)

    def run(self, capsys: pytest.CaptureFixture[str], *words: str, jobs: t.Sequence[str] = (JOB,)) -> list[str]:
        """Return the lines that a command writes, on both streams: nothing that is not text, and none too long."""
        keep = {"last": 2, "daily": 7, "weekly": 4, "monthly": 6}
        common = {"kind": "pg_database", "database": "shop", "repositories": list(self.names), "keep": keep}
        document = {
            "repositories": {name: {"path": str(self.folder / name)} for name in self.names},
            "jobs": dict.fromkeys(jobs, common),
        }
        self.config.write_text(json.dumps(document))
        self.config.chmod(0o600)
        main(["--config", str(self.config), *words])
        said = capsys.readouterr()
        lines = said.out.splitlines()
        assert all(line.isprintable() for line in (*said.out.split("\n"), *said.err.split("\n")))
        assert "--json" in words or max(map(len, lines), default=0) <= 100
        return lines


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: NOW)
    monkeypatch.setattr(DirectoryStore, "now", lambda _store: NOW)


@pytest.fixture
def yard(tmp_path: pathlib.Path) -> Yard:
    return Yard(tmp_path, SHORT)


@pytest.fixture
def wide_yard(tmp_path: pathlib.Path) -> Yard:
    return Yard(tmp_path, LONG)


def test_a_list_says_of_each_backup_how_old_how_big_and_proved_it_is_and_where(
    yard: Yard, capsys: pytest.CaptureFixture[str]
) -> None:
    yard.backup(JOB, 0.1, SHORT)
    yard.backup(JOB, 1, SHORT, "-")
    yard.backup(JOB, 2, SHORT, "a bit has changed")
    yard.backup(JOB, 3, SHORT[1:], flags=("73 % have vanished",))
    lines = yard.run(capsys, "list", JOB)
    assert [line[25:] for line in lines] == [
        "AGE   SIZE     PROVED    COPIES",
        "3 d   2.5 GiB  FLAGGED   offsite",
        "2 d   2.5 GiB  47 h ago  local (damaged), offsite",
        "24 h  2.5 GiB  no        local, offsite",
        "2 h   2.5 GiB  2 h ago   local, offsite",
    ]


def test_names_too_long_for_a_list_have_numbers_in_it_and_stand_below(
    wide_yard: Yard, capsys: pytest.CaptureFixture[str]
) -> None:
    made = wide_yard.year()
    lines = wide_yard.run(capsys, "list", JOB)
    assert len(lines) == 1 + len(made) + len(LONG)
    assert lines[-len(LONG) :] == [f"  {number} is {name}" for number, name in enumerate(LONG, 1)]
    assert [line for line in lines if line.startswith(made[0])][0].endswith("1, 2, 3, 4")
    assert [line for line in lines if line.startswith(made[4])][0].endswith("1 (damaged), 2, 3, 4")
    assert [line for line in lines if line.startswith(made[-1])][0].endswith("2, 3, 4")


def test_lists_of_several_jobs_have_headings(yard: Yard, capsys: pytest.CaptureFixture[str]) -> None:
    yard.backup(JOB, 1, SHORT)
    lines = yard.run(capsys, "list", jobs=(JOB, LONG_JOB))
    assert lines[0] == f"{JOB} (pg_database)"
    assert "".join(lines[4:]).replace(" ", "") == f"{LONG_JOB}(pg_database)nobackups"


def test_a_backup_is_shown_with_times_ages_copies_and_holds(yard: Yard, capsys: pytest.CaptureFixture[str]) -> None:
    shown = yard.backup(JOB, 4, SHORT, "its stored SHA-256 is another one")
    yard.hold(shown, "audit 2026")
    lines = yard.run(capsys, "show", JOB, shown)
    assert lines[:13] == [
        f"backup    {shown}",
        "job       db1-shop (pg_database)",
        "source    shop on PostgreSQL 15.18",
        "host      db1.example.org",
        "began     2026-11-16 12:00:00 UTC, 4 d ago",
        "finished  2026-11-16 12:07:00 UTC, after 7 min",
        "size      12.5 GiB, stored 2.5 GiB",
        "copy      local: DAMAGED",
        "  ! database.dump.zst: its stored SHA-256 is another one",
        "copy      offsite: proved 2026-11-16 12:07:00 UTC, 3 d ago",
        "  held in offsite: audit 2026",
        "file      database.dump.zst, 4 B",
        "          sha256 3a6eb0790f39ac87c94f3856b2dd2c5d110e6811602261a9a923d3bb23adc8b7",
    ]
    document = json.loads("\n".join(yard.run(capsys, "--json", "show", JOB, shown)))
    assert document["holds"] == [{"repository": "offsite", "reason": "audit 2026", "until": None}]


def test_a_trial_prune_says_every_reason_and_when_the_next_backup_goes(
    wide_yard: Yard, capsys: pytest.CaptureFixture[str]
) -> None:
    made = wide_yard.year()
    wide_yard.hold(made[12], "an audit for which nothing may be touched before the auditors have signed everything")
    lines = wide_yard.run(capsys, "prune", JOB, "--dry-run", "--force", "--repository", LONG[-1])
    assert lines[0] == f"{LONG[-1]}: {len(made)} backups; last 2, daily 7, weekly 4, monthly 6, verified_min 2"
    assert lines[1].split() == ["BACKUP", "AGE", "UNTIL", "BECAUSE"]
    assert "…" not in "".join(lines)
    words = " ".join(" ".join(lines).split())
    assert "held: an audit for which nothing may be touched before the auditors have signed everything" in words
    newest = next(number for number, line in enumerate(lines) if made[0] in line)
    assert " ".join(" ".join(lines[newest : newest + 3]).split()).startswith(
        f"{made[0]} 0.0 s stays 2026-11-27 last 2,"
    )
    gone = [line for line in lines if "GOES" in line]
    assert gone and f"  {len(gone)} of {len(made)} backups go, {len(made) - len(gone)} stay" in lines
    assert lines[-1].startswith("  the next backup goes about 2026-")
    document = json.loads("\n".join(wide_yard.run(capsys, "--json", "prune", JOB, "--dry-run", "--force")))
    rows = [*document["repositories"][-1]["kept"], *document["repositories"][-1]["expired"]]
    assert len(rows) == len(made)


def test_a_name_that_does_not_fit_a_status_stands_below_it(wide_yard: Yard, capsys: pytest.CaptureFixture[str]) -> None:
    wide_yard.year()
    wide_yard.backup(LONG_JOB, 1, LONG[:2])
    lines = wide_yard.run(capsys, "status", jobs=(JOB, LONG_JOB))
    assert lines[0].split() == ["JOB", "LAST", "BACKUP", "AGE", "OBJECTIVE", "PROVED", "COPIES", "NEXT", "STATE"]
    assert LONG_JOB in " ".join(lines).replace(" ", "")


@pytest.mark.parametrize("words", [("list",), ("list", JOB), ("show", JOB), ("status",), ("prune", JOB, "--dry-run")])
def test_nothing_that_data_says_reaches_a_terminal_as_it_is(
    yard: Yard, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    made = yard.backup(
        JOB,
        1,
        SHORT,
        problem=f"not a bit {HARM}",
        kind=f"pg_database{HARM}",
        host=f"db1{HARM}",
        source={"database": f"shop{HARM}\n", "server_version": HARM},
        warnings=(f"pg_dump said {HARM}",),
        flags=(f"vanished {HARM}",),
    )
    yard.hold(made, f"an audit {HARM}")
    yard.stores["local"].put(layout.manifest(JOB, made.replace("2026", "2025")), f'{{"{HARM}": 1}}'.encode())
    lines = yard.run(capsys, *words)
    assert lines


@pytest.mark.parametrize("words", [("show", JOB, f"latest{HARM}"), ("list", f"no-job{HARM}"), ("prune", HARM)])
def test_nothing_that_an_error_repeats_reaches_a_terminal_as_it_is(
    yard: Yard, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    assert not yard.run(capsys, *words)

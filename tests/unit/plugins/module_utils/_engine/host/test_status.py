# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import datetime as dt

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import (
    listing,
    repository_use,
    status,
    tables,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.candidates import Holdings
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.copies_objective import CopiesObjective
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.database_settings import DatabaseSettings
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.place import Site
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.repository_settings import (
    RepositorySettings,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.connection import Server
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.catalog import Backup, MergedBackup
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.manifest import Manifest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.proof import Standing

NOW = dt.datetime(2026, 11, 20, 12, 0, tzinfo=dt.timezone.utc)
HOUR = dt.timedelta(hours=1)


def job(**changes):
    given = {"name": "db1-shop", "kind": "pg_database", "database": "shop", "repositories": ("local", "site")}
    return DatabaseSettings(**{**given, "server": Server(), "rpo_hours": 26.0, **changes})


def identity(age_h):
    return (NOW - age_h * HOUR).strftime("%Y%m%dT%H%M%SZ") + "-0a1b2c"


def backup(age_h, proved=True, problems=(), alarms=(), readable=True):
    moment = NOW - age_h * HOUR
    manifest = Manifest(identity(age_h), "db1-shop", "pg_database", "", moment, moment + HOUR, "db1", {}, {}, ())
    standing = Standing(proved, tuple(problems), moment + HOUR if proved else None)
    return Backup("db1-shop", identity(age_h), manifest if readable else None, standing, tuple(alarms))


def judged(local, site, unreachable=None, sites=None, **changes):
    found = {name: rows for name, rows in (("local", local), ("site", site)) if rows is not None}
    return status.judge(job(**changes), Holdings("db1-shop", found, unreachable or {}), NOW, None, sites)


def test_a_repository_under_two_names_is_one_copy():
    known = Holdings("db1-shop", {"local": [backup(24)], "site": [backup(24)]}, {}, {"site": "local"})
    found = status.judge(job(copies=CopiesObjective(total=2)), known, NOW, None, {"local": Site(), "site": Site()})
    assert found.copies == ("local",)
    assert found.problems == (
        "site is the same repository as local: what it has counts once",
        f"there is 1 good copy of {identity(24)} (local), and the objective is 2",
    )


def test_a_fresh_proved_backup_with_all_copies_is_healthy():
    found = judged([backup(24)], [backup(24)])
    assert found.is_healthy
    assert (found.id, found.age_s, found.proved_id) == (identity(24), 24 * 3600.0, identity(24))
    assert found.copies == ("local", "site")


@pytest.mark.parametrize(
    ("local", "site", "changes", "problem"),
    [
        ([], [], {}, "there is no backup"),
        ([backup(27)], [backup(27)], {}, "the newest backup is 27 h old, and the objective is 26 h"),
        ([backup(-1)], [backup(-1)], {}, "the newest backup lies 60 min in the future: a clock is wrong"),
        ([backup(2, proved=False)], [backup(2, proved=False)], {}, "no backup is proved"),
        (
            [backup(24), backup(2, proved=False)],
            [backup(24), backup(2, proved=False)],
            {},
            f"the newest backup is not proved; {identity(24)} is the newest one that is",
        ),
        (
            [backup(30), backup(2, proved=False)],
            [backup(2, proved=False)],
            {"proof": "none"},
            "the newest proved backup is 30 h old, and the objective is 26 h",
        ),
        ([backup(2)], [], {}, f"site has no copy of {identity(2)}"),
        (
            [backup(2)],
            [backup(2, problems=["database.dump: cut"], proved=False)],
            {},
            f"{identity(2)} in site: database.dump: cut",
        ),
        (
            [backup(2)],
            [backup(2, alarms=["the manifest was written 2 times"])],
            {},
            f"{identity(2)} in site: the manifest was written 2 times",
        ),
    ],
)
def test_what_is_wrong_is_said_and_nothing_else(local, site, changes, problem):
    assert judged(local, site, **changes).problems == (problem,)


def test_a_repository_that_does_not_answer_is_wrong_and_its_copies_are_not_called_missing():
    found = judged([backup(2)], None, {"site": "it is away"})
    assert found.problems == ("site cannot be used: it is away",)


SITES = {"local": Site("disk"), "site": Site("s3", True)}


def test_copies_that_fulfil_their_objective_are_healthy_and_counted():
    found = judged([backup(2)], [backup(2)], sites=SITES, copies=CopiesObjective(2, 2, 1))
    assert found.is_healthy
    assert found.document()["good_copies"] == {"total": 2, "media": 2, "offsite": 1}


@pytest.mark.parametrize("changes", [{"problems": ["cut"], "proved": False}, {"alarms": ["it was written 2 times"]}])
def test_a_damaged_or_touched_copy_does_not_count_for_the_objective(changes):
    found = judged([backup(2)], [backup(2, **changes)], sites=SITES, copies=CopiesObjective(offsite=1))
    assert f"no good copies of {identity(2)} are off site, and the objective is 1" in found.problems


def test_a_copy_in_a_repository_that_is_away_does_not_count_for_the_objective():
    found = judged([backup(2)], None, {"site": "it is away"}, SITES, copies=CopiesObjective(total=2))
    assert found.problems[1] == f"there is 1 good copy of {identity(2)} (local), and the objective is 2"


def test_without_any_answer_nothing_is_said_about_backups():
    found = judged(None, None, {"local": "it is away", "site": "it is away"})
    assert found.problems == ("local cannot be used: it is away", "site cannot be used: it is away")


def test_age_without_an_objective_is_not_judged():
    assert judged([backup(1000)], [backup(1000)], rpo_hours=None).is_healthy


def test_proof_may_be_left_to_a_schedule_within_the_objective():
    local = [backup(24), backup(2, proved=False)]
    assert judged(local, local, proof="none").is_healthy


def test_a_backup_whose_manifest_cannot_be_read_does_not_count_as_the_newest():
    rows = [backup(27), backup(2, readable=False, alarms=["damaged"])]
    found = judged(rows, rows)
    assert found.id == identity(27)
    assert any("27 h old" in problem for problem in found.problems)


def test_age_counts_from_the_begin_because_the_data_are_of_then():
    assert judged([backup(24)], [backup(24)]).time == NOW - 24 * HOUR


def test_the_status_fits_into_100_columns_whatever_the_names():
    found = judged([backup(2)], None, {"site": "words " * 60}, name="x" * 128)
    lines = status.lines([found.document()], NOW)
    assert max(map(len, lines)) <= tables.WIDTH
    assert lines[0].split() == ["JOB", "LAST", "BACKUP", "AGE", "OBJECTIVE", "PROVED", "COPIES", "NEXT", "STATE"]
    assert lines[1].endswith("1 of 2  -     WRONG")
    assert "".join(lines[2:4]).replace(" ", "") == "is" + "x" * 128
    assert lines[4].startswith("  ! site cannot be used: words")


def test_a_job_that_never_ran_has_a_row():
    (_head, row, _problem) = status.lines([judged([], []).document()], NOW)
    assert row.split() == ["db1-shop", "none", "-", "26", "h", "never", "0", "of", "2", "-", "WRONG"]


@pytest.mark.parametrize(("value", "size"), [(7, 7), ("many", 0), (None, 0), ([], 0), (True, 0)])
def test_figures_that_are_no_numbers_are_counted_as_nothing(value, size):
    """Whoever may write a manifest must not be able to hide all others from who looks."""
    found = backup(1)
    manifest = dataclasses.replace(found.manifest, statistics={"stored_bytes": value, "plain_bytes": value})
    found = dataclasses.replace(found, manifest=manifest)
    settings = RepositorySettings("site", bucket="backups")
    assert repository_use.of_repository(settings, [found]).stored_bytes == size
    shown = listing.described(MergedBackup(found.job, found.id, manifest, (("site", found),)))
    assert (shown["stored_bytes"], shown["plain_bytes"]) == (size, size)


def test_copies_whose_manifests_differ_are_told():
    changed = backup(2)
    changed = dataclasses.replace(changed, manifest=dataclasses.replace(changed.manifest, host="elsewhere"))
    found = judged([backup(2)], [changed])
    assert found.problems == (f"the manifests of {identity(2)} in local and site differ: one was changed",)
    assert judged([backup(2)], [backup(2)]).is_healthy

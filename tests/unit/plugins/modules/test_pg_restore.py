# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import datetime as dt

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import DamagedError, LifeboatError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import (
    foreign_plan,
    foreign_restore,
    restore_run,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.candidates import Candidate
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.foreign_plan import DumpPlan
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.foreign_restore import DumpResult
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.restore_run import (
    RestorePlan,
    RestoreResult,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.foreign_dump import Form
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.globals_script import Role
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.roles import RolesPlan
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.selection import Selection
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.target import TargetCheck
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.catalog import Backup
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.manifest import Manifest, StoredFile
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.proof import Standing
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.stream.pipeline import StreamFacts
from ansible_collections.lifeboat.recovery.plugins.modules import pg_restore

ID, OLDER = "20261120T020000Z-0a1b2c", "20261119T020000Z-0a1b2c"
TIME = dt.datetime(2026, 11, 20, 2, tzinfo=clock.UTC)
DUMP = StoredFile("database.dump.zst", "dump", StreamFacts(100, "aa", 40, "bb", "zstd"))
SOURCE = {"database": "lab", "size_bytes": 8000}
MANIFEST = Manifest(ID, "host1-lab", "pg_database", "", TIME, TIME, "host1", {}, SOURCE, (DUMP,))
RESULT = RestoreResult("host1-lab", ID, "site", "lab", "lab_before_x", {"rows": 7}, 1.0, 2.0, 0.5, 4.0, ("a note",))


def backup(backup_id, is_proved=True):
    manifest = dataclasses.replace(MANIFEST, id=backup_id)
    return Backup("host1-lab", backup_id, manifest, Standing(is_proved, (), None))


def raised(error):
    raise error


class Engine:
    """Stands for the engine: two repositories have the backup, one of them an older one, too."""

    def __init__(self):
        self.requests = []
        self.restored = []
        self.target = TargetCheck(True, 150018, (), ())
        self.outcome = RESULT

    def plan(self, request):
        self.requests.append(request)
        local, site = request.places
        found = (Candidate(local, backup(ID)), Candidate(site, backup(ID)), Candidate(site, backup(OLDER)))
        return RestorePlan(request, found, request.database or "lab", self.target, ("far cannot be used",))

    def restore(self, planned):
        self.restored.append(planned)
        if isinstance(self.outcome, Exception):
            raised(self.outcome)
        return self.outcome


@pytest.fixture
def engine(monkeypatch):
    made = Engine()
    monkeypatch.setattr(restore_run, "plan", made.plan)
    monkeypatch.setattr(restore_run, "restore", made.restore)
    return made


@pytest.fixture
def run(run_module, engine):
    repositories = [{"name": "local", "path": "/srv/a"}, {"name": "site", "path": "/srv/b"}]
    given = {"job": "host1-lab", "confirm": "lab", "repositories": repositories}
    return lambda check_mode=False, **options: run_module(pg_restore, check_mode, **{**given, **options})


def test_a_restore_is_a_change_and_returns_what_was_done(run, engine):
    end = run()
    assert not end.failed and end["changed"] and len(engine.restored) == 1
    assert (end["id"], end["repository"], end["database"]) == (ID, "site", "lab")
    assert (end["previous"], end["replaces"], end["figures"]) == ("lab_before_x", True, {"rows": 7})
    assert (end["fetch_seconds"], end["load_seconds"], end["compare_seconds"], end["seconds"]) == (1.0, 2.0, 0.5, 4.0)
    assert end.warnings == ["a note"]


def test_check_mode_returns_the_plan_and_touches_nothing(run, engine):
    end = run(check_mode=True)
    assert not end.failed and end["changed"] and engine.restored == []
    assert (end["id"], end["repository"], end["copies"], end["proved"]) == (ID, "local", ["local", "site"], True)
    assert (end["stored_bytes"], end["plain_bytes"], end["database_bytes"]) == (40, 100, 8000)
    assert (end["replaces"], end["previous"]) == (True, "lab_before_YYYYMMDDTHHMMSSZ")
    assert (end["source_database"], end["finished"]) == ("lab", "2026-11-20T02:00:00.000000Z")
    assert end.warnings == ["far cannot be used"]


def test_the_diff_shows_what_takes_which_name(run, engine):
    diff = run(check_mode=True)["diff"]
    assert diff["before"] == {"lab": "the present database"}
    assert diff["after"] == {
        "lab": f"backup {ID} of host1-lab from local",
        "lab_before_YYYYMMDDTHHMMSSZ": "the present database",
    }


def test_the_diff_of_a_database_that_is_dropped_at_once_keeps_nothing(run, engine):
    end = run(check_mode=True, keep_previous=False)
    assert end["previous"] == "" and list(end["diff"]["after"]) == ["lab"]


def test_a_name_that_is_free_replaces_nothing(run, engine):
    engine.target = TargetCheck(False, 150018, (), ())
    end = run(check_mode=True, database="lab two", confirm=None)
    assert not end.failed and (end["replaces"], end["previous"]) == (False, "")
    assert end["diff"]["before"] == {"lab two": None}


@pytest.mark.parametrize("check_mode", [True, False])
@pytest.mark.parametrize("confirm", [None, "Lab", ""])
def test_a_database_is_not_replaced_without_its_name_and_the_plan_is_returned(run, engine, confirm, check_mode):
    end = run(check_mode=check_mode, confirm=confirm)
    assert end.failed and (end["guard"], end["exit_code"]) == ("confirm", 3)
    assert engine.restored == [] and (end["id"], end["replaces"]) == (ID, True)


@pytest.mark.parametrize("check_mode", [True, False])
def test_what_the_target_lacks_is_returned(run, engine, check_mode):
    engine.target = TargetCheck(True, 150018, ("the server lacks the roles a",), ())
    end = run(check_mode=check_mode)
    assert end.failed and end["problems"] == ["the server lacks the roles a"]
    assert "lacks the roles a" in end["msg"] and engine.restored == []


def test_an_error_of_the_engine_is_a_failure(run, engine):
    engine.outcome = DamagedError("Cannot restore host1-lab", "no copy can be used", "restore an earlier one")
    end = run()
    assert end.failed and end["remedy"] == "restore an earlier one"


def test_a_backup_that_is_not_there_is_a_failure(run, engine, monkeypatch):
    def nothing(_request):
        raise LifeboatError("Cannot find backup latest", "0 backups are known")

    monkeypatch.setattr(restore_run, "plan", nothing)
    assert run().failed


def test_every_option_reaches_the_request(run, engine):
    run(
        backup=OLDER,
        database="lab two",
        confirm="lab two",
        keep_previous=False,
        schema_only=True,
        no_owner=True,
        no_privileges=True,
        jobs=4,
        spool_dir="/srv/spool",
        login_host="db1",
        login_password="canary",  # noqa: S106
    )
    (request,) = engine.requests
    assert (request.job, request.backup, request.database, request.confirm) == (
        "host1-lab",
        OLDER,
        "lab two",
        "lab two",
    )
    assert (request.keep_previous, request.folder, request.options.jobs) == (False, "/srv/spool", 4)
    script = request.options.script
    assert (script.schema_only, script.no_owner, script.no_privileges) == (True, True, True)
    assert (request.server.host, request.server.password) == ("db1", "canary")
    assert [place.name for place in request.places] == ["local", "site"]


def test_the_defaults_are_careful(run, engine):
    run()
    (request,) = engine.requests
    assert (request.backup, request.keep_previous, request.options.jobs) == ("latest_good", True, 1)
    script = request.options.script
    assert not (script.schema_only or script.no_owner or script.no_privileges)


def test_what_is_chosen_reaches_the_request(run, engine):
    run(
        include=["sales", "public.users"],
        exclude=["sales.log*"],
        on_conflict="rename",
        safety_backup=True,
        globals="needed",
        tablespaces={"fast": "slow"},
        no_tablespaces=True,
    )
    (request,) = engine.requests
    assert [pattern.text for pattern in (*request.include, *request.exclude)] == ["sales", "public.users", "sales.log*"]
    assert (request.on_conflict, request.safety_backup, request.globals) == ("rename", True, "needed")
    assert (request.options.tablespaces, request.options.with_tablespaces) == ({"fast": "slow"}, False)


def test_a_plan_says_what_is_chosen_and_which_roles_are_made_and_stays_small(run, engine, monkeypatch):
    selection = Selection((), tuple(f"public.t{n}" for n in range(150)), ("FK CONSTRAINT a b",), ())
    roles = RolesPlan(make=(Role("shop"),))

    def plan(request):
        return dataclasses.replace(engine.plan(request), selection=selection, roles=roles)

    monkeypatch.setattr(restore_run, "plan", plan)
    end = run(check_mode=True)
    assert len(end["tables"]) == 101 and end["tables"][-1] == "and 50 more"
    assert (end["left_out"], end["roles"]) == (["FK CONSTRAINT a b"], ["shop"])
    assert (end["diff"]["before"]["roles"], end["diff"]["after"]["roles"]) == ([], ["shop"])


def test_a_taken_name_that_shall_be_refused_is_refused_in_spite_of_its_confirmation(run, engine):
    end = run(on_conflict="refuse")
    assert end.failed and end["guard"] == "conflict" and engine.restored == []


class Dumps:
    """Stands for the part of the engine that restores dumps from elsewhere."""

    def __init__(self):
        self.requests = []

    def plan(self, request):
        self.requests.append(request)
        target = TargetCheck(True, 150018, (), ())
        return DumpPlan(request, Form("sql", "gzip"), "lab", target, 900, "ab", None, None, ("a note",))

    def restore(self, _planned):
        return DumpResult("lab.sql.gz", "lab", "lab_before_x", {"rows": 7}, 1.0, 2.0, 0.5, 4.0, (), ("another note",))


@pytest.fixture
def run_dump(run_module, monkeypatch):
    made = Dumps()
    monkeypatch.setattr(foreign_plan, "plan", made.plan)
    monkeypatch.setattr(foreign_restore, "restore", made.restore)
    given = {"dump": "/srv/lab.sql.gz", "database": "lab", "confirm": "lab"}
    return made, lambda check_mode=False, **options: run_module(pg_restore, check_mode, **{**given, **options})


def test_a_dump_is_restored_and_check_mode_says_what_it_is(run_dump):
    made, run = run_dump
    planned, done = run(check_mode=True), run(owner="shop", trusted=True, dump_ca_cert="/etc/ca.pem")
    assert (planned["form"], planned["sha256"], planned["stored_bytes"]) == ("a script, compressed by gzip", "ab", 900)
    assert planned["diff"]["after"]["lab"] == "dump lab.sql.gz" and "figures" not in planned.answer
    assert (done["previous"], done["figures"], done["seconds"]) == ("lab_before_x", {"rows": 7}, 4.0)
    assert not made.requests[0].is_trusted and made.requests[1].is_trusted
    assert (made.requests[1].owner, made.requests[1].dump.ca_file) == ("shop", "/etc/ca.pem")


@pytest.mark.parametrize(
    "options",
    [
        {"confirm": "other"},
        {"database": None},
        {"globals": "all"},
        {"safety_backup": True},
        {"jobs": 0},
        {"job": "host1-lab", "repositories": [{"path": "/srv/a"}]},
        {"include": ["a.b.c"]},
    ],
)
def test_a_dump_is_not_restored_with_options_that_mean_nothing_for_it(run_dump, options):
    assert run_dump[1](**options).failed


@pytest.mark.parametrize("options", [{"job": "a b"}, {"jobs": 0}, {"repositories": []}, {"include": [""]}])
def test_a_wrong_option_is_refused_before_anything_is_asked(run, engine, options):
    assert run(**options).failed
    assert engine.requests == []

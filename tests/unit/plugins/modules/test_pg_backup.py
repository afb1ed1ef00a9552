# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge import server_jobs
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import (
    BusyError,
    GuardRefusal,
    IncompleteError,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.backup_plan import PlaceState
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.backup_run import (
    BackupResult,
    CopyResult,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.database_backup import Source
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.database_plan import BackupPlan
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.server_backup import (
    Failure,
    MemberOutcome,
    ServerPlan,
    ServerResult,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.databases import Database
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.preflight import Preflight
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.tools import ClientTools, Tool
from ansible_collections.lifeboat.recovery.plugins.modules import pg_backup

TOOL = Tool("pg_dump", "/usr/bin/pg_dump", 15, "15.18")
SOURCE = Source(Preflight(8000, False, (), ("a note",)), ClientTools(TOOL, TOOL, TOOL), {})
WRITTEN = CopyResult("local", True, True, True, seconds=1.5)
RESULT = BackupResult("host1-lab", "20261120T020000Z-0a1b2c", (WRITTEN,), 100, 40, 2.0, 1.0, ("a warning",))
MISSING = CopyResult("site", False, False, False, "Cannot write: refused")
PARTIAL = dataclasses.replace(RESULT, copies=(WRITTEN, MISSING))


def raised(error):
    raise error


class Engine:
    """Stands for the engine: it takes any job."""

    def __init__(self):
        self.planned = []
        self.ran = []
        self.states = (PlaceState("local", is_primary=True), PlaceState("site", "Cannot read: refused"))
        self.refusal = None
        self.outcome = RESULT

    def plan(self, job):
        self.planned.append(job)
        if self.refusal:
            raised(self.refusal)
        return BackupPlan(job, SOURCE, self.states)

    def back_up(self, job):
        self.ran.append(job)
        if isinstance(self.outcome, Exception):
            raised(self.outcome)
        return self.outcome


@pytest.fixture
def engine(monkeypatch):
    made = Engine()
    monkeypatch.setattr(pg_backup.database_plan, "plan", made.plan)
    monkeypatch.setattr(pg_backup.database_backup, "back_up", made.back_up)
    for name in ("PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGSSLMODE", "PGSSLROOTCERT"):
        monkeypatch.delenv(name, raising=False)
    return made


@pytest.fixture
def run(run_module, engine):
    given = {"job": "host1-lab", "database": "lab", "repositories": [{"name": "local", "path": "/srv/backups"}]}
    return lambda check_mode=False, **options: run_module(pg_backup, check_mode, **{**given, **options})


def test_a_backup_is_a_change_and_returns_what_was_written(run, engine):
    end = run()
    assert not end.failed and end["changed"]
    assert engine.ran == engine.planned
    assert (end["id"], end["job"], end["database"]) == (RESULT.id, "host1-lab", "lab")
    assert (end["plain_bytes"], end["stored_bytes"], end["ratio"]) == (100, 40, 2.5)
    assert (end["seconds"], end["dump_seconds"], end["complete"]) == (2.0, 1.0, True)
    assert end["copies"] == [
        {"repository": "local", "primary": True, "present": True, "proved": True, "problem": "", "seconds": 1.5}
    ]
    assert end.warnings == ["a warning"]


def test_check_mode_says_what_would_be_written_and_writes_nothing(run, engine):
    end = run(check_mode=True)
    assert not end.failed and end["changed"] and engine.ran == []
    assert (end["estimated_bytes"], end["database_bytes"]) == (8000, 8000)
    assert [(copy["repository"], copy["primary"], copy["present"]) for copy in end["copies"]] == [
        ("local", True, False),
        ("site", False, False),
    ]
    assert "id" not in end.answer
    assert end.warnings == ["a note", "site: Cannot read: refused"]


def test_the_diff_names_the_newest_backup_of_each_repository(run, engine):
    diff = run(check_mode=True)["diff"]
    assert diff["before"] == {"newest_backups": {"local": None, "site": None}}
    assert diff["after"] == {"newest_backups": {"local": "a new backup of about 8000 bytes", "site": None}}


def test_a_backup_that_is_not_everywhere_fails_and_is_returned(run, engine):
    engine.outcome = IncompleteError("Backup is not everywhere", "site: refused", "copy it", PARTIAL)
    end = run()
    assert end.failed and end["changed"] and end["exit_code"] == 5
    assert end["id"] == RESULT.id and not end["complete"]
    assert [copy["present"] for copy in end["copies"]] == [True, False]
    assert "site: refused" in end["msg"] and end["remedy"] == "copy it"


def test_a_missing_copy_that_is_allowed_is_a_warning(run, engine):
    engine.outcome = PARTIAL
    end = run(allow_partial=True)
    assert not end.failed and end.warnings == ["a warning", "site: Cannot write: refused"]
    assert engine.ran[0].allow_partial


@pytest.mark.parametrize("check_mode", [True, False])
def test_a_guard_comes_out_by_its_name(run, engine, check_mode):
    engine.refusal = GuardRefusal("source", "Cannot back up", "another source", "rebind")
    end = run(check_mode=check_mode)
    assert end.failed and (end["guard"], end["exit_code"]) == ("source", 3)
    assert engine.ran == []


def test_a_job_that_is_running_is_busy(run, engine):
    engine.outcome = BusyError("Cannot run job host1-lab", "it is running", "wait")
    end = run()
    assert end.failed and end["exit_code"] == 4


def test_every_option_reaches_the_job(run, engine):
    run(
        login_host="db1",
        login_port=5433,
        login_user="backup",
        login_password="canary",  # noqa: S106
        ssl_mode="verify-full",
        ca_cert="/etc/ca.pem",
        bin_dir="/opt/pg/bin",
        proof="restore",
        compression="gzip",
        on_shrink="warn",
        rebind=True,
        lock_timeout_s=7,
        wait_s=8,
        scratch_dir="/srv/scratch",
        scratch_user="root",
        jobs=3,
        repositories=[{"path": "/a"}, {"name": "far", "path": "/b"}],
    )
    (job,) = engine.ran
    server = job.server
    assert (server.host, server.port, server.user, server.password) == ("db1", 5433, "backup", "canary")
    assert (server.ssl_mode, server.ca_file, server.bin_dir) == ("verify-full", "/etc/ca.pem", "/opt/pg/bin")
    assert (job.name, job.database, job.proof, job.compression) == ("host1-lab", "lab", "restore", "gzip")
    assert (job.on_shrink, job.rebind, job.dump.lock_timeout_s, job.wait_s) == ("warn", True, 7, 8)
    assert (job.drill.folder, job.drill.user, job.drill.jobs) == ("/srv/scratch", (0, 0), 3)
    assert [place.name for place in job.places] == ["/a", "far"]


def test_the_defaults_are_careful(run, engine):
    run()
    (job,) = engine.ran
    assert (job.proof, job.compression, job.on_shrink) == ("content", "zstd", "fail")
    assert (job.allow_partial, job.rebind) == (False, False)
    assert (job.server.host, job.server.user, job.server.password) == ("/var/run/postgresql", "postgres", "")


def test_the_folder_of_a_socket_is_a_host(run, engine):
    run(login_unix_socket="/run/pg2")
    assert engine.ran[0].server.host == "/run/pg2"


@pytest.mark.parametrize(
    "options",
    [
        {"job": ""},
        {"job": "../x"},
        {"repositories": []},
        {"repositories": [{"path": "/a"}, {"path": "/a"}]},
        {"proof": "presence"},
        {"compression": "xz"},
        {"lock_timeout_s": -1},
        {"wait_s": -1},
        {"jobs": 0},
    ],
)
def test_a_wrong_option_is_refused_before_anything_is_asked(run, engine, options):
    assert run(**options).failed
    assert engine.planned == [] and engine.ran == []


class SeveralDatabases:
    """Stands for the engine's run of several databases."""

    def __init__(self, monkeypatch):
        self.jobs = []
        self.failure = None
        monkeypatch.setattr(server_jobs.server_backup, "plan", self.plan)
        monkeypatch.setattr(server_jobs.server_backup, "run", self.run)

    def plan(self, job):
        self.jobs.append(job)
        return ServerPlan(job, (Database("shop", True, 9), Database("lab", True, 7)), ("shut",), (), {})

    def run(self, planned):
        outcomes = (
            MemberOutcome("db1.lab", "lab", RESULT),
            MemberOutcome("db1.shop", "shop", None if self.failure else RESULT, self.failure),
        )
        return ServerResult("db1", outcomes, planned.gone, planned.warnings, 3.0)


@pytest.fixture
def several(monkeypatch, run_module, engine):
    made = SeveralDatabases(monkeypatch)
    given = {"job": "db1", "databases": "all", "repositories": [{"name": "local", "path": "/srv/backups"}]}
    made.do = lambda check_mode=False, **options: run_module(pg_backup, check_mode, **{**given, **options})
    return made


def test_several_databases_are_told_one_by_one(several):
    end = several.do(exclude=["test_*"], parallel=5, on_gone="warn")
    assert not end.failed and end["changed"] and end["complete"]
    assert [(each["database"], each["job"], each["id"]) for each in end["members"]] == [
        ("lab", "db1.lab", RESULT.id),
        ("shop", "db1.shop", RESULT.id),
    ]
    assert (end["plain_bytes"], end["stored_bytes"], end["gone"]) == (200, 80, [])
    assert end.warnings == [
        "left out, because they take no connections: shut",
        "lab: a warning",
        "shop: a warning",
    ]
    (job,) = several.jobs
    assert (job.name, job.selection.exclude, job.parallel, job.on_gone) == ("db1", ("test_*",), 5, "warn")


def test_check_mode_says_what_would_be_written_of_each_database(several, engine):
    end = several.do(check_mode=True)
    assert not end.failed and end["changed"]
    assert [(each["database"], each["estimated_bytes"], each["problem"]) for each in end["members"]] == [
        ("lab", 8000, ""),
        ("shop", 8000, ""),
    ]
    assert [job.name for job in engine.planned] == ["db1.shop", "db1.lab"]
    engine.refusal = GuardRefusal("source", "Cannot back up", "another server", "rebind")
    assert several.do(check_mode=True)["members"][0]["problem"] == "Cannot back up: another server"


def test_a_database_that_fails_fails_the_task_which_returns_the_others(several):
    several.failure = Failure("Cannot back up database shop", "it is gone", "look", guard="source", exit_code=3)
    end = several.do()
    assert end.failed and end["changed"] and end["exit_code"] == 5
    assert "1 of 2 databases of db1 are not backed up" in end["msg"] and "it is gone" in end["msg"]
    assert [each["problem"] for each in end["members"]] == ["", "Cannot back up database shop: it is gone"]
    assert end["members"][1]["guard"] == "source" and "id" not in end["members"][1]


def test_one_database_or_several_must_be_named_and_not_both(several, run):
    assert several.do(database="lab").failed
    assert several.do(databases=None).failed
    assert "neither all nor a list" in several.do(databases="lab")["msg"]


def test_a_service_a_password_file_and_a_role_reach_the_engine(run, engine):
    run(login_service="lab", login_service_file="/srv/services", login_pass_file="/srv/pass", session_role="owner")
    server = engine.planned[0].server
    assert (server.service, server.service_file, server.pass_file) == ("lab", "/srv/services", "/srv/pass")
    assert (server.session_role, server.host) == ("owner", "")


def test_what_a_service_says_is_not_said_twice(run):
    for options in ({"login_host": "db1"}, {"login_unix_socket": "/run"}, {"login_password": "x"}):
        end = run(login_service="lab", **options)
        assert end.failed and "stands beside login_service" in end["msg"]
    assert "name the service" in run(login_service_file="/srv/services")["msg"]

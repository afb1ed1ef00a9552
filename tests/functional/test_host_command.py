# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The installed command, as cron and people call it, on real servers."""

from __future__ import annotations

import json
import os
import pwd
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import identity
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.bucket import BucketStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.client import S3Client
from ansible_collections.lifeboat.recovery.tests.functional import warm_python
from ansible_collections.lifeboat.recovery.tests.functional.command_file import command_for
from ansible_collections.lifeboat.recovery.tests.functional.postgres_fixtures import (
    PostgresServer,
    database,
    databases_of,
    postgres,
)
from ansible_collections.lifeboat.recovery.tests.functional.s3_fixtures import bucket, s3, s3_server

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "environment"))

import interpreters
import servers

__all__ = ["bucket", "postgres", "s3", "s3_server"]

SCRIPT = """
CREATE TABLE patient (id int PRIMARY KEY, name text);
INSERT INTO patient SELECT n, md5(n::text) FROM generate_series(1, 3000) AS n;
CREATE TABLE visit (id int PRIMARY KEY, patient int REFERENCES patient, at timestamptz);
INSERT INTO visit
  SELECT n, 1 + n % 3000, TIMESTAMPTZ '2026-01-01Z' + n * INTERVAL '1 min' FROM generate_series(1, 5000) AS n;
"""
DATA = """
SELECT md5(string_agg(line, ',' ORDER BY line))
FROM (SELECT p::text AS line FROM patient p UNION ALL SELECT v::text FROM visit v) AS lines
"""
PATIENCE_S = 60.0
SYSTEM_PYTHON = Path("/usr/bin/python3")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become the user of a job")


class Host:
    """A host with the command, one job and two repositories: a directory and a bucket."""

    def __init__(self, folder: Path, server: PostgresServer, name: str) -> None:
        self.folder = folder
        self.server = server
        self.database = name
        self.command = folder / "lifeboat"
        self.local = folder / "local"
        self.job: dict[str, t.Any] = {
            "kind": "pg_database",
            "database": name,
            "repositories": ["local"],
            "login_unix_socket": str(server.socket_dir),
            "login_port": server.port,
            "login_user": "postgres",
            "ssl_mode": "disable",
            "bin_dir": str(server.bin_dir),
            "objectives": {"rpo_hours": 1},
        }
        self.repositories: dict[str, t.Any] = {"local": {"path": str(self.local)}}
        self.command.write_bytes(command_for(sys.executable))
        self.command.chmod(0o755)
        self.local.mkdir()
        identity.initialise(DirectoryStore(str(self.local)))

    def configure(self, **job: t.Any) -> None:
        self.job.update(job)
        path = self.folder / "config.json"
        path.write_text(json.dumps({"repositories": self.repositories, "jobs": {"lab": self.job}}))
        path.chmod(0o644)

    @property
    def environment(self) -> dict[str, str]:
        """Return what cron gives (crontab(5))."""
        given = {"HOME": str(self.folder), "LOGNAME": "lab", "PATH": "/usr/bin:/bin", "SHELL": "/bin/sh"}
        return {**given, "XDG_CACHE_HOME": str(self.folder / "cache")}

    def argv(self, *words: str) -> list[str]:
        return [str(self.command), "--config", str(self.folder / "config.json"), *words]

    def begin(self, *words: str, **more: t.Any) -> subprocess.Popen[str]:
        """Start the file itself."""
        given: dict[str, t.Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": self.environment}
        return subprocess.Popen(self.argv(*words), text=True, stdin=subprocess.DEVNULL, **{**given, **more})

    def call(self, *words: str, **more: t.Any) -> subprocess.CompletedProcess[str]:
        """Run the command to its end: the file itself where streams or users are given, or it is another one."""
        if not more and self.command.read_bytes() == command_for(sys.executable):
            return warm_python.host_command(self.argv(*words), self.environment)
        process = self.begin(*words, **more)
        out, err = process.communicate(timeout=120)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def ask(self, *words: str, code: int = 0) -> dict[str, t.Any]:
        done = self.call("--json", *words)
        assert done.returncode == code, done.stderr
        document: dict[str, t.Any] = json.loads(done.stdout)
        assert document["exit_code"] == code
        return document

    def data(self, name: str = "") -> str:
        return self.server.sql(DATA, name or self.database)

    def intents(self) -> list[Path]:
        return list((self.local / "intents").glob("*/*"))


@pytest.fixture
def host(postgres: t.Callable[[int], PostgresServer]) -> t.Iterator[Host]:
    folder = Path(tempfile.mkdtemp(prefix="lbt-host-", dir="/tmp"))
    folder.chmod(0o755)
    server = postgres(15)
    try:
        with database(server, "host lab", SCRIPT) as name:
            made = Host(folder, server, name)
            made.configure()
            yield made
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def two_places(host: Host, s3: S3Client, s3_server: servers.MinioServer, bucket: str) -> Host:
    """Return a host whose job has a copy in a bucket."""
    secret = host.folder / "site.key"
    secret.write_text(s3_server.secret_key + "\n")
    secret.chmod(0o600)
    host.repositories["site"] = {
        "bucket": bucket,
        "endpoint_url": s3_server.endpoint,
        "access_key": s3_server.access_key,
        "secret_key_file": str(secret),
    }
    identity.initialise(BucketStore(s3, bucket))
    host.configure(repositories=["local", "site"])
    return host


def test_what_was_backed_up_comes_back_after_a_disaster(two_places: Host) -> None:
    host = two_places
    before = host.data()
    run = host.ask("run", "lab")
    assert [(copy["repository"], copy["proved"]) for copy in run["copies"]] == [("local", True), ("site", True)]
    host.server.sql("DROP TABLE patient CASCADE; DELETE FROM visit", host.database)

    refused = host.ask("restore", "lab", code=3)
    assert refused["error"]["guard"] == "confirm"
    planned = host.ask("restore", "lab", "--dry-run")
    assert (planned["id"], planned["replaces"], planned["needs_confirm"]) == (run["id"], True, True)
    shutil.rmtree(host.local / "data")  # the near copy is lost, too

    restored = host.ask("restore", "lab", "--confirm", host.database)
    assert (restored["id"], restored["repository"]) == (run["id"], "site")
    assert "local" in restored["notes"][-1]
    assert host.data() == before
    assert restored["previous"] in databases_of(host.server)
    host.server.sql(f'DROP DATABASE "{restored["previous"]}" WITH (FORCE)')


def test_parts_other_names_and_dumps_are_restored_by_their_options(host: Host) -> None:
    host.call("run", "lab")
    host.server.sql("CREATE TABLE extra AS SELECT 1 AS a", host.database)
    host.call("run", "lab")
    part = ["restore", "lab", "--database", "host part", "--include", "public.extra", "--globals", "needed"]
    planned = host.ask(*part, "--dry-run")
    assert planned["tables"] == ["public.extra"] and planned["roles"] == []
    assert "  table       public.extra" in host.call(*part, "--dry-run").stdout
    dump = host.folder / "extra.sql"
    dump.write_text("CREATE TABLE t AS SELECT 5 AS a;\n--\n-- PostgreSQL database dump complete\n--\n")
    dump.chmod(0o644)
    other = ["restore", "lab", "--dump", str(dump), "--database", "host part", "--owner", "taker"]
    host.server.sql("CREATE ROLE taker")
    try:
        assert host.ask(*part)["figures"]["rows"] == 1
        assert host.ask(*part, "--on-conflict", "refuse", code=3)["error"]["guard"] == "conflict"
        assert host.ask(*other, "--dry-run")["form"] == "a script"
        assert host.ask(*other, code=3)["error"]["guard"] == "confirm"
        host.ask(*other, "--confirm", "host part", "--drop-previous")
        assert host.server.sql("SELECT a FROM t", "host part") == "5"
    finally:
        host.server.sql('DROP DATABASE IF EXISTS "host part"')
        host.server.sql("DROP TABLE extra; DROP ROLE taker", host.database)


def test_a_backup_can_be_restored_under_another_name(host: Host) -> None:
    host.ask("run", "lab")
    try:
        told = host.call("restore", "lab", "--database", "host lab 2", "--jobs", "2")
        assert told.returncode == 0, told.stderr
        assert "as database host lab 2" in told.stdout
        assert host.data("host lab 2") == host.data()
    finally:
        host.server.sql('DROP DATABASE IF EXISTS "host lab 2" WITH (FORCE)')


def test_list_show_and_status_agree(two_places: Host) -> None:
    host = two_places
    first, second = host.ask("run", "lab")["id"], host.ask("run", "lab")["id"]
    (listed,) = host.ask("list", "lab")["jobs"]
    assert [row["id"] for row in listed["backups"]] == [first, second]
    shown = host.ask("show", "lab", first)
    assert (shown["id"], shown["proved"]) == (first, True)
    assert {file["role"] for file in shown["files"]} >= {"dump", "globals"}
    assert shown["reports"]["local"][0]["level"] == "content"
    status = host.ask("status")
    assert (status["healthy"], status["jobs"][0]["id"]) == (True, second)
    for words in (["list"], ["status"], ["show", "lab"], ["check"]):
        done = host.call(*words)
        assert done.returncode == 0
        assert max(map(len, done.stdout.splitlines())) <= 100, done.stdout


def test_phases_are_lines_on_standard_error_without_a_terminal(two_places: Host) -> None:
    done = two_places.call("run", "lab")
    phases = [line.split(" ", 2)[2] for line in done.stderr.splitlines()]
    assert [phase.split()[0] for phase in phases] == ["backing", "reading", "copying"]
    assert "\r" not in done.stderr
    assert done.stdout.splitlines()[1:] == ["  local: proved", "  site: proved"]


def test_a_terminal_shows_the_phase_in_place(host: Host) -> None:
    leader, follower = os.openpty()
    process = host.begin("run", "lab", stderr=follower)
    os.close(follower)
    seen = b""
    while select.select([leader], [], [], PATIENCE_S)[0]:
        try:
            chunk = os.read(leader, 4096)
        except OSError:  # Linux says so when the last writer has gone
            break
        seen += chunk
    process.communicate()
    os.close(leader)
    assert b"\rlab: backing up" in seen
    assert b"\x1b[K" in seen


def test_a_missing_copy_is_incomplete_and_can_be_brought_later(two_places: Host) -> None:
    host = two_places
    away = {**host.repositories["site"], "endpoint_url": "http://127.0.0.1:1"}
    there, host.repositories["site"] = host.repositories["site"], away
    host.configure()
    run = host.ask("run", "lab", code=5)
    assert run["complete"] is False
    assert [copy["proved"] for copy in run["copies"]] == [True, False]
    assert host.ask("status", code=1)["jobs"][0]["problems"][0].startswith("site cannot be used")
    assert host.ask("list", code=5)["jobs"][0]["unreachable"].keys() == {"site"}
    assert host.ask("copy", "lab", code=1)["copied"] == []

    host.repositories["site"] = there
    host.configure()
    assert host.ask("status", code=1)["jobs"][0]["problems"] == [f"site has no copy of {run['id']}"]
    assert [each["target"] for each in host.ask("copy", "lab", "--dry-run")["copied"]] == ["site"]
    assert [each["target"] for each in host.ask("copy", "lab")["copied"]] == ["site"]
    assert host.ask("copy", "lab")["copied"] == []
    assert host.ask("status")["healthy"]


def test_damage_is_found_told_and_repaired(two_places: Host) -> None:
    host = two_places
    backup_id = host.ask("run", "lab")["id"]
    dump = host.local / "data" / "lab" / backup_id / "database.dump.zst"
    stored = bytearray(dump.read_bytes())
    stored[len(stored) // 2] ^= 1
    dump.chmod(0o640)
    dump.write_bytes(stored)
    verified = host.ask("verify", "lab", code=1)
    assert [(copy["repository"], copy["good"]) for copy in verified["copies"]] == [("local", False), ("site", True)]
    assert any("local" in problem for problem in host.ask("status", code=1)["jobs"][0]["problems"])
    assert [each["source"] for each in host.ask("copy", "lab")["copied"]] == ["site"]
    assert host.ask("status")["healthy"]
    assert host.ask("verify", "lab", "--level", "restore")["problems"] == []


def test_a_repository_that_is_not_mounted_is_refused(host: Host) -> None:
    shutil.move(str(host.local), str(host.folder / "elsewhere"))
    host.local.mkdir()
    assert host.ask("run", "lab", code=3)["error"]["guard"] == "repository"
    assert list(host.local.iterdir()) == []
    assert host.ask("check", code=3)["good"] is False


def test_check_finds_nothing_wrong_and_changes_nothing(two_places: Host) -> None:
    host = two_places
    host.configure(proof="restore")
    before = sorted((path, path.lstat().st_mtime_ns) for path in host.local.rglob("*"))
    found = host.ask("check")
    assert [finding["good"] for each in found["checks"] for finding in each["findings"]] == [True] * 6
    assert sorted((path, path.lstat().st_mtime_ns) for path in host.local.rglob("*")) == before


def test_check_names_a_database_that_is_not_there(host: Host) -> None:
    host.configure(database="no such lab")
    (each,) = host.ask("check", code=1)["checks"]
    assert "no database of this name" in each["findings"][-1]["words"]


@pytest.fixture
def held(host: Host) -> t.Iterator[t.Callable[[], int]]:
    """Let pg_dump hang, and return a function that waits until it does and returns its process id."""
    programs = host.folder / "bin"
    programs.mkdir()
    for program in Path(host.job["bin_dir"]).iterdir():
        (programs / program.name).symlink_to(program)
    sign = host.folder / "hangs"
    (programs / "pg_dump").unlink()
    (programs / "pg_dump").write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && exec {host.job["bin_dir"]}/pg_dump --version\n'
        f"echo $$ >{sign}.new; mv {sign}.new {sign}\nexec sleep 600\n"
    )
    (programs / "pg_dump").chmod(0o755)
    working = host.job["bin_dir"]
    host.configure(bin_dir=str(programs))

    def wait() -> int:
        deadline = time.monotonic() + PATIENCE_S
        while not sign.exists():
            assert time.monotonic() < deadline, "pg_dump was never started"
            time.sleep(0.01)
        return int(sign.read_text())

    yield wait
    host.configure(bin_dir=working)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_a_signal_ends_children_and_leaves_no_intent(
    host: Host, held: t.Callable[[], int], number: signal.Signals, code: int
) -> None:
    process = host.begin("run", "lab")
    child = held()
    assert len(host.intents()) == 1
    process.send_signal(number)
    _out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == code, err
    assert err.splitlines()[-1] == f"Ended by {number.name}."
    assert "Traceback" not in err
    assert not Path(f"/proc/{child}").exists()
    assert host.intents() == []
    assert list(host.local.glob("manifests/*/*")) == []


def test_a_second_run_at_the_same_time_is_busy(host: Host, held: t.Callable[[], int]) -> None:
    process = host.begin("run", "lab")
    held()
    done = host.call("run", "lab")
    process.terminate()
    process.communicate(timeout=PATIENCE_S)
    assert done.returncode == 4
    assert done.stderr.splitlines()[-1] == "Remedy: wait until that run has ended"


def test_secrets_are_in_no_argument_and_no_output(two_places: Host, held: t.Callable[[], int]) -> None:
    host = two_places
    canary = "canary-5ecret"
    password = host.folder / "password"
    password.write_text(canary + "\n")
    password.chmod(0o600)
    host.configure(login_password_file=str(password))
    process = host.begin("run", "lab")
    child = held()
    for pid in (process.pid, child):
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes()
        assert canary.encode() not in arguments
    process.terminate()
    out, err = process.communicate(timeout=PATIENCE_S)
    secrets = (canary, (host.folder / "site.key").read_text().strip())
    told = out + err + json.dumps(host.ask("list")) + json.dumps(host.ask("check", code=0))
    assert not any(secret in told for secret in secrets)


def test_a_killed_run_is_cleaned_up_by_the_next(host: Host, held: t.Callable[[], int]) -> None:
    process = host.begin("run", "lab")
    child = held()
    process.kill()
    process.communicate()
    os.kill(child, signal.SIGKILL)
    assert len(host.intents()) == 1
    host.configure(bin_dir=str(host.server.bin_dir))
    host.ask("run", "lab")
    assert host.intents() == []
    assert host.ask("status")["healthy"]


def test_a_reader_that_goes_away_is_no_failure(host: Host) -> None:
    host.ask("run", "lab")
    for words in (["show", "lab"], ["--json", "list"], ["--help"], ["--version"]):
        reading, writing = os.pipe()
        os.close(reading)
        done = host.call(*words, stdout=writing)
        os.close(writing)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_run_without_standard_streams_is_done(closed: str, host: Host) -> None:
    script = f"exec {host.command} --config {host.folder}/config.json run lab {closed}"
    done = subprocess.run(["/bin/sh", "-c", script], check=False, env={"PATH": "/usr/bin:/bin"})
    assert done.returncode == 0
    assert host.ask("status")["healthy"]


@needs_root
@pytest.mark.skipif(not SYSTEM_PYTHON.exists(), reason="NOT TESTED: no interpreter that every user can run")
def test_root_works_as_the_user_of_the_job_and_leaves_no_file_of_its_own(host: Host) -> None:
    run = host.ask("run", "lab")
    user = pwd.getpwnam("nobody")
    for path in (host.local, *host.local.rglob("*")):
        os.chown(path, user.pw_uid, user.pw_gid)
    host.configure(run_as="nobody")
    # Another one: the test's interpreter and its libraries may lie where only root can read.
    host.command.write_bytes(command_for(str(SYSTEM_PYTHON)))
    assert host.ask("status")["jobs"][0]["id"] == run["id"]
    assert host.ask("verify", "lab", "--level", "checksum")["copies"][0]["good"]
    assert host.ask("list")["jobs"][0]["backups"][0]["proved"]
    assert len(list(host.local.glob("verified/*/*/*"))) == 2
    assert {path.lstat().st_uid for path in host.local.rglob("*")} == {user.pw_uid}


@needs_root
@pytest.mark.skipif(not SYSTEM_PYTHON.exists(), reason="NOT TESTED: no interpreter that every user can run")
def test_somebody_else_than_root_and_the_user_of_the_job_is_refused(host: Host) -> None:
    host.configure(run_as="postgres")
    host.command.write_bytes(command_for(str(SYSTEM_PYTHON)))
    nobody = pwd.getpwnam("nobody")
    for words in (["run", "lab"], ["status"], ["list", "lab"], ["restore", "lab"]):
        done = host.call(*words, user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[])
        assert done.returncode == 2
        assert "postgres" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("minor", [9, 10, 11, 12, 13])
def test_the_file_runs_on_every_supported_python_without_any_library(host: Host, minor: int) -> None:
    python = interpreters.find(minor)
    if python is None:
        pytest.skip(f"NOT TESTED: this machine has no Python 3.{minor}")
    path = host.folder / "only-a-directory.json"
    path.write_text(json.dumps({"repositories": host.repositories}))

    def call(*words: t.Any) -> subprocess.CompletedProcess[str]:
        command = [python, "-I", "-S", host.command, *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    host.command.write_bytes(command_for("/nowhere/python"))  # no bytecode; that of another Python is passed over alike
    done = call("--version")
    assert (done.returncode, done.stderr) == (0, "")
    host.command.write_bytes(command_for(str(python)))
    for words in (["--config", path, "check"], ["--config", path, "status"]):
        done = call(*words)
        assert (done.returncode, done.stderr) == (0, "")
    done = call("--config", host.folder / "config.json", "check")
    assert done.returncode == 2
    assert "psycopg2 is not installed" in " ".join(done.stdout.split())

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Jobs whose PostgreSQL runs in a container, by the engine, the host command and the playbooks."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import signal
import subprocess
import sys
import typing as t
from pathlib import Path

import psycopg2
import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge import zipapp
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.child import ChildError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import (
    GuardRefusal,
    LifeboatError,
    MissingPartError,
    UsageError,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import (
    foreign_plan,
    foreign_restore,
    restore_run,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.database_backup import (
    DatabaseJob,
    back_up,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.dump_place import DumpPlace
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.foreign_plan import DumpRequest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.place import Place
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.connection import Server
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.container import Container
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.container_file import file_inside
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.container_server import (
    entered,
    located,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.dump import Dump
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.restore import RestoreOptions
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.selection import Pattern
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.tools import ClientTools, client_tools
from ansible_collections.lifeboat.recovery.tests.containers.container_fixtures import (
    PASSWORD,
    Postgres,
    bare_host,
    docker,
    own_locks,
    place,
    postgres,
    quiet,
    state,
    wait_until,
)

__all__ = ["bare_host", "own_locks", "place", "postgres", "quiet"]

JOB = "host1-shop"
SCRIPT = """
CREATE TABLE item (id int PRIMARY KEY, what text);
INSERT INTO item SELECT n, md5(n::text) FROM generate_series(1, 20000) AS n;
CREATE TABLE note (id int REFERENCES item, words text);
INSERT INTO note SELECT n, repeat('Grüße ' || n, 40) FROM generate_series(1, 20000) AS n;
SELECT lo_from_bytea(4711, 'a large object');
"""
DATA = """
SELECT md5(string_agg(line, ',' ORDER BY line)) FROM (
  SELECT i::text AS line FROM item i UNION ALL SELECT n::text FROM note n
  UNION ALL SELECT lo_get(4711)::text) AS lines
"""
# Builds its index at once in the source, and for a minute in a database that is being restored.
SLOW = """
CREATE FUNCTION slow(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
  'BEGIN PERFORM pg_sleep(CASE WHEN current_database() LIKE ''lifeboat%'' THEN 60 ELSE 0 END); RETURN $1; END';
CREATE TABLE slowly (id int);
INSERT INTO slowly VALUES (1);
CREATE INDEX ON slowly (public.slow(id));
"""


@pytest.fixture
def shop(postgres: Postgres) -> t.Iterator[Postgres]:
    """Return the server with a database `shop`."""
    yield with_shop(postgres)
    drop = "SELECT format('DROP DATABASE %I WITH (FORCE)', datname) FROM pg_database WHERE datname ~ '^(shop|lifeboat)'"
    postgres.sql(f"{drop} \\gexec")


def with_shop(server: Postgres) -> Postgres:
    server.sql(f"DROP DATABASE IF EXISTS shop;\nCREATE DATABASE shop;\n\\c shop\n{SCRIPT}")
    return server


def job_of(server: Server, place: Place, **more: t.Any) -> DatabaseJob:
    return dataclasses.replace(DatabaseJob(JOB, server, "shop", (place,)), **more)


def tools_of(server: Server) -> ClientTools:
    return client_tools(150000, "", "Cannot test", entered(server, "Cannot test"))


def dump_of(server: Server, database: str = "shop") -> Dump:
    return Dump(server, database, tools_of(server).pg_dump)


@pytest.mark.usefixtures("bare_host")
def test_a_host_without_postgresql_backs_a_container_up_and_brings_its_data_back(shop: Postgres, place: Place) -> None:
    before = shop.sql(DATA, "shop")
    result = back_up(job_of(shop.reached, place))
    assert result.is_complete and result.copies[0].is_proved
    shop.sql("DROP TABLE note; DELETE FROM item; SELECT lo_unlink(4711)", "shop")
    parallel = RestoreOptions(jobs=2)
    request = restore_run.RestoreRequest(JOB, "latest_good", (place,), shop.reached, confirm="shop", options=parallel)
    restored = restore_run.restore(restore_run.plan(request))
    assert any("by one connection instead of 2" in note for note in restored.notes)
    assert shop.sql(DATA, "shop") == before
    assert restored.figures["rows"] == 40000
    assert shop.programs() == []


@pytest.mark.usefixtures("bare_host")
def test_a_part_of_a_backup_comes_back_into_a_container(shop: Postgres, place: Place) -> None:
    assert back_up(job_of(shop.reached, place)).is_complete
    request = restore_run.RestoreRequest(
        JOB, "latest_good", (place,), shop.reached, database="shop_part", include=(Pattern.parse("public.item"),)
    )
    result = restore_run.restore(restore_run.plan(request))
    assert shop.sql("SELECT count(*) FROM item", "shop_part") == "20000"
    assert shop.sql("SELECT count(*) FROM pg_class WHERE relname = 'note'", "shop_part") == "0"
    assert result.figures["tables"] == 1
    assert files_inside(shop) == "" and shop.programs() == []


def files_inside(server: Postgres) -> str:
    return docker("exec", server.name, "sh", "-c", "ls /dev/shm /tmp | grep lifeboat || true")


def test_a_file_inside_is_gone_when_its_user_was_killed(shop: Postgres) -> None:
    code = (
        "import os, signal, sys\n"
        f"from {file_inside.__module__} import file_inside\n"
        f"from {Container.__module__} import Container\n"
        "with file_inside(Container(sys.argv[1]), b'1;\\n') as path:\n"
        "    print(path, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, shop.name], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL and "lifeboat." in done.stdout, done.stderr
    wait_until(lambda: files_inside(shop) == "", "the file to go")


DUMPS = {"custom": "--format=custom", "tar": "--format=tar", "sql": "--format=plain"}


def foreign_dump(server: Postgres, folder: Path, form: str) -> str:
    path = folder / f"shop.{form}"
    argv = ["docker", "exec", "--env=PGPASSWORD", "--env=PGHOST=127.0.0.1", server.name, "pg_dump", DUMPS[form], "shop"]
    variables = {**os.environ, "PGPASSWORD": PASSWORD}
    with open(path, "wb") as file:
        subprocess.run([*argv, "--username=postgres"], stdout=file, check=True, env=variables)
    return str(path)


@pytest.mark.usefixtures("bare_host")
@pytest.mark.parametrize("form", DUMPS)
def test_a_dump_from_elsewhere_is_loaded_into_a_container(shop: Postgres, tmp_path: Path, form: str) -> None:
    before = shop.sql(DATA, "shop")
    dump = DumpPlace(foreign_dump(shop, tmp_path, form))
    foreign_restore.restore(foreign_plan.plan(DumpRequest(dump, shop.reached, "shop_arrived")))
    assert shop.sql(DATA, "shop_arrived") == before
    assert shop.sql("SELECT count(*) FROM pg_roles WHERE rolname ~ '^lifeboat_load'") == "0"
    assert files_inside(shop) == "" and shop.programs() == []


@pytest.mark.usefixtures("bare_host")
def test_a_part_of_a_dump_from_elsewhere_is_loaded_into_a_container(shop: Postgres, tmp_path: Path) -> None:
    dump = DumpPlace(foreign_dump(shop, tmp_path, "custom"))
    request = DumpRequest(dump, shop.reached, "shop_arrived", exclude=(Pattern.parse("public.note"),))
    foreign_restore.restore(foreign_plan.plan(request))
    tables = shop.sql("SELECT string_agg(tablename, ',') FROM pg_tables WHERE schemaname = 'public'", "shop_arrived")
    assert tables == "item"


@pytest.mark.usefixtures("bare_host")
@pytest.mark.parametrize(
    "statement",
    ["CREATE ROLE evil SUPERUSER;", "COPY (SELECT 1) TO PROGRAM 'touch /tmp/evil';", "\\! touch /tmp/evil\n"],
)
def test_a_script_from_elsewhere_has_no_rights_in_a_container(shop: Postgres, tmp_path: Path, statement: str) -> None:
    path = tmp_path / "evil.sql"
    path.write_text(f"CREATE TABLE t (id int);\n{statement}\n")
    path.with_name("evil.sql.sha256").write_text(hashlib.sha256(path.read_bytes()).hexdigest())
    with pytest.raises(LifeboatError):
        foreign_restore.restore(foreign_plan.plan(DumpRequest(DumpPlace(str(path)), shop.reached, "shop_evil")))
    assert shop.sql("SELECT count(*) FROM pg_roles WHERE rolname = 'evil'") == "0"
    assert docker("exec", shop.name, "sh", "-c", "ls /tmp") == ""


def test_a_dump_in_a_folder_is_refused_for_a_container(shop: Postgres, tmp_path: Path) -> None:
    (tmp_path / "dump").mkdir()
    with pytest.raises(UsageError, match="it is a folder"):
        foreign_plan.plan(DumpRequest(DumpPlace(str(tmp_path / "dump")), shop.reached, "shop_arrived"))


def test_a_port_that_is_not_published_is_reached_in_the_network_of_the_container(quiet: Postgres, place: Place) -> None:
    with_shop(quiet)
    address = state(quiet.name)["NetworkSettings"]["IPAddress"]
    assert (quiet.reached.host, quiet.reached.port) == (address, 5432)
    assert back_up(job_of(quiet.reached, place)).is_complete


def test_a_container_that_is_stopped_is_named_with_the_way_to_start_it(quiet: Postgres) -> None:
    docker("stop", quiet.name)
    try:
        with pytest.raises(LifeboatError, match=f"its state is exited.*\n.*docker start {quiet.name}"):
            located(quiet.server)
    finally:
        quiet.start()


def test_a_container_that_is_not_there_is_named_before_anything_is_done() -> None:
    with pytest.raises(LifeboatError, match="(?s)container nowhere.*No such container.*correct the name"):
        located(Server(host="", container=Container("nowhere")))


def test_programs_that_would_meet_another_server_are_refused(postgres: Postgres, quiet: Postgres) -> None:
    other = quiet.reached
    mistaken = dataclasses.replace(postgres.server, host=other.host, port=other.port)
    with pytest.raises(GuardRefusal, match=f"is not the one in container {postgres.name}"):
        entered(located(mistaken), "Cannot test")


@pytest.mark.usefixtures("bare_host")
def test_a_restore_on_trial_needs_a_server_on_the_host_and_says_so_before_the_backup(
    shop: Postgres, place: Place
) -> None:
    with pytest.raises(MissingPartError, match="install postgresql-15 on this host"):
        back_up(job_of(shop.reached, place, proof="restore"))
    assert not list(place.store.entries("data/"))


def test_the_password_is_in_no_command_line(shop: Postgres) -> None:
    with dump_of(shop.reached) as dump:
        next(iter(dump))
        lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if is_readable(path)]
        assert any(b"pg_dump" in line for line in lines)
        assert not any(PASSWORD.encode() in line for line in lines)


def is_readable(path: Path) -> bool:
    try:
        return bool(path.read_bytes())
    except OSError:
        return False


def test_a_program_that_fails_keeps_its_exit_code_and_its_words(shop: Postgres) -> None:
    with pytest.raises(ChildError, match='pg_dump in container .* database "nowhere" does not exist') as caught:
        list(dump_of(shop.reached, "nowhere"))
    assert caught.value.status == 1


def test_a_program_that_is_not_there_is_a_missing_part(shop: Postgres) -> None:
    inside = dataclasses.replace(shop.reached, container=Container(shop.name, bin_dir="/nowhere"))
    with pytest.raises(MissingPartError, match="psql was not found in /nowhere in container"):
        tools_of(inside)


def test_a_container_that_goes_away_is_no_failure_of_the_program(quiet: Postgres) -> None:
    with_shop(quiet)
    try:
        with dump_of(quiet.reached) as dump:
            chunks = iter(dump)
            next(chunks)
            docker("kill", quiet.name)
            with pytest.raises(LifeboatError, match="was ended or not run") as caught:
                list(chunks)
    finally:
        quiet.start()
    assert not isinstance(caught.value, ChildError)


@contextlib.contextmanager
def locked(server: Postgres) -> t.Iterator[None]:
    """Keep dumps of the database `shop` waiting for a table."""
    found = server.reached
    holder = psycopg2.connect(dbname="shop", host=found.host, port=found.port, user="postgres", password=PASSWORD)
    try:
        holder.cursor().execute("LOCK TABLE item")
        yield
    finally:
        holder.close()


def wait_for_a_waiting_dump(server: Postgres) -> None:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'lifeboat' AND wait_event_type = 'Lock'"
    wait_until(lambda: server.sql(waiting) == "1", "the lock")
    assert any("pg_dump" in line for line in server.programs())


def test_a_dump_that_is_given_up_has_ended_inside_when_the_block_is_left(shop: Postgres) -> None:
    with locked(shop):
        with dump_of(shop.reached):
            wait_for_a_waiting_dump(shop)
        assert not any("pg_dump" in line for line in shop.programs())
        shop.wait_for_sessions(0)


def test_a_backup_that_is_killed_leaves_no_process_inside(shop: Postgres, place: Place, tmp_path: Path) -> None:
    with locked(shop), killed(DUMP, shop, place, tmp_path):
        wait_for_a_waiting_dump(shop)


def test_a_restore_that_is_killed_leaves_no_process_inside(shop: Postgres, place: Place, tmp_path: Path) -> None:
    shop.sql(SLOW, "shop")
    back_up(job_of(shop.reached, place))
    active = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX%' AND state = 'active'"
    with killed(RESTORE, shop, place, tmp_path):
        wait_until(lambda: shop.sql(active) == "1", "the index")
        assert any("pg_restore" in line for line in shop.programs())


@contextlib.contextmanager
def killed(work: str, server: Postgres, place: Place, folder: Path) -> t.Iterator[None]:
    """Run something beside the block, kill it after the block, and see that it leaves nothing."""
    started = server.sql("SELECT pg_postmaster_start_time()")
    script = folder / "run.py"
    script.write_text(RUN.format(password=PASSWORD, name=server.name, folder=place.store.name, job=JOB) + work)
    process = subprocess.Popen([sys.executable, str(script)])
    try:
        yield
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    wait_until(lambda: server.programs() == [], "the end of the programs inside")
    server.wait_for_sessions(0)
    assert server.sql("SELECT pg_postmaster_start_time()") == started
    assert "terminating any other active server processes" not in server.log()


RUN = """
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import restore_run
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.database_backup import DatabaseJob, back_up
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.place import Place
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.connection import Server
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.container import Container
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.container_server import located
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore

server = located(Server(host="", user="postgres", password="{password}", container=Container("{name}")))
place = Place("local", DirectoryStore("{folder}"))
job = "{job}"
"""
DUMP = """
back_up(DatabaseJob(job, server, "shop", (place,)))
"""
RESTORE = """
request = restore_run.RestoreRequest(job, "latest_good", (place,), server, database="shop_again")
restore_run.restore(restore_run.plan(request))
"""


MAKE_ROLE = """---
- name: Let the jobs read their databases, as the role does
  hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.include_role:
        name: lifeboat.recovery.backup_agent
        tasks_from: database.yml
"""


def test_a_role_that_backup_agent_makes_inside_can_be_restored_on_trial_on_the_host(
    shop: Postgres, place: Place, tmp_path: Path
) -> None:
    (tmp_path / "role.yml").write_text(MAKE_ROLE)
    admin = {"backup_agent_database_admin_login": {"login_password": PASSWORD}}
    play(str(tmp_path / "role.yml"), shop, place, tmp_path, {"login_user": "saver"}, **admin)
    saver = dataclasses.replace(shop.reached, user="saver")
    assert back_up(job_of(saver, place, proof="restore")).is_complete
    shop.sql("DROP OWNED BY saver", "shop")
    shop.sql("DROP OWNED BY saver; DROP ROLE saver")


def test_the_host_command_serves_a_job_in_a_container(shop: Postgres, place: Place, tmp_path: Path) -> None:
    before = shop.sql(DATA, "shop")
    secret = tmp_path / "password"
    secret.touch(0o600)
    secret.write_text(PASSWORD)
    job = {
        "kind": "pg_database",
        "database": "shop",
        "repositories": ["local"],
        "container": shop.name,
        "container_engine": "docker",
        "login_user": "postgres",
        "login_password_file": str(secret),
    }
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"repositories": {"local": {"path": place.store.name}}, "jobs": {JOB: job}}))
    config.chmod(0o600)
    command = tmp_path / "lifeboat"
    command.write_bytes(zipapp.build(sys.executable))
    command.chmod(0o755)

    def lifeboat(*words: str) -> str:
        done = subprocess.run(
            [str(command), "--config", str(config), *words],
            capture_output=True,
            text=True,
            check=False,
            env=cron(tmp_path),
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert f"pg_dump in container {shop.name}" in " ".join(lifeboat("check").split())
    lifeboat("run", JOB)
    lifeboat("verify", JOB)
    shop.sql("DROP TABLE note", "shop")
    lifeboat("restore", JOB, "--confirm", "shop")
    assert shop.sql(DATA, "shop") == before


def cron(home: Path) -> dict[str, str]:
    """Return what cron gives to a job (crontab(5)), and the way to the daemon of this test."""
    found = {"HOME": str(home), "LOGNAME": "lifeboat", "PATH": "/usr/bin:/bin", "SHELL": "/bin/sh"}
    return {**found, **{name: os.environ[name] for name in ("DOCKER_HOST",) if name in os.environ}}


def test_the_playbooks_back_up_and_recover_a_job_in_a_container(shop: Postgres, place: Place, tmp_path: Path) -> None:
    before = shop.sql(DATA, "shop")
    play("lifeboat.recovery.backup", shop, place, tmp_path)
    shop.sql("DROP TABLE note", "shop")
    recover = "lifeboat.recovery.dr.database_corruption"
    play(recover, shop, place, tmp_path, lifeboat_job="shop", lifeboat_confirm="shop")
    assert shop.sql(DATA, "shop") == before


def play(
    name: str,
    server: Postgres,
    place: Place,
    folder: Path,
    job: t.Mapping[str, str] | None = None,
    **more: t.Any,
) -> None:
    """Run a playbook on this host, which has one job."""
    shop = {"name": "shop", "job": JOB, "kind": "pg_database", "database": "shop", "container": server.name}
    given = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "lifeboat_hosts": "all",
        "lifeboat_report_dir": str(folder / "reports"),
        "lifeboat_repositories": [{"name": "local", "path": place.store.name}],
        "lifeboat_jobs": [{**shop, "login_password": PASSWORD, **(job or {})}],
        **more,
    }
    words = ["ansible-playbook", name, "-i", "host1,", "-e", json.dumps(given)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert PASSWORD not in done.stdout + done.stderr

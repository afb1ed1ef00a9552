# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Restores of parts, with roles, and of dumps from elsewhere, killed at their steps: what is there stays, and the next
run succeeds and leaves nothing of the killed one behind."""

from __future__ import annotations

import os
import signal
import subprocess
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import steps
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import (
    database_backup,
    foreign_plan,
    foreign_restore,
    restore_run,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.dump_place import DumpPlace
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.foreign_plan import DumpRequest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.restore_request import RestoreRequest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.selection import patterns
from ansible_collections.lifeboat.recovery.tests.functional.job_fixtures import JOB, directory_place, job_of
from ansible_collections.lifeboat.recovery.tests.functional.postgres_fixtures import (
    PostgresServer,
    database,
    databases_of,
    login,
    postgres,
)

__all__ = ["postgres"]
Postgres = t.Callable[[int], PostgresServer]
SCRIPT = """CREATE TABLE t AS SELECT i AS a FROM generate_series(1, 500) i; CREATE TABLE other (a int);
    ALTER TABLE t OWNER TO kill_owner"""


@pytest.fixture(scope="module")
def sources(
    postgres: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> t.Iterator[tuple[t.Callable[[PostgresServer], t.Any], t.Callable[[PostgresServer], t.Any]]]:
    """Return how to restore a part of a backup, and how a dump from elsewhere, over what is there."""
    source, folder = postgres(15), tmp_path_factory.mktemp("kills")
    source.sql("CREATE ROLE kill_owner")
    place = directory_place(folder / "local", "local")
    with database(source, "lab", SCRIPT):
        database_backup.back_up(job_of(source, "lab", place))
        pg_dump = [str(source.bin_dir / "pg_dump"), "-h", str(source.socket_dir), "-p", str(source.port)]
        subprocess.run([*pg_dump, "-U", "postgres", "-f", str(folder / "lab.sql"), "lab"], check=True)
    source.sql("DROP ROLE kill_owner")

    def part(server: PostgresServer) -> t.Any:
        request = RestoreRequest(
            JOB, "latest", (place,), login(server), "target", "target",
            keep_previous=False, include=patterns(["public.t"]), globals="needed",
        )  # fmt: skip
        return restore_run.restore(restore_run.plan(request))

    def dump(server: PostgresServer) -> t.Any:
        if not server.sql("SELECT 1 FROM pg_roles WHERE rolname = 'kill_taker'"):
            server.sql("CREATE ROLE kill_taker")
        request = DumpRequest(
            DumpPlace(str(folder / "lab.sql")),
            login(server),
            "target",
            "target",
            keep_previous=False,
            owner="kill_taker",
        )
        return foreign_restore.restore(foreign_plan.plan(request))

    yield part, dump
    for major in (15, 18):
        postgres(major).sql("DROP ROLE IF EXISTS kill_owner, kill_taker")


def killed_at(step: str, work: t.Callable[[], t.Any]) -> bool:
    """Do the work in a process that dies at a step, and say whether it came there."""
    pid = os.fork()
    if pid == 0:

        def kill(name: str) -> None:
            if name == step:
                os.kill(os.getpid(), signal.SIGKILL)

        steps.watch(kill)
        try:
            work()
        finally:
            os._exit(0)
    _pid, status = os.waitpid(pid, 0)
    return os.WIFSIGNALED(status)


@pytest.mark.parametrize(
    ("number", "step"),
    [
        *((0, step) for step in ("roles.made", "restore.created", "restore.loaded", "restore.finished", "swap.closed")),
        *((1, step) for step in ("loader.made", "restore.created", "restore.loaded", "loader.handed_over")),
    ],
)
def test_a_restore_that_is_killed_leaves_what_is_there_and_the_next_one_succeeds(
    postgres: Postgres, sources: tuple[t.Any, t.Any], number: int, step: str
) -> None:
    server, restore = postgres(18), sources[number]
    before = databases_of(server)
    with database(server, "target", "CREATE TABLE old AS SELECT 7 AS a"):
        assert killed_at(step, lambda: restore(server))
        assert {name for name in databases_of(server) if not name.startswith("lifeboat_restore_")} == before | {
            "target"
        }
        server.sql("ALTER DATABASE target ALLOW_CONNECTIONS true")  # a killed swap has closed it
        assert server.sql("SELECT a FROM old", "target") == "7"
        assert restore(server).figures["rows"] == 500
        assert server.sql("SELECT count(*), to_regclass('old') FROM t", "target") == "500|"
        assert databases_of(server) == before | {"target"}
        assert server.sql("SELECT rolname FROM pg_roles WHERE rolname LIKE 'lifeboat%'") == ""

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A standby as the source of backups: it takes the load off its primary, and is the same source to a job."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import typing as t
from pathlib import Path

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.child import ChildError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import GuardRefusal
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.backup_run import newest_manifest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.database_backup import (
    DatabaseJob,
    back_up,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.place import Place
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.server_backup import (
    ServerJob,
    plan,
    run,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres import dump
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.databases import Selection
from ansible_collections.lifeboat.recovery.tests.functional.database_judge import differences
from ansible_collections.lifeboat.recovery.tests.functional.job_fixtures import (
    JOB,
    MAJORS,
    SMALL,
    job_of,
    local,
    own_locks,
    restored,
)
from ansible_collections.lifeboat.recovery.tests.functional.postgres_fixtures import (
    PostgresServer,
    database,
    login,
    tools_of,
)
from ansible_collections.lifeboat.recovery.tests.functional.quick_folder import quick_folder
from ansible_collections.lifeboat.recovery.tests.functional.test_database_round_trips import CORPUS, with_roles

__all__ = ["local", "own_locks"]
_UNLOGGED = ("odd.unlogged", "odd.unlogged_sequence")


class Pair:
    """A primary and its standby."""

    def __init__(self, primary: PostgresServer, standby: PostgresServer) -> None:
        self.primary = primary
        self.standby = standby

    def catch_up(self) -> None:
        """Wait until the standby has replayed all that the primary has written."""
        position = self.primary.sql("SELECT pg_current_wal_insert_lsn()")
        wait_until(self.standby, f"SELECT pg_last_wal_replay_lsn() >= '{position}'")


def wait_until(server: PostgresServer, query: str) -> None:
    """Wait until a query of a truth value says so."""
    for _attempt in range(400):
        if server.sql(query) == "t":
            return
        clock.sleep(0.05)
    raise AssertionError(f"it never became true: {query}")


@contextlib.contextmanager
def pair_of(major: int) -> t.Iterator[Pair]:
    folder = quick_folder("lbt-")
    settings = {"wal_level": "replica", "autovacuum": "off"}
    try:
        with PostgresServer(folder / "p", major, settings=settings) as primary:
            standby = PostgresServer(folder / "s", major, settings=settings)
            standby.folder.mkdir()
            if standby.identity:
                os.chown(standby.folder, *standby.identity)
            argv = ["pg_basebackup", "-R", "-D", standby.data_dir, "-c", "fast", "--no-sync"]
            argv += ["-h", primary.socket_dir, "-p", primary.port, "-U", "postgres"]
            user, group = standby.identity or (None, None)
            subprocess.run(
                [str(word) for word in [primary.bin_dir / argv[0], *argv[1:]]],
                check=True,
                env={"PATH": os.defpath, "HOME": str(folder)},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                user=user,
                group=group,
            )
            with standby:
                yield Pair(primary, standby)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module", params=(MAJORS[0], MAJORS[-1]))
def pair(request: pytest.FixtureRequest) -> t.Iterator[Pair]:
    with pair_of(request.param) as found:
        yield found


def test_a_standby_is_backed_up_and_everything_but_unlogged_rows_comes_back(pair: Pair, local: Place) -> None:
    with_roles(pair.primary)
    script = "\n".join(
        line for line in CORPUS.read_text(encoding="utf-8").splitlines() if "SUBSCRIPTION incoming" not in line
    )
    with database(pair.primary, "corpus", script):
        pair.catch_up()
        made = back_up(job_of(pair.standby, "corpus", local))
        assert "a standby has no rows of unlogged tables: odd.unlogged" in made.warnings
        restored(login(pair.primary), local, database="again")
        found = differences((pair.primary, "corpus"), (pair.primary, "again"))
        pair.primary.sql("DROP DATABASE again WITH (FORCE)")
        assert [line.split(":")[0] for line in found if not line.startswith("only ")] == ["odd.unlogged", "sequences"]
        assert "unlogged_sequence" in str(found)
        assert [line for line in found if line.startswith("only ")] == []


def test_a_job_takes_primary_and_standby_for_the_same_source(pair: Pair, local: Place, tmp_path: Path) -> None:
    with database(pair.primary, "lab", SMALL):
        pair.catch_up()
        for server in (pair.primary, pair.standby, pair.primary):
            back_up(job_of(server, "lab", local))
        manifest = newest_manifest(local.store, JOB)
        assert manifest is not None
        identifier = pair.standby.sql("SELECT system_identifier FROM pg_control_system()")
        assert manifest.source["system_identifier"] == identifier
        stranger = PostgresServer(pair.primary.folder.parent / "x", pair.primary.major)
        with stranger, database(stranger, "lab", SMALL), pytest.raises(GuardRefusal) as caught:
            back_up(job_of(stranger, "lab", local))
        assert caught.value.guard == "source"


def test_all_databases_of_a_standby_are_backed_up_as_one_run(pair: Pair, local: Place) -> None:
    with database(pair.primary, "lab", SMALL):
        pair.catch_up()
        job = ServerJob(DatabaseJob("standby", login(pair.standby), "", ()), lambda: (local,), Selection())
        result = run(plan(job))
        assert [each.database for each in result.backed_up] == ["lab", "postgres"]
        assert result.failed == ()


def test_a_dump_that_the_standby_ends_for_its_primary_is_told_with_what_helps(pair: Pair) -> None:
    script = "CREATE TABLE big AS SELECT i, repeat(md5(i::text), 30) AS t FROM generate_series(1, 30000) i"
    with database(pair.primary, "busy", script):
        pair.catch_up()
        pair.standby.sql("ALTER SYSTEM SET max_standby_streaming_delay = '0'")
        pair.standby.sql("SELECT pg_reload_conf()")
        with dump.Dump(login(pair.standby), "busy", tools_of(pair.standby).pg_dump) as running:
            chunks = iter(running)
            next(chunks)  # it reads the table, and waits for us now
            pair.primary.sql("DROP TABLE big", "busy")
            position = pair.primary.sql("SELECT pg_current_wal_insert_lsn()")
            # The dump was ended at once, or will be as soon as it can write to us.
            is_told = "EXISTS (SELECT FROM pg_locks WHERE NOT granted)"
            wait_until(pair.standby, f"SELECT pg_last_wal_replay_lsn() >= '{position}' OR {is_told}")
            with pytest.raises(ChildError, match="conflict with recovery") as caught:
                for _chunk in chunks:
                    pass
        assert "hot_standby_feedback" in caught.value.remedy
        pair.standby.sql("ALTER SYSTEM RESET max_standby_streaming_delay")
        pair.standby.sql("SELECT pg_reload_conf()")

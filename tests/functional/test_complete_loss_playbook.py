# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbook for the loss of everything, but for the roles that set up hosts and servers, which need systemd."""

from __future__ import annotations

import shutil
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import catalog, identity
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.bucket import BucketStore
from ansible_collections.lifeboat.recovery.tests.functional.job_fixtures import SMALL, postgres, server
from ansible_collections.lifeboat.recovery.tests.functional.postgres_fixtures import PostgresServer
from ansible_collections.lifeboat.recovery.tests.functional.recovery_plays import HOST, REPOSITORY, Lab, running_lab

__all__ = ["postgres", "server"]
PLAYBOOK = "lifeboat.recovery.dr.complete_loss"
DATABASE = "lab_of_the_site"
PAPERS = {f"folder/{number}": b"%d" % number * 500 for number in range(12)}


@pytest.fixture
def lost(server: PostgresServer) -> t.Iterator[tuple[Lab, str]]:
    """A database and a bucket that were backed up and then lost, with the site; and the rows as they were."""
    with running_lab() as running:
        server.sql(f"CREATE DATABASE {DATABASE}")
        server.sql(SMALL, DATABASE)
        running.make_bucket(running.near, "papers")
        running.write("papers", PAPERS)
        login = {"login_host": str(server.socket_dir), "login_port": server.port, "login_user": server.user}
        places = {"repositories": ["site", "offsite"], "bin_dir": str(server.bin_dir)}
        running.jobs = [
            {"name": "shop", "kind": "pg_database", "database": DATABASE, **places, **login},
            running.bucket_job("papers", "site", "offsite"),
        ]
        try:
            made = running.run("lifeboat.recovery.backup")
            assert made.is_good, made.said
            before = rows(server)
            running.near.stop()
            for drive in running.near.folder.glob("drive*"):
                shutil.rmtree(drive)
            server.sql(f"DROP DATABASE {DATABASE}")
            running.near.start()
            running.make_bucket(running.near, REPOSITORY, versioned=True)
            yield running, before
        finally:
            server.sql(f"DROP DATABASE IF EXISTS {DATABASE}")


def rows(server: PostgresServer) -> str:
    return server.sql("SELECT count(*) || '/' || md5(string_agg(what, ',' ORDER BY id)) FROM visit", DATABASE)


def test_all_kinds_of_jobs_come_back_from_the_repository_that_is_left(
    lost: tuple[Lab, str], server: PostgresServer
) -> None:
    lab, before = lost
    more = {"lifeboat_minio_hosts": [], "lifeboat_report_dir": str(lab.folder / "reports")}
    skip = ("--skip-tags", "agent,minio")
    with lab.client(lab.near) as client:
        identity.initialise(BucketStore(client, REPOSITORY, ""))

    ended = lab.run(PLAYBOOK, *skip, **more, lifeboat_confirm="shop,papers")
    assert ended.is_good, ended.said
    assert lab.contents("papers") == PAPERS
    assert rows(server) == before
    with lab.client(lab.near) as client:
        for job in ("shop", "papers"):
            found = catalog.backups(BucketStore(client, REPOSITORY, ""), f"{HOST}-{job}")
            assert [each.is_good for each in found] == [True, True], job

    ended = lab.run(PLAYBOOK, *skip, **more, lifeboat_confirm="shop,papers")
    assert ended.is_good and ended.changed == [], ended.said

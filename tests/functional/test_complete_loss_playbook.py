# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbook for the loss of everything, but for the roles that set up hosts and servers, which need systemd; and
what the daily playbooks do with a set, and with a job for the databases of a server."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import typing as t
from pathlib import Path

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.inventory_config import (
    SECRETS_FOLDER,
    host_files,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import catalog, identity
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.bucket import BucketStore
from ansible_collections.lifeboat.recovery.tests.functional import warm_python
from ansible_collections.lifeboat.recovery.tests.functional.job_fixtures import SMALL, postgres, server
from ansible_collections.lifeboat.recovery.tests.functional.postgres_fixtures import PostgresServer
from ansible_collections.lifeboat.recovery.tests.functional.recovery_plays import (
    HOST,
    REPOSITORY,
    Ended,
    Lab,
    running_lab,
)

__all__ = ["postgres", "server"]
PLAYBOOK = "lifeboat.recovery.dr.complete_loss"
DATABASE = "lab_of_the_site"
PAPERS = {f"folder/{number}": b"%d" % number * 500 for number in range(12)}


@pytest.fixture
def lost(server: PostgresServer) -> t.Iterator[tuple[Lab, str]]:
    """A database of a server and a bucket that were backed up as one point, and then lost, with the site; and the rows
    as they were."""
    with running_lab() as running:
        server.sql(f"CREATE DATABASE {DATABASE}")
        server.sql(SMALL, DATABASE)
        running.make_bucket(running.near, "papers")
        running.write("papers", PAPERS)
        login = {"login_host": str(server.socket_dir), "login_port": server.port, "login_user": server.user}
        places = {"repositories": ["site", "offsite"], "bin_dir": str(server.bin_dir)}
        running.jobs = [
            {"name": "all", "kind": "pg_database", "databases": [DATABASE], **places, **login},
            running.bucket_job("papers", "site", "offsite"),
            {"name": "whole", "kind": "set", "members": ["all", "papers"]},
        ]
        try:
            made = running.run("lifeboat.recovery.backup", lifeboat_job="whole", **host_command(running))
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


def host_command(lab: Lab) -> dict[str, str]:
    """Configure the host as the roles would, and return the variables that say where the command is."""
    user = pwd.getpwuid(os.geteuid()).pw_name
    found = host_files(HOST, lab.jobs, [each for each in lab.repositories if each["name"] != "local"], run_as=user)
    secrets = str(lab.folder / "secrets")
    for secret in found.secrets:
        path = Path(secret.path.replace(SECRETS_FOLDER, secrets))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(secret.value)
    config = lab.folder / "config.json"
    config.write_text(json.dumps(found.document).replace(SECRETS_FOLDER, secrets))
    config.chmod(0o600)
    return {"lifeboat_command": warm_python.command(), "lifeboat_config": str(config)}


# Each with the variables that it gets.
DAILY: t.Sequence[tuple[str, dict[str, t.Any]]] = (
    ("status", {}),
    ("copy", {"lifeboat_job": "whole", "lifeboat_backup": "all"}),
    ("status", {"lifeboat_job": "whole", "lifeboat_max_age_hours": 1}),
    ("verify", {"lifeboat_level": "presence"}),
    ("verify", {"lifeboat_job": "whole", "lifeboat_level": "checksum"}),
    ("prune", {}),
    ("prune", {"lifeboat_job": "whole"}),
    ("restore", {"lifeboat_job": "all", "lifeboat_confirm": f"{DATABASE}, another"}),
    ("restore", {"lifeboat_job": "whole", "lifeboat_only": [f"{HOST}-papers"]}),
)


def daily_plays(lab: Lab, first: dict[str, t.Any]) -> Path:
    """Write a playbook that runs the disaster's again and then those of every day: each start of Ansible takes time."""
    plays = [("dr.complete_loss", first), *DAILY]
    path = lab.folder / "daily.yml"
    named = [{"import_playbook": f"lifeboat.recovery.{name}", "vars": given} for name, given in plays]
    path.write_text(json.dumps(named))
    return path


def application(lab: Lab) -> dict[str, t.Any]:
    """Return the variables of an application that runs and is to be stopped meanwhile."""
    flag = str(lab.folder / "runs")
    Path(flag).touch()
    part = {"name": "shop", "running": ["test", "-e", flag], "stop": ["rm", flag], "start": ["touch", flag]}
    return {"lifeboat_manage_application": True, "lifeboat_application_parts": [part]}


def rows(server: PostgresServer) -> str:
    return server.sql("SELECT count(*) || '/' || md5(string_agg(what, ',' ORDER BY id)) FROM visit", DATABASE)


def test_all_kinds_of_jobs_come_back_from_the_repository_that_is_left(
    lost: tuple[Lab, str], server: PostgresServer
) -> None:
    lab, before = lost
    more = {"lifeboat_minio_hosts": [], "lifeboat_report_dir": str(lab.folder / "reports"), **host_command(lab)}
    more.update(application(lab))
    skip = ("--skip-tags", "agent,minio")
    asked = {"lifeboat_job": "whole", "lifeboat_confirm": "whole"}
    with lab.client(lab.near) as client:
        identity.initialise(BucketStore(client, REPOSITORY, ""))

    ended = lab.run(PLAYBOOK, *skip, **more, **asked)
    assert ended.is_good, ended.said
    assert lab.contents("papers") == PAPERS
    assert rows(server) == before
    # Stopped before the first restore, and started when everything is back.
    steps = ("Stop the part", "Restore the database", "Compare or restore the buckets", "Start the part")
    assert [step for step in ended.changed if step in steps] == list(steps)
    assert (lab.folder / "runs").exists()
    with lab.client(lab.near) as client:
        for job in (f"all.{DATABASE}", "papers"):
            found = catalog.backups(BucketStore(client, REPOSITORY, ""), f"{HOST}-{job}")
            assert [each.is_good for each in found] == [True, True], job
    server.sql("DELETE FROM visit", DATABASE)

    ended = lab.run(daily_plays(lab, asked), *skip, **more)
    assert ended.is_good, ended.said
    again, _start, daily = ended.said.partition("PLAY [Show what is protected]")
    assert Ended(0, again).changed == []
    assert f'"{HOST}-all.{DATABASE}: 20' in daily and "in site, offsite: " in daily
    # Shown, found young enough, and verified by its presence.
    assert daily.count(f"ok: [{HOST}] => (item={HOST}-all.{DATABASE})") == 3
    # The point is new in the site; it was verified; former backups are garbage of the new site; the database.
    assert Ended(0, daily).changed == [
        *("Run the host command", "Run the host command"),
        *("Prune the backups", "Restore the databases"),
    ]
    assert rows(server) == before

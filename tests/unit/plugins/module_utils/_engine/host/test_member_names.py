# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import random

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import UsageError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.member_names import (
    checked_server_job,
    database_of,
    member_job,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.layout import checked_job

NAMES = {
    "shop": "db1.shop",
    "Shop_2-b": "db1.Shop_2-b",
    "my.db": "db1.my.2edb",
    "a b": "db1.a.20b",
    "é": "db1..c3.a9",
    "🛟": "db1..f0.9f.9b.9f",
    "../../etc/passwd": "db1..2e.2e.2f.2e.2e.2fetc.2fpasswd",
    ".": "db1..2e",
    "a\nb\tc": "db1.a.0ab.09c",
}


@pytest.mark.parametrize("database", NAMES)
def test_the_name_of_a_job_tells_the_database(database):
    assert member_job("db1", database) == NAMES[database]
    assert database_of("db1", NAMES[database]) == database


def test_no_two_databases_share_a_name_and_every_name_can_be_that_of_a_job():
    choose = random.Random(7)
    alphabet = ["a", "B", "0", ".", "-", "_", " ", "é", "🛟", "2", "e", "/", "'"]
    databases = {"".join(choose.choices(alphabet, k=choose.randint(1, 15))) for _number in range(5000)}
    databases |= {"🛟" * 15 + end for end in ("", "a", "b", ".")} | {"x" * 63, "x" * 62, "." * 63, "." * 62}
    for server_job in ("d", "d" * 60):
        jobs = {checked_job(member_job(server_job, database)): database for database in databases}
        assert len(jobs) == len(databases)
        for job, database in jobs.items():
            assert database_of(server_job, job) in (database, "")


def test_a_name_that_would_be_too_long_is_cut_and_ends_with_a_hash():
    job = member_job("d" * 60, "🛟" * 15)
    assert len(job) <= 128
    assert job.startswith("d" * 60 + "..f0.9f.9b.9f") and ".." in job[80:]
    assert database_of("d" * 60, job) == ""


@pytest.mark.parametrize(
    "job", ["db1", "db1.", "db10.shop", "db1.a.zz", "db1.a..b", "db1.a.2", "db1.a.41", "db1.a..0123", "other"]
)
def test_other_jobs_are_not_taken_for_those_of_a_server(job):
    assert database_of("db1", job) is None


def test_a_job_whose_name_leaves_no_room_is_refused():
    assert checked_server_job("d" * 60) == "d" * 60
    with pytest.raises(UsageError, match="61 characters"):
        checked_server_job("d" * 61)

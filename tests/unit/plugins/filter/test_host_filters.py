# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.lifeboat.recovery.plugins.filter import host_config, host_schedules

REPOSITORIES = [{"name": "site", "bucket": "backups", "access_key": "writer", "secret_key": "site-secret"}]
JOBS = [
    {"name": "shop", "kind": "pg_database", "database": "shop", "schedule": {"every": "daily", "at": "02:17"}},
    {"name": "etc", "kind": "files", "roots": ["/etc"], "schedule": {"every": "daily", "enabled": False}},
]


def test_the_configuration_of_a_host_can_be_made_by_a_template():
    configure = host_config.FilterModule().filters()["host_config"]
    found = configure(JOBS, repositories=REPOSITORIES, host="db1", run_as="postgres")
    assert sorted(found["config"]["jobs"]) == ["db1-etc", "db1-shop"]
    path = "/etc/lifeboat/secrets/postgres/repository-site.secret_key"
    assert found["secrets"] == [{"path": path, "owner": "postgres", "value": "site-secret"}]
    assert (found["users"], found["repository_users"]) == (["postgres"], {"site": ["postgres"]})
    assert [role["name"] for role in found["database_roles"]] == ["postgres"]


def test_a_mistake_ends_the_template_with_a_remedy():
    with pytest.raises(AnsibleFilterError, match="did you mean roots"):
        host_config.host_config([{**JOBS[1], "rots": []}], REPOSITORIES, "db1")
    with pytest.raises(AnsibleFilterError, match="Remedy"):
        host_schedules.host_schedules([{**JOBS[0], "schedule": "never"}], "db1")


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"verify": {"schedule": "weekly", "level": "contnt"}}, ("level is 'contnt'", "presence, checksum, content")),
        ({"verify": {"level": "contnt"}}, ("verify of db1-shop", "'contnt'")),
        ({"copy": {"schedule": "daily", "tier": "fortnightly"}}, ("tier is 'fortnightly'", "hourly, daily, weekly")),
        ({"schedule": "fortnightly"}, ("the interval is 'fortnightly'", "hourly, daily, weekly, monthly")),
        ({"prune": {"every": "daily"}}, ("prune of db1-shop", "it has every")),
        ({"proof": "contnt"}, ("jobs.db1-shop.proof is 'contnt'", "none, content, restore")),
        ({"compression": "xz"}, ("jobs.db1-shop.compression is 'xz'", "use one of zstd")),
        ({"on_shrink": "panic"}, ("jobs.db1-shop.on_shrink is 'panic'", "fail, warn, ignore")),
        ({"ssl_mode": "always"}, ("jobs.db1-shop.ssl_mode is 'always'", "verify-full")),
        ({"container": "pg", "container_engine": "lxc"}, ("jobs.db1-shop.container_engine is 'lxc'", "docker, podman")),
        ({"kind": "pg_databse"}, ("jobs.db1-shop.kind is 'pg_databse'", "pg_database, bucket, files, minio, set")),
        ({"databases": "all", "database": None, "on_gone": "cry"}, ("jobs.db1-shop.on_gone is 'cry'", "fail, warn")),
        ({"keep": {"dayly": 7}}, ("jobs.db1-shop.keep", "dayly")),
    ],
)
def test_a_word_that_is_no_choice_is_refused_with_the_job_its_key_and_the_choices(keys, words):
    with pytest.raises(AnsibleFilterError) as refused:
        host_config.host_config([{**JOBS[0], **keys}], REPOSITORIES, "db1")
    assert [each for each in ("db1-shop", *words) if each not in str(refused.value)] == []


def test_a_mistake_is_told_once_however_deep_it_was_found():
    repositories = [{**REPOSITORIES[0], "lock": {"mode": "SOFT", "rolling": "14d"}}]
    with pytest.raises(AnsibleFilterError) as refused:
        host_config.host_config(JOBS, repositories, "db1")
    assert str(refused.value).count("'SOFT'") == str(refused.value).count("GOVERNANCE, COMPLIANCE") == 1


def test_a_schedule_of_a_mirror_is_checked_as_that_of_a_job():
    mirror = {"name": "near", "source": {"path": "/srv"}, "targets": [{"path": "/mnt"}], "verify": "sometimes"}
    with pytest.raises(AnsibleFilterError, match="mirror.near.verify.*'sometimes'"):
        host_config.host_config(JOBS, REPOSITORIES, "db1", [mirror])


def test_schedules_are_told_in_the_words_of_cron_and_of_systemd():
    found = host_schedules.FilterModule().filters()["host_schedules"](
        JOBS,
        host="db1",
        timezone="Europe/Berlin",
        host_timezone="UTC",
        random_delay="600",
        random_delay_kind="random",
        metrics="hourly",
    )
    shop = found[0]
    assert (shop["name"], shop["kind"], shop["user"], shop["enabled"]) == ("db1-shop", "run", "lifeboat", True)
    assert (shop["cron"], shop["timezone"], shop["line_time"]) == ("17 2 * * *", "Europe/Berlin", "17 * * * *")
    assert shop["calendar"] == ["*-*-* 02:17:00 Europe/Berlin"]
    assert (shop["delay_s"], shop["delay_kind"]) == (600, "random")
    assert "--wait" not in shop["argv"]
    assert shop["argv_now"][:6] == ["/usr/local/bin/lifeboat", "scheduled", "--name", "db1-shop", "--as", "lifeboat"]
    assert not found[1]["enabled"]
    assert (found[2]["name"], found[2]["user"]) == ("metrics", "root")


def test_a_schedule_of_the_filter_becomes_a_key_of_the_configuration(monkeypatch):
    given = {}
    monkeypatch.setattr(
        host_config, "host_files", lambda *words: given.update(timings=words[5], of_mirrors=words[7]) or pytest.skip()
    )
    mirrors = [{"name": "near", "schedule": "daily", "verify": "weekly"}, {"name": "far"}]
    found = host_schedules.host_schedules([{**JOBS[0], "verify": "weekly"}, JOBS[1]], "db1", mirrors=mirrors)
    with pytest.raises(pytest.skip.Exception):
        host_config.host_config(JOBS, REPOSITORIES, "db1", mirrors, schedules=found)
    assert list(given["timings"]) == ["db1-shop"]
    assert given["of_mirrors"]["near"]["argv"][-2:] == ["mirror", "near"] and len(given["of_mirrors"]) == 1

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import argparse
import datetime as dt
import shlex

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import UsageError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import cli
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.inventory_schedules import (
    Settings,
    schedules,
)

TODAY = dt.datetime(2026, 11, 20, tzinfo=dt.timezone.utc)
SHOP = {"name": "shop", "kind": "pg_database"}


def made(*jobs, **more):
    return schedules("db1", jobs, **more)


def line(schedule, host_zone="UTC", settings=None):
    return schedule.line(settings or Settings(), host_zone, TODAY)


def test_a_job_without_schedule_is_not_scheduled():
    assert made(SHOP, {**SHOP, "name": "wiki", "verify": {"level": "content"}}) == ()


def test_runs_verifications_copies_and_prunes_are_scheduled_the_same_way():
    job = {
        **SHOP,
        "run_as": "postgres",
        "schedule": "hourly",
        "verify": {"schedule": "weekly", "level": "restore", "backup": "all"},
        "copy": {"schedule": "daily", "backup": "all", "tier": "monthly", "min_age": "7d"},
        "keep": {"daily": 7},
        "prune": "daily",
        "lock": "daily",
    }
    mirror = {"name": "photos", "schedule": "daily", "verify": {"schedule": "monthly"}}
    found = made(job, mirrors=[mirror], status={"cron": "0 8 * * *"}, metrics="hourly")
    assert [(each.name, " ".join(each.words), each.user) for each in found] == [
        ("db1-shop", "run db1-shop", "postgres"),
        ("db1-shop.verify", "verify db1-shop --level restore --backup all", "postgres"),
        ("db1-shop.copy", "copy db1-shop --backup all --tier monthly --min-age 7d", "postgres"),
        ("db1-shop.prune", "prune db1-shop", "postgres"),
        ("db1-shop.lock", "lock db1-shop", "postgres"),
        ("mirror.photos", "mirror photos", "lifeboat"),
        ("mirror.photos.verify", "mirror photos --verify", "lifeboat"),
        ("status", "status", "root"),
        ("metrics", "status --metrics", "root"),
    ]


def test_the_host_command_understands_every_line():
    job = {
        **SHOP,
        "schedule": "* * * * *",
        "verify": {"schedule": "weekly", "sample": "1/7"},
        "copy": {"schedule": "daily", "tier": "weekly", "max_age": "8w"},
        "prune": {"schedule": "daily"},
        "lock": {"schedule": "daily"},
    }
    common = Settings(timezone="Europe/Berlin", random_delay_s=60, random_delay_kind="random")
    mirrors = [{"name": "photos", "schedule": "daily", "verify": "daily"}]
    for each in made(job, mirrors=mirrors, status="hourly", settings=common, metrics="hourly"):
        command, *words = shlex.split(line(each, settings=common)[1])
        assert command == "/usr/local/bin/lifeboat"
        options = cli._parser().parse_args(words)
        assert (options.name, options.command, options.timezone) == (each.name, list(each.words), "Europe/Berlin")
        assert isinstance(cli._parser().parse_args(options.command), argparse.Namespace)


def test_backups_may_be_named_by_their_ids_and_options_that_are_empty_are_not_there():
    one = "20261120T020000Z-0a1b2c"
    sections = {"verify": {"schedule": "daily", "level": ""}, "copy": {"schedule": "daily"}}
    verify, copy = made({**SHOP, **{key: {**section, "backup": one} for key, section in sections.items()}})
    assert verify.words == ("verify", "db1-shop", "--backup", one)
    assert copy.words == ("copy", "db1-shop", "--backup", one)


def test_cron_decides_itself_where_it_lives_in_the_time_zone_of_the_schedule():
    (found,) = made({**SHOP, "schedule": {"cron": "17 2 * * 1-5", "timezone": "Europe/Berlin"}})
    time, command = line(found, "Europe/Berlin")
    assert time == "17 2 * * 1-5"
    assert "--cron" not in command
    time, command = line(found, "Etc/UTC")
    assert time == "17 * * * *"
    assert "--cron '17 2 * * 1-5' --timezone Europe/Berlin" in command


def test_a_stable_delay_is_in_the_line_and_a_random_one_is_left_to_the_command():
    (stable,) = made({**SHOP, "schedule": {"every": "daily", "random_delay": 600}})
    assert f" --wait {stable.wait_s} " in line(stable)[1]
    assert (stable,) == made({**SHOP, "schedule": {"every": "daily", "random_delay": 600}})
    (random,) = made({**SHOP, "schedule": {"every": "daily", "random_delay": 600, "random_delay_kind": "random"}})
    assert " --wait-up-to 600 " in line(random)[1]
    (none,) = made({**SHOP, "schedule": "daily"})
    assert "--wait" not in line(none)[1]


def test_percent_signs_are_no_line_feeds_for_cron():
    (found,) = made({**SHOP, "schedule": "daily"})
    assert line(found, settings=Settings(command="/opt/100%/lifeboat"))[1].startswith("'/opt/100\\%/lifeboat' ")


def test_a_word_with_blanks_is_one_word_for_systemd_and_nothing_in_it_is_replaced():
    (run,) = made({**SHOP, "schedule": "daily"})
    start = run.exec_start(Settings(command='/opt/my "$HOME" 5%/lifeboat'))
    assert start.startswith('"/opt/my \\"$$HOME\\" 5%%/lifeboat" scheduled')
    assert run.exec_start(Settings()) == " ".join(run.argv(Settings()))


@pytest.mark.parametrize(
    ("given", "is_enabled"), [(False, False), ("no", False), ("False", False), (True, True), ("yes", True)]
)
def test_a_schedule_can_be_disabled(given, is_enabled):
    (found,) = made({**SHOP, "schedule": {"every": "daily", "enabled": given}})
    assert found.is_enabled is is_enabled


def test_what_is_common_is_said_once():
    common = Settings(timezone="Europe/Berlin", random_delay_s=5)
    own, other = made(
        {**SHOP, "schedule": "daily"},
        {**SHOP, "name": "wiki", "schedule": {"every": "daily", "timezone": "UTC", "random_delay": 0}},
        settings=common,
    )
    assert (own.timing.timezone, own.delay_s) == ("Europe/Berlin", 5)
    assert (other.timing.timezone, other.delay_s) == ("UTC", 0)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"schedule": "sometimes"}, "the interval is 'sometimes'"),
        ({"schedule": {"every": "daily", "time": "02:00"}}, "it has time"),
        ({"schedule": {"every": "daily", "timezone": "Berlin"}}, "'Berlin'"),
        ({"schedule": {"every": "daily", "random_delay": "10m"}}, "random_delay is '10m'"),
        ({"schedule": {"every": "daily", "random_delay_kind": "odd"}}, "random_delay_kind"),
        ({"verify": {"schedule": "daily", "levle": "content"}}, "it has levle"),
        ({"copy": {"schedule": "never"}}, "db1-shop.copy"),
        ({"verify": {"schedule": "daily", "level": "contnt"}}, "level is 'contnt'"),
        ({"verify": {"schedule": "daily", "level": "contnt"}}, "one of presence, checksum, content, restore"),
        ({"verify": {"level": "contnt"}}, "level is 'contnt'"),
        ({"verify": {"schedule": "daily", "level": "content\n"}}, "level is 'content\\n'"),
        ({"verify": {"schedule": "daily", "backup": "newest"}}, "one of latest, all, or an id"),
        ({"verify": {"schedule": "daily", "backup": "latest_good"}}, "backup is 'latest_good'"),
        ({"verify": {"schedule": "daily", "sample": "8/7"}}, "'8/7'"),
        ({"verify": {"schedule": "daily", "level": "restore"}, "kind": "minio"}, "use level content"),
        ({"verify": {"schedule": "daily", "backup": "all"}, "kind": "set"}, "one of latest, latest_good, or an id"),
        ({"copy": {"schedule": "daily", "tier": "fortnightly"}}, "tier is 'fortnightly'"),
        ({"copy": {"schedule": "daily", "tier": "fortnightly"}}, "one of hourly, daily, weekly, monthly, yearly"),
        ({"copy": {"schedule": "daily", "backup": "newest"}}, "one of all, latest, latest_good, or an id"),
        ({"copy": {"schedule": "daily", "min_age": "7 days"}}, "write it as 36h, 14d or 8w"),
        ({"copy": {"schedule": "daily", "min_age": "8w", "max_age": "7d"}}, "min_age is more than max_age"),
        ({"copy": {"backup": "20261120T020000Z-0a1b2c", "tier": "daily"}}, "leave out tier"),
        ({"schedule": "daily", "run_as": "root\n* * * * * root"}, "has a line break"),
        ({"prune": {"schedule": "0 0 31 2,4 *"}}, "no day is like that"),
    ],
)
def test_a_mistake_is_refused_with_the_name_of_the_job(keys, words):
    with pytest.raises(UsageError, match="db1-shop") as refused:
        made({**SHOP, **keys})
    assert words in str(refused.value)

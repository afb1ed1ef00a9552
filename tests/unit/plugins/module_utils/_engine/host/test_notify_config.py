# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import UsageError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import config
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.cron_time import Schedule
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.notify_channel import COMMANDS, Secret
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.notify_http import Ping, Webhook
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.notify_mail import Sendmail, SmtpMail

CHANNELS = {
    "mail": {
        "type": "smtp",
        "to": ["ops@example.com"],
        "from": "backup@db1.example.com",
        "server": "mail.example.com",
        "port": 2525,
        "security": "starttls",
        "user": "backup",
        "password_file": "/etc/lifeboat/mail.password",
        "ca_cert": "/etc/ssl/mail.pem",
        "timeout_s": 20,
        "attempts": 2,
        "on": ["failure"],
        "commands": ["run", "verify"],
    },
    "local": {"type": "sendmail", "to": ["root"], "program": "/usr/lib/sendmail"},
    "chat": {"type": "webhook", "url_file": "/etc/lifeboat/chat.url", "token_file": "/etc/lifeboat/chat.token"},
    "ping": {"type": "ping", "url": "https://ping.example.com/{job}", "proxy": "http://outgoing.example.com:3128"},
}
BASE = {
    "repositories": {"local": {"path": "/srv/backup"}},
    "jobs": {"etc": {"kind": "files", "roots": ["/etc"], "repositories": ["local"]}},
    "mirrors": {"near": {"source": {"path": "/srv/a"}, "targets": {"far": {"bucket": "b"}}}},
}


def parsed(job=None, mirror=None, **more):
    document = json.loads(json.dumps(BASE))
    document["jobs"]["etc"].update(job or {})
    document["mirrors"]["near"].update(mirror or {})
    return config.parse(json.dumps({**document, **more}).encode(), "config.json")


def channels(**found):
    return {"channels": found}


def test_without_any_of_it_nothing_is_told_or_remembered():
    reporting = parsed().reporting
    assert (reporting.channels, reporting.metrics_dir, reporting.state_dir) == ({}, "", "")


def test_every_key_of_a_channel_reaches_it():
    found = parsed(notifications={"channels": CHANNELS, "on": ["flagged"]}).reporting.channels
    assert found["mail"] == SmtpMail(
        "mail",
        ("failure",),
        ("run", "verify"),
        20,
        2,
        ("ops@example.com",),
        "backup@db1.example.com",
        "mail.example.com",
        2525,
        "starttls",
        "backup",
        Secret("/etc/lifeboat/mail.password"),
        "/etc/ssl/mail.pem",
    )
    assert found["local"] == Sendmail("local", ("flagged",), COMMANDS, to=("root",), program="/usr/lib/sendmail")
    hook = found["chat"]
    assert isinstance(hook, Webhook)
    assert (hook.url, hook.token) == (Secret("/etc/lifeboat/chat.url"), Secret("/etc/lifeboat/chat.token"))
    ping = found["ping"]
    assert isinstance(ping, Ping) and ping.proxy == "http://outgoing.example.com:3128"
    assert (ping.on[0], ping.commands) == ("start", ("run", "mirror"))
    assert {"success", "failure"} <= set(ping.on)


def test_what_is_remembered_has_a_usual_place():
    for more in (
        {"notifications": {"channels": {"local": CHANNELS["local"]}}},
        {"metrics": {"directory": "/var/lib/metrics"}},
    ):
        assert parsed(**more).reporting.state_dir == "/var/lib/lifeboat"
    assert parsed(state_dir="/srv/state").reporting.state_dir == "/srv/state"


def test_a_job_may_choose_channels_and_words_and_a_ping_hears_all_the_same():
    given = parsed(
        {"notify": {"channels": ["mail", "ping"], "on": ["success"]}},
        {"notify": {"channels": []}},
        notifications={"channels": CHANNELS},
    )
    mail, ping = given.reporting.channels_of(given.jobs["etc"].notify)
    assert (mail.name, mail.on) == ("mail", ("success",))
    assert ping.on == given.reporting.channels["ping"].on
    assert given.reporting.channels_of(given.mirrors["near"].notify) == ()
    assert len(given.reporting.channels_of(None)) == 4


def test_the_schedule_of_a_job_and_a_mirror_is_known():
    found = parsed(
        {"schedule": {"cron": "17 2 * * *", "timezone": "Europe/Berlin"}}, {"schedule": {"cron": "5 * * * *"}}
    )
    assert found.jobs["etc"].schedule == Schedule("17 2 * * *", "Europe/Berlin")
    assert found.mirrors["near"].schedule == Schedule("5 * * * *", "UTC")


@pytest.mark.parametrize(
    ("more", "cause"),
    [
        ({"notification": {}}, "notification is not known"),
        ({"notifications": {"channel": {}}}, "notifications.channel is not known"),
        ({"notifications": {"on": ["panic"]}}, "notifications.on has 'panic'"),
        ({"notifications": channels(x={"type": "pigeon"})}, "channels.x.type is 'pigeon'"),
        ({"notifications": channels(x={})}, "channels.x.type is missing"),
        ({"notifications": {"channels": {"a b": {}}}}, "'a b' cannot be the name of a channel"),
        ({"notifications": channels(x={"type": "smtp"})}, "channels.x.to is missing"),
        ({"notifications": channels(x={**CHANNELS["mail"], "password": "y"})}, "channels.x.password is not known"),
        ({"notifications": channels(x={**CHANNELS["mail"], "port": 0})}, "port is 0"),
        ({"notifications": channels(x={**CHANNELS["mail"], "security": "none"})}, "without encryption"),
        ({"notifications": channels(x={**CHANNELS["mail"], "to": ["-X"]})}, "'-X' is no address"),
        ({"notifications": channels(x={**CHANNELS["mail"], "on": ["start"]})}, "channels.x.on has 'start'"),
        ({"notifications": channels(x={**CHANNELS["mail"], "commands": ["list"]})}, "commands has 'list'"),
        ({"notifications": channels(x={"type": "ping"})}, "channels.x.url is missing"),
        ({"notifications": channels(x={**CHANNELS["ping"], "url_file": "/x"})}, "url and url_file are both there"),
        ({"notifications": channels(x={**CHANNELS["chat"], "url_file": "x"})}, "url_file is 'x'"),
        ({"notifications": channels(x={**CHANNELS["chat"], "attempts": 6})}, "attempts is 6"),
        ({"metrics": {}}, "metrics.directory is missing"),
        ({"metrics": {"directory": "x"}}, "metrics.directory is 'x'"),
        ({"state_dir": "x"}, "state_dir is 'x'"),
        ({"job": {"notify": {"channels": ["x"]}}}, "jobs.etc.notify.channels names channel x"),
        ({"mirror": {"notify": {"channels": ["x"]}}}, "mirrors.near.notify.channels names channel x"),
        ({"job": {"notify": {"on": ["often"]}}}, "jobs.etc.notify.on has 'often'"),
        ({"job": {"notify": {"words": []}}}, "jobs.etc.notify.words is not known"),
        ({"job": {"schedule": {}}}, "jobs.etc.schedule.cron is missing"),
        ({"job": {"schedule": {"cron": "daily"}}}, "jobs.etc.schedule cannot be used: it has 1 fields"),
        ({"job": {"schedule": {"cron": "0 0 * * *", "timezone": "Mars"}}}, "there is none of this name here"),
        ({"job": {"schedule": {"cron": "0 0 * * *", "zone": "UTC"}}}, "jobs.etc.schedule.zone is not known"),
    ],
)
def test_a_mistake_is_named_by_its_key(more, cause):
    with pytest.raises(UsageError) as error:
        parsed(**more)
    assert cause in error.value.cause
    assert error.value.problem == "Cannot use config.json"


def test_a_url_in_the_wrong_place_is_not_shown():
    with pytest.raises(UsageError) as error:
        parsed(notifications=channels(x={"type": "ping", "url_file": "https://ping.example.com/canary"}))
    assert "url_file" in error.value.cause

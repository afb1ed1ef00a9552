# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import notify_http, notify_mail
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.notify_channel import NotSent, Opened
from ansible_collections.lifeboat.recovery.plugins.modules import backup_notify

FAILED = {"failed": True, "msg": "It failed", "problem": "Cannot", "cause": "no", "remedy": "mend", "exit_code": 1}
HOOK = {"name": "hook", "type": "webhook", "url": "https://hook.example.com/x", "attempts": 1}
PING = {"name": "ping", "type": "ping", "url": "https://ping.example.com/x"}


@pytest.fixture
def told(monkeypatch):
    """Keep the events that channels are given, as pairs of channel and event."""
    found = []
    for kind in (notify_http.Webhook, notify_http.Ping, notify_mail.Sendmail):
        monkeypatch.setattr(kind, "opened", lambda self: Opened(lambda event: found.append((self, event))))
    return found


@pytest.fixture
def notify(run_module):
    def run(result, *channels, **more):
        given = {"job": "db1-shop", "result": result, "channels": list(channels or (HOOK,)), **more}
        return run_module(backup_notify, **given)

    return run


@pytest.mark.parametrize(
    ("result", "outcome"),
    [
        (FAILED, "failure"),
        ({"failed": True, "msg": "the module was not found"}, "failure"),
        ({**FAILED, "exit_code": 3, "guard": "source"}, "failure"),
        ({**FAILED, "exit_code": 3, "guard": "mass_delete", "flags": ["mass_delete: 4"], "id": "x"}, "flagged"),
        ({**FAILED, "exit_code": 5, "id": "x"}, "incomplete"),
    ],
)
def test_a_bad_result_is_told_as_what_it_is(notify, told, result, outcome):
    end = notify(result, host="db1")
    assert not end.failed and end["changed"] and end["outcome"] == outcome
    assert end["notifications"] == [{"channel": "hook", "delivered": True, "problem": ""}]
    ((_channel, event),) = told
    assert event.problem == result.get("problem", result["msg"])
    assert (event.job, event.host, event.guard) == ("db1-shop", "db1", result.get("guard", ""))


def test_a_success_is_for_pings_and_those_who_want_it(notify, told):
    result = {"changed": True, "id": "20261120T020000Z-0a1b2c", "plain_bytes": 3, "stored_bytes": 2, "seconds": 12.5}
    mail = {"name": "mail", "type": "sendmail", "to": ["root"], "on": ["success"]}
    end = notify(result, HOOK, PING, mail)
    assert [row["channel"] for row in end["notifications"]] == ["ping", "mail"]
    event = told[0][1]
    assert (event.id, event.seconds, event.exit_code) == ("20261120T020000Z-0a1b2c", 12.5, 0)
    told.clear()
    assert notify(result, HOOK)["changed"] is False
    assert notify(result, HOOK, recovered=True)["title"].endswith("works again")
    assert len(told) == 1


def test_a_skipped_task_is_nothing_to_tell_of(notify, told):
    end = notify({"skipped": True}, HOOK, PING)
    assert (end["changed"], end["outcome"], end["notifications"], told) == (False, None, [], [])


def test_check_mode_sends_nothing_and_says_who_would_be_told(run_module, told):
    options = {"job": "db1-shop", "result": FAILED, "channels": [HOOK, PING]}
    end = run_module(backup_notify, check_mode=True, **options)
    assert end["changed"] and told == []
    assert [(row["channel"], row["delivered"]) for row in end["notifications"]] == [("hook", None), ("ping", None)]
    assert end["diff"]["after"]["told"] == ["hook", "ping"]


def test_a_channel_that_is_away_is_a_warning_or_a_failure_if_that_is_wanted(notify, monkeypatch):
    def refuse(_event):
        raise NotSent("it is away", False)

    monkeypatch.setattr(notify_http.Webhook, "opened", lambda _self: Opened(refuse))
    end = notify(FAILED)
    assert not end.failed and end.warnings == ["Channel hook did not take the message: it is away"]
    assert end["notifications"][0]["problem"] == "it is away"
    end = notify(FAILED, fail_undelivered=True)
    assert end.failed and end["problem"] == "Cannot tell hook" and end["cause"] == "it is away"
    assert end["changed"] is False and end["outcome"] == "failure"


@pytest.mark.parametrize(
    ("channel", "words"),
    [
        ({"name": "m", "type": "smtp"}, "to"),
        ({"name": "m", "type": "smtp", "to": ["a@example.com"], "user": "x"}, "password is missing"),
        ({"name": "m", "type": "smtp", "to": ["a@example.com"], "server": "b", "security": "none"}, "encryption"),
        ({"name": "m", "type": "smtp", "to": ["a b"]}, "is no address"),
        ({"name": "w", "type": "webhook"}, "url"),
        ({**HOOK, "timeout_s": 600}, "timeout_s is 600"),
        ({**HOOK, "on": ["often"]}, "often"),
    ],
)
def test_a_channel_that_cannot_work_is_refused_before_anything_is_sent(notify, told, channel, words):
    end = notify(FAILED, PING, channel)
    assert end.failed and words in end["msg"] and told == []


def test_two_channels_of_one_name_are_refused(notify):
    assert "more than once" in notify(FAILED, HOOK, HOOK)["msg"]


def test_every_option_reaches_a_mail(notify, monkeypatch):
    seen = []
    monkeypatch.setattr(notify_mail.SmtpMail, "opened", lambda self: seen.append(self) or Opened(lambda _event: None))
    more = {"security": "tls", "user": "u", "password": "p", "ca_cert": "/x.pem", "timeout_s": 3, "attempts": 2}
    mail = {"name": "m", "type": "smtp", "to": ["ops@example.com"], "from": "a@example.com", "server": "mail"}
    notify(FAILED, {**mail, **more, "port": 26})
    (mail,) = seen
    assert (mail.to, mail.sender, mail.server, mail.port) == (("ops@example.com",), "a@example.com", "mail", 26)
    assert (mail.security, mail.user, mail.password.read(), mail.ca_cert) == ("tls", "u", "p", "/x.pem")
    assert (mail.timeout_s, mail.attempts) == (3, 2)

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import datetime as dt
import threading

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import UsageError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import notify_channel
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.notify_channel import (
    Channel,
    NotSent,
    Opened,
    Secret,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.notify_delivery import Outbox, begun
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.notify_event import Event
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.notify_http import Ping, Webhook
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.notify_mail import Sendmail, SmtpMail

MOMENT = dt.datetime(2026, 11, 20, 2, 0, tzinfo=dt.timezone.utc)
CANARY = "canary-5ecret/+="


@dataclasses.dataclass(frozen=True)
class Recorder(Channel):
    """A channel that does what a list says, try by try."""

    answers: list = dataclasses.field(default_factory=list)
    seen: list = dataclasses.field(default_factory=list)

    def opened(self):
        def send(event):
            self.seen.append(event)
            answer = self.answers.pop(0) if self.answers else None
            if answer is not None:
                raise answer

        return Opened(send, (CANARY,))


@pytest.fixture(autouse=True)
def slept(monkeypatch):
    found = []
    monkeypatch.setattr(clock, "sleep", found.append)
    return found


def event(outcome="failure", command="run", **changes):
    return Event(command, "db1-shop", "db1", outcome, MOMENT, MOMENT, **changes)


def test_every_channel_that_wants_it_is_told_and_the_others_are_not():
    wants, other = Recorder("a", on=("failure",)), Recorder("b", on=("success",))
    assert [each.channel for each in Outbox([wants, other]).send(event())] == ["a"]
    assert (len(wants.seen), len(other.seen)) == (1, 0)


@pytest.mark.parametrize(
    ("on", "told", "is_wanted"),
    [
        (("failure",), event("failure"), True),
        (("failure",), event("success", is_recovery=True), False),
        (("recovered",), event("success", is_recovery=True), True),
        (("recovered",), event("success"), False),
        (("success",), event("success", is_recovery=True), True),
        (("incomplete",), event("flagged"), False),
        ((), event("test"), True),
        (("failure",), event("failure", command="verify"), False),
        (("failure",), event("failure", command="nightly play"), True),
    ],
)
def test_what_a_channel_wants_is_what_it_says(on, told, is_wanted):
    assert Recorder("a", on=on, commands=("run",)).wants(told) is is_wanted


def test_what_may_pass_is_tried_again_and_what_may_not_is_left(slept):
    again = Recorder("a", answers=[NotSent("away", True), NotSent("away", True)])
    final = Recorder("b", answers=[NotSent("no such user", False)])
    first, second = Outbox([again, final]).send(event())
    assert (first.is_done, len(again.seen)) == (True, 3)
    assert (second.problem, len(final.seen)) == ("no such user", 1)
    assert slept == [1.0, 4.0]


def test_tries_are_bounded():
    channel = Recorder("a", answers=[NotSent(f"away {number}", True) for number in range(9)], attempts=2)
    (found,) = Outbox([channel]).send(event())
    assert (found.problem, len(channel.seen)) == ("away 1", 2)


def test_a_channel_that_hangs_does_not_hold_the_others():
    release = threading.Event()

    @dataclasses.dataclass(frozen=True)
    class Hanging(Channel):
        def opened(self):
            return Opened(lambda _event: release.wait(60))

    good = Recorder("b")
    try:
        first, second = Outbox([Hanging("a"), good]).send(event(), deadline_s=0.2)
    finally:
        release.set()
    assert first.problem == "no answer within 0.2 s"
    assert second.is_done and good.seen


def test_a_channel_whose_secret_cannot_be_read_is_a_delivery_that_failed(tmp_path):
    channel = Webhook("hook", url=Secret(str(tmp_path / "missing")))
    (found,) = Outbox([channel]).send(event())
    assert not found.is_done and "No such file" in found.problem


def test_a_bug_in_a_channel_is_a_problem_and_no_crash():
    channel = Recorder("a", answers=[ZeroDivisionError("oh")])
    (found,) = Outbox([channel]).send(event())
    assert found.problem == "ZeroDivisionError: oh"


def test_secrets_are_cut_out_of_what_the_other_side_says():
    spellings = (CANARY, "canary-5ecret%2F%2B%3D", "Y2FuYXJ5LTVlY3JldC8rPQ==")
    channel = Recorder("a", answers=[NotSent(f"I do not know\r\n{' or '.join(spellings)}", False)])
    (found,) = Outbox([channel]).send(event())
    assert found.problem == "I do not know *** or *** or ***"


def test_parts_of_a_secret_url_are_secrets_too():
    url = "https://hooks.example.com/services/T0KEN-0ne/x?key=T0KEN-tw0"
    for text in ("no route /services/T0KEN-0ne/x", "bad key T0KEN-tw0", "T0KEN-0ne is unknown", url):
        assert "T0KEN" not in notify_channel.without(text, [url])


def test_only_who_hears_begins_is_told_of_them():
    mail, ping = Recorder("mail"), Recorder("ping", on=("start", "success"))
    told = begun("run", "db1-shop", "files", "db1")
    assert [each.channel for each in Outbox([mail, ping]).begin(told)] == ["ping"]
    assert mail.seen == []


def test_a_begin_is_tried_once(slept):
    ping = Recorder("ping", on=("start",), answers=[NotSent("away", True)])
    (found,) = Outbox([ping]).begin(begun("run", "db1-shop", "files", "db1"))
    assert (found.problem, slept) == ("away", [])


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://example.com/x", "it is no URL"),
        ("https://", "it is no URL"),
        ("https://example.com:x/", "it is no URL"),
        ("https://example.com/a b", "it is no URL"),
        ("https://user:canary@example.com/", "it holds a user's name"),
        ("http://example.com/x", "it is not encrypted"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_being_shown(url, words):
    with pytest.raises(UsageError, match=words) as error:
        Ping("ping", url=Secret(value=url)).opened()
    assert "example.com/" not in str(error.value) and "canary" not in str(error.value)


def test_plain_text_to_this_machine_is_no_risk():
    Ping("ping", url=Secret(value="http://127.0.0.1:8000/x")).opened()
    Ping("ping", url=Secret(value="http://example.com/x"), allow_plaintext=True).opened()


@pytest.mark.parametrize(
    "channel",
    [
        lambda: SmtpMail("m", to=("a@example.com",), server="mail.example.com", security="none"),
        lambda: SmtpMail("m", to=("a@example.com",), user="x"),
        lambda: SmtpMail("m", to=("a@example.com",), password=Secret(value="x")),
        lambda: SmtpMail("m", to=("-oQ/tmp@example.com",)),
        lambda: Sendmail("m", to=("a@example.com\nBcc: b@example.com",)),
        lambda: Sendmail("m", to=("a@example.com",), sender="a b@example.com"),
    ],
)
def test_mail_that_is_not_safe_is_refused(channel):
    with pytest.raises(UsageError, match="Cannot use channel m"):
        channel()


def test_a_mail_has_all_that_filters_and_people_look_for():
    mail = Sendmail("m", to=("ops@example.com", "root"), sender="backup@db1.example.com")
    made = mail.message(event(problem="Cannot", cause="ünicode"))
    assert made["Subject"] == "Lifeboat on db1: run db1-shop FAILED"
    assert (made["From"], made["To"]) == ("backup@db1.example.com", "ops@example.com, root")
    assert made["Auto-Submitted"] == "auto-generated" and made["X-Lifeboat-Event"] == "failure"
    assert made["Message-ID"].endswith("@db1.example.com>") and made["Date"]
    assert "Cannot: ünicode." in made.get_content()


def test_secrets_are_in_no_representation():
    secret = Secret(value=CANARY)
    channels = [
        SmtpMail("m", to=("a",), user="x", password=secret),
        Webhook("w", url=Secret(value=f"https://example.com/{CANARY}"), token=secret),
    ]
    for channel in channels:
        assert "canary" not in repr(channel) and "canary" not in repr(channel.opened())

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime as dt
import json

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import (
    BusyError,
    FlaggedError,
    GuardRefusal,
    IncompleteError,
    LifeboatError,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import notify_event
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.notify_event import Event

MOMENT = dt.datetime(2026, 11, 20, 2, 0, tzinfo=dt.timezone.utc)


def event(**changes):
    given = {"command": "run", "job": "db1-shop", "host": "db1", "outcome": "failure", "exit_code": 1}
    return Event(**{**given, "started": MOMENT, "finished": MOMENT + dt.timedelta(seconds=12.5), **changes})


@pytest.mark.parametrize(
    ("code", "error", "outcome"),
    [
        (0, None, "success"),
        (1, None, "failure"),
        (1, LifeboatError("It failed"), "failure"),
        (3, GuardRefusal("source", "No"), "failure"),
        (3, FlaggedError("mass_delete", "It is doubted", "so", "look", None), "flagged"),
        (4, BusyError("It is busy"), "failure"),
        (5, IncompleteError("It", "is", "so", None), "incomplete"),
        (143, LifeboatError("ended"), "failure"),
    ],
)
def test_an_outcome_follows_from_exit_code_and_error(code, error, outcome):
    assert notify_event.outcome_of(code, error) == outcome


def test_a_failure_says_what_why_and_what_to_do():
    error = GuardRefusal("source", "Cannot back up lab", "it is another server", "use --rebind")
    told = notify_event.with_result(event(exit_code=3), {}, error)
    assert told.title == "Lifeboat on db1: run db1-shop FAILED"
    text = told.text()
    assert "Cannot back up lab: it is another server.\nRemedy: use --rebind\n" in text
    assert "exit code  3\nguard      source\n" in text
    assert "took       12 s" in text


def test_what_a_backup_is_reaches_people_and_machines():
    document = {
        "id": "20261120T020000Z-0a1b2c",
        "plain_bytes": 3000,
        "stored_bytes": 1000,
        "flags": ["mass_delete: 4 of 9"],
        "warnings": ["a warning"],
        "problems": ["a problem"],
        "copies": [{"repository": "site", "present": False, "problem": "away", "report": {"tables": 4}}],
    }
    told = notify_event.with_result(event(outcome="flagged"), document, None)
    text = told.text()
    for words in ("is FLAGGED", "20261120T020000Z-0a1b2c", "1000 B of 2.9 KiB", "flag: mass_delete: 4 of 9"):
        assert words in text
    found = json.loads(json.dumps(told.document()))
    assert (found["event"], found["recovered"], found["seconds"]) == ("flagged", False, 12.5)
    assert found["copies"] == [{"repository": "site", "present": False, "problem": "away"}]
    assert found["warnings"] == ["a warning", "a problem"]
    assert found["started"] == "2026-11-20T02:00:00.000000Z"


def test_names_from_anywhere_stay_on_their_line_and_are_bounded():
    odd = "x\nBcc: all@example.com\x1b[2J"
    told = event(job=odd, problem=odd, flags=(odd * 1000,) * 1000, lines=("y\r\nz",) * 1000)
    assert "\n" not in told.title and "\x1b" not in told.text() and "\nBcc" not in told.text()
    assert len(told.text()) < 200_000
    assert len(told.document()["flags"]) == len(told.document()["lines"]) == 50


def test_a_recovery_is_also_a_success():
    told = event(outcome="success", exit_code=0, is_recovery=True)
    assert told.words == ("success", "recovered")
    assert told.title.endswith("is done, and works again")
    assert told.document()["recovered"] is True


def test_a_clock_that_goes_back_makes_no_negative_duration():
    assert event(finished=MOMENT - dt.timedelta(hours=1)).seconds == 0

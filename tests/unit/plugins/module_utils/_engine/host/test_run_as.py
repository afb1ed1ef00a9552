# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import pwd

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import LifeboatError, UsageError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import run_as

ME = pwd.getpwuid(os.geteuid()).pw_name


def test_a_job_of_nobody_in_particular_runs_as_whoever_runs_it():
    run_as.become("", "lab")
    run_as.become(ME, "lab")
    assert run_as.as_user("", "lab", lambda: {"uid": os.geteuid()}) == {"uid": os.geteuid()}


def test_a_user_that_is_not_there_is_wrong_configuration():
    with pytest.raises(UsageError, match="this host has no such user"):
        run_as.become("no-such-user", "lab")


def test_another_user_than_root_cannot_become_somebody(monkeypatch):
    monkeypatch.setattr(run_as.os, "geteuid", lambda: 12345)
    with pytest.raises(UsageError, match="its run_as is root"):
        run_as.become("root", "lab")


@pytest.fixture
def calls(monkeypatch):
    """Stand for root: the calls that give up its rights are noted, in their order."""
    made = []
    monkeypatch.setattr(run_as, "_account", lambda _user: pwd.struct_passwd(("db", "x", 71, 72, "", "/var/db", "")))
    monkeypatch.setattr(run_as.os, "geteuid", lambda: 0)
    for name in ("initgroups", "setgid", "setuid", "chdir"):
        monkeypatch.setattr(run_as.os, name, lambda *words, name=name: made.append((name, *words)))
    monkeypatch.setenv("TMPDIR", "/root/tmp")
    monkeypatch.setenv("HOME", "/root")
    return made


def test_root_gives_up_groups_first_and_the_user_last(calls):
    run_as.become("db", "lab")
    assert calls == [("initgroups", "db", 72), ("setgid", 72), ("setuid", 71), ("chdir", "/")]


def test_nothing_of_roots_environment_is_left(calls):
    run_as.become("db", "lab")
    assert (os.environ["HOME"], os.environ["USER"], os.environ["LOGNAME"]) == ("/var/db", "db", "db")
    assert "TMPDIR" not in os.environ


def test_the_child_that_looks_as_somebody_else_answers_by_data(calls, monkeypatch):
    here = os.getpid()
    found = run_as.as_user("db", "lab", lambda: {"is_child": os.getpid() != here, "home": os.environ["HOME"]})
    assert found == {"is_child": True, "home": "/var/db"}
    assert calls == []  # the parent stays who it is
    assert os.environ["HOME"] == "/root"


def test_a_child_that_fails_is_a_failure(calls, capfd):
    def fail():
        raise LifeboatError("Cannot look", "it is dark", "light a lamp")

    with pytest.raises(LifeboatError, match="Cannot work on job lab as user db"):
        run_as.as_user("db", "lab", fail)
    assert "Remedy: light a lamp" in capfd.readouterr().err


def test_a_child_that_does_not_answer_with_an_object_is_a_failure(calls):
    with pytest.raises(LifeboatError, match="did not answer with an object"):
        run_as.as_user("db", "lab", lambda: [])


def test_a_bug_in_the_child_is_told_with_its_place(capfd):
    def work():
        raise ZeroDivisionError("of nobody's making")

    with pytest.raises(LifeboatError, match="see what it said above"):
        run_as.apart("", "lab", work)
    assert "ZeroDivisionError: of nobody's making" in capfd.readouterr().err

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import signals
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.signals import Interrupted, unwinding


@pytest.fixture(autouse=True)
def _handlers(monkeypatch):
    monkeypatch.setattr(signals, "_end_children", lambda: None)  # this process is not the command
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_a_signal_unwinds_and_becomes_the_exit_code_of_shells(number, code):
    cleaned = []
    with pytest.raises(Interrupted) as end, unwinding():
        try:
            os.kill(os.getpid(), number)
            raise RuntimeError("the signal was lost")
        finally:
            cleaned.append(True)
    assert cleaned
    assert end.value.exit_code == code


def test_nobody_who_catches_failures_catches_the_end():
    assert not issubclass(Interrupted, Exception)


def test_a_second_signal_ends_the_process_at_once():
    with pytest.raises(Interrupted), unwinding():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
            assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL


def test_what_was_ignored_stays_ignored():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with unwinding():
        os.kill(os.getpid(), signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_handlers_are_as_before_afterwards():
    before = signal.getsignal(signal.SIGTERM)
    with unwinding():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("stubborn", [False, True])
def test_no_child_is_left_even_if_nobody_came_to_hold_it(stubborn):
    """In a process of its own, because all its children are ended."""
    program = f"""
        import os, signal, subprocess, sys
        from {signals.__name__} import Interrupted, unwinding
        import {signals.__name__} as signals
        signals._GRACE_S = 0.1
        trap = "trap '' TERM; " if {stubborn} else ""
        child = None
        try:
            with unwinding():
                child = subprocess.Popen(
                    ["/bin/sh", "-c", trap + "echo ready; while :; do sleep 600; done"],
                    stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)
                child.stdout.readline()
                os.kill(os.getpid(), signal.SIGTERM)
        except Interrupted:
            print(os.path.exists(f"/proc/{{child.pid}}"))
    """
    argv = [sys.executable, "-c", textwrap.dedent(program)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(argv, capture_output=True, text=True, check=True, env=environment, timeout=60)
    assert done.stdout == "False\n"

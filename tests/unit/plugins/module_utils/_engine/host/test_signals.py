# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import signal

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.signals import Interrupted, unwinding


@pytest.fixture(autouse=True)
def _handlers():
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

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import io
import os
import re
import signal
import threading

from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import progress
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.progress import Progress


class Closed(io.StringIO):
    def write(self, _text):
        raise BrokenPipeError


def test_without_a_terminal_each_phase_is_one_line_with_its_time():
    stream = io.StringIO()
    with Progress(stream, False) as say:
        say("db1: backing up")
        say("db1: copying\nand \x1b[2J more")
    first, second = stream.getvalue().splitlines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ db1: backing up", first)
    assert second.endswith("Z db1: copying and \N{REPLACEMENT CHARACTER}[2J more")


def test_on_a_terminal_a_phase_is_redrawn_in_place_until_the_next_one():
    stream = io.StringIO()
    with Progress(stream, True) as say:
        say("db1: backing up")
        say("db1: copying")
    text = stream.getvalue()
    assert text.count("\n") == 2
    assert all(part.startswith(("db1: backing up", "db1: copying")) for part in text.split("\r")[1:])
    assert text.endswith("\x1b[K\n")


def test_the_time_of_a_phase_goes_on_while_it_lasts(monkeypatch):
    drawn = []

    class Watched(io.StringIO):
        def write(self, text):
            drawn.append(text)
            return super().write(text)

    monkeypatch.setattr(progress, "_REDRAW_S", 0.001)
    with Progress(Watched(), True) as say:
        say("db1: backing up")
        while len(drawn) < 4:
            pass
    assert len([text for text in drawn if not text.endswith("\n")]) >= 3


def test_a_terminal_that_was_closed_does_not_end_a_run():
    for is_terminal in (True, False):
        with Progress(Closed(), is_terminal) as say:
            say("db1: backing up")


def test_no_thread_is_left():
    with Progress(io.StringIO(), True) as say:
        say("db1: backing up")
        thread = say._redrawing
    assert not thread.is_alive()


class Slow(io.StringIO):
    """Takes long to write, and says when it has begun to."""

    def __init__(self):
        super().__init__()
        self.has_begun = threading.Event()
        self.may_end = threading.Event()

    def write(self, text):
        self.has_begun.set()
        self.may_end.wait(0.3)
        return super().write(text)


def test_a_process_that_was_forked_while_another_thread_drew_can_draw():
    stream = Slow()
    say = Progress(stream, False)
    drawing = threading.Thread(target=say, args=("db1: backing up",))
    drawing.start()
    assert stream.has_begun.wait(10)
    pid = os.fork()
    if pid == 0:
        signal.alarm(10)  # ends a child that waits for a thread which it does not have
        stream.may_end.set()
        say("db1: copying")
        os._exit(0)
    stream.may_end.set()
    drawing.join()
    assert os.waitpid(pid, 0)[1] == 0
    assert "backing up" in stream.getvalue()

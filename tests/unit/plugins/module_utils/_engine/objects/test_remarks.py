# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import threading

from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.remarks import SAMPLE, Remarks

ODD = "a\n\udcff\x1b[31m"


def test_all_remarks_are_kept_and_a_few_are_shown():
    remarks = Remarks()
    for number in range(1000):
        remarks.add("shop", f"key {number}", "skipped" if number % 2 else "unreadable", "it is a socket")
    assert remarks.counts == {"skipped": 500, "unreadable": 500}
    assert len(remarks.sample) == SAMPLE
    lines = b"".join(remarks.chunks()).splitlines()
    assert len(lines) == 1000
    assert json.loads(lines[3]) == ["shop", "key 3", "skipped", "it is a socket"]


def test_names_of_any_bytes_come_back_and_are_shown_harmlessly():
    remarks = Remarks()
    remarks.add("shop", ODD, "skipped", "why")
    (line,) = b"".join(remarks.chunks()).splitlines()
    assert json.loads(line)[1] == ODD
    assert remarks.sample[0].isprintable() and remarks.sample[0].isascii()


def test_a_run_that_starts_over_forgets_what_it_said():
    remarks = Remarks()
    remarks.add("shop", "a", "skipped", "why")
    remarks.clear()
    remarks.add("shop", "b", "skipped", "why")
    assert remarks.counts == {"skipped": 1}
    assert b"".join(remarks.chunks()) == b'["shop","b","skipped","why"]\n'
    remarks.close()


def test_many_threads_may_remark():
    remarks = Remarks()

    def add(name: int) -> None:
        for number in range(200):
            remarks.add("shop", f"{name} {number}", "skipped", "x" * 500)

    threads = [threading.Thread(target=add, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([json.loads(line) for line in b"".join(remarks.chunks()).splitlines()]) == 1600

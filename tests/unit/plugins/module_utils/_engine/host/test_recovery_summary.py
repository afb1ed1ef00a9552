# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A recovery in lines for people."""

from __future__ import annotations

import dataclasses

from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import recovery_summary
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.recovery_record import (
    Check,
    Phase,
    Recovery,
    judge,
)


def at(text: str):
    return clock.from_text(f"2026-11-20T{text}Z")


TOLD = Recovery(
    job="db1-shop",
    scenario="database_corruption",
    host="db1",
    begun=at("08:31:00"),
    finished=at("08:33:00"),
    failed_at=at("08:30:00"),
    back_at=at("08:31:35"),
    recovery_point=at("08:00:00"),
    phases=(Phase("assess", 4.21), Phase("recover", 35.1)),
    backup_id="20261120T080000Z-0a1b2c",
    backup_repository="site",
    new_backup_id="20261120T083200Z-0a1b2d",
    new_backup_repositories=("local", "site"),
    recovered={"database": "shop", "tables": 8, "previous": "", "replaced": False, "buckets": ["a", "b"]},
    checks=(Check("health", True, "HTTP 200"),),
    rpo_hours=0.25,
    rto_hours=4.0,
)


def lines(told: Recovery) -> list[str]:
    return recovery_summary.lines(told, judge(told))


def test_a_recovery_that_went_well_is_told_with_its_figures():
    assert lines(TOLD) == [
        "database_corruption, job db1-shop of db1: recovered",
        "backup:   20261120T080000Z-0a1b2c from site",
        'facts:    database shop, tables 8, replaced false, buckets ["a", "b"]',
        "RTO:      95.0 s since 2026-11-20T08:30:00Z; the objective of 4 h is met",
        "RPO:      1800.0 s (30 min) of work before the damage; the objective of 0.25 h is NOT met",
        "phases:   assess 4.2 s, recover 35.1 s",
        "checks:   1 of 1 good",
        "new:      20261120T083200Z-0a1b2d in local, site",
    ]


def test_what_went_wrong_is_told():
    told = dataclasses.replace(
        TOLD,
        checks=(Check("health", False, "HTTP 503"), Check("port", False), Check("rows", True)),
        deviations=("site has no new backup", "an older backup"),
        new_backup_repositories=(),
    )
    found = lines(told)
    assert found[0].endswith(": recovered, and something is missing")
    assert found[-7:] == [
        "phases:   assess 4.2 s, recover 35.1 s",
        "checks:   1 of 3 good",
        "bad:      health: HTTP 503",
        "bad:      port",
        "new:      20261120T083200Z-0a1b2d in no repository where it is proved",
        "but:      site has no new backup",
        "but:      an older backup",
    ]


def test_a_recovery_that_failed_is_told_without_figures():
    moment = at("08:31:00")
    told = Recovery("db1-shop", "complete_loss", "db1", moment, moment, deviations=("restore: no space",))
    assert lines(told) == ["complete_loss, job db1-shop of db1: NOT recovered", "but:      restore: no space"]


def test_figures_without_moment_of_the_damage_say_what_they_are_measured_from():
    found = lines(dataclasses.replace(TOLD, failed_at=None, rpo_hours=None, rto_hours=None))
    assert "RTO:      35.0 s since the recovery began" in found
    assert "RPO:      1860.0 s (31 min) of work before the recovery" in found


def test_lines_have_at_most_100_columns_and_nothing_that_a_terminal_would_obey():
    words = "a line of a program's output\x1b[2J\nwith more " * 9
    found = lines(dataclasses.replace(TOLD, deviations=(words, "x" * 250), recovered={"key": words}))
    assert max(map(len, found)) <= 100
    assert all(line.isprintable() for line in found)
    assert "".join(line.strip() for line in found).count("x" * 5) == 50

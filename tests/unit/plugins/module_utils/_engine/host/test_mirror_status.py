# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How mirrors stand, by what a host remembers of them."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import UsageError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import cli, mirror_status
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.fields import Fields
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.mirror_config import (
    MirrorSettings,
    mirrors_from,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.run_history import (
    End,
    History,
    HistoryFile,
)

SIDES = {"source": {"path": "/srv/here"}, "targets": {"far": {"path": "/srv/far"}}}


def settings(**more: t.Any) -> MirrorSettings:
    return mirrors_from(Fields("config.json", "", {"mirrors": {"near": {**SIDES, **more}}}))["near"]


def ended(hours_ago: float, outcome: str = "success", succeeded_hours_ago: float | None = None) -> History:
    now = clock.now().timestamp()
    succeeded = now - 3600 * (hours_ago if succeeded_hours_ago is None else succeeded_hours_ago)
    return History({"mirror": End(outcome, int(outcome != "success"), now - 3600 * hours_ago, 9.0, succeeded)})


@pytest.mark.parametrize(
    ("objective", "history", "words"),
    [
        (26, ended(25.0), ""),
        (26, ended(27.0), "the last success was 27 h ago, and the objective is 26 h"),
        (None, ended(900.0), ""),
        (26, History(), "it has not succeeded on this host yet"),
        (None, History(), "it has not succeeded on this host yet"),
        (26, None, "this host remembers no runs"),
        (None, None, ""),
        (26, ended(1.0, "failure", 27.0), "the last success was 27 h ago"),
        (26, ended(1.0, "failure", 2.0), "the last mirror ended with 1"),
    ],
)
def test_a_mirror_is_judged_by_its_last_success_and_its_last_end(
    objective: float | None, history: History | None, words: str
) -> None:
    found = mirror_status.judge(settings(**({"objectives": {"rpo_hours": objective}} if objective else {})), history)

    assert found.is_healthy == (not words)
    assert words in "; ".join(found.problems)
    assert found.document()["rpo_hours"] == objective


def test_what_cannot_be_looked_at_says_only_why() -> None:
    assert mirror_status.judge(settings(objectives={"rpo_hours": 1}), None, ("no such user",)).problems == (
        "no such user",
    )


@pytest.mark.parametrize("objectives", [{"rpo_hours": 0}, {"rpo": 3}])
def test_an_objective_that_is_none_is_refused(objectives: dict[str, t.Any]) -> None:
    with pytest.raises(UsageError, match="objectives"):
        settings(objectives=objectives)


def test_the_status_ends_with_1_for_a_mirror_that_is_overdue_or_never_ran(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "state"
    metrics = tmp_path / "metrics"
    state.mkdir()
    metrics.mkdir()
    config = tmp_path / "config.json"
    mirror = {**SIDES, "objectives": {"rpo_hours": 26}}
    document = {"mirrors": {"near": mirror}, "state_dir": str(state), "metrics": {"directory": str(metrics)}}
    config.write_text(json.dumps(document))
    config.chmod(0o600)

    def status(history: History | None, *words: str) -> tuple[int, str]:
        if history is not None:
            with HistoryFile(str(state), "mirror", "near").changed() as kept:
                kept.history = history
        code = cli.main(["--config", str(config), "status", *words])
        return code, capsys.readouterr().out

    code, out = status(None)
    assert code == 1 and "it has not succeeded on this host yet" in out
    code, out = status(ended(30.0), "--metrics")
    assert code == 1 and "30 h ago" in out and "26 h" in out and "WRONG" in out
    assert max(map(len, out.splitlines())) <= 100
    assert 'lifeboat_objective_seconds{lifeboat_mirror="near"} 93600' in (
        metrics / "lifeboat.mirror.near.prom"
    ).read_text(encoding="utf-8")
    code, out = status(ended(1.0))
    assert code == 0 and " ok" in out

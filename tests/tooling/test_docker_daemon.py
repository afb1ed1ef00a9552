# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import fcntl
import typing as t
from pathlib import Path

import gate_molecule
import pytest
from gate_runner import Workplace


@pytest.fixture
def events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What happens to the daemon, which is none."""
    seen: list[str] = []

    @contextlib.contextmanager
    def running(_place: Workplace) -> t.Iterator[None]:
        seen.append("begun")
        yield
        seen.append("ended")

    monkeypatch.setenv("LIFEBOAT_CACHE", str(tmp_path))
    monkeypatch.setattr(gate_molecule, "_running", running)
    return seen


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    return Workplace("tested", tmp_path)


def is_free(tmp_path: Path) -> bool:
    """Say whether another run could take its turn."""
    with (tmp_path / "molecule.lock").open("w", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def test_gates_use_it_together_and_the_last_one_ends_it(events: list[str], place: Workplace, tmp_path: Path) -> None:
    first, second = gate_molecule.docker_daemon(place), gate_molecule.docker_daemon(place)
    first.__enter__()
    second.__enter__()
    assert events == ["begun"] and not is_free(tmp_path)
    first.__exit__(None, None, None)
    assert events == ["begun"] and not is_free(tmp_path)
    second.__exit__(None, None, None)
    assert events == ["begun", "ended"] and is_free(tmp_path)


def test_a_later_gate_gets_one_of_its_own(events: list[str], place: Workplace) -> None:
    for _gate in range(2):
        with gate_molecule.docker_daemon(place):
            pass
    assert events == ["begun", "ended", "begun", "ended"]


def test_another_run_has_its_turn_when_it_cannot_be_had(
    events: list[str], place: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_place: Workplace) -> t.NoReturn:
        raise gate_molecule.SetupError("no Docker")

    monkeypatch.setattr(gate_molecule, "_running", failing)
    with pytest.raises(gate_molecule.SetupError), gate_molecule.docker_daemon(place):
        raise AssertionError("there is none")
    assert is_free(tmp_path)

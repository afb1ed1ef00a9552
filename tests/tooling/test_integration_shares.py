# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import itertools
from pathlib import Path

from gate_ansible_test import INTEGRATION_SHARES, shares


def target(folder: Path, name: str, lines: int) -> None:
    (folder / name / "tasks").mkdir(parents=True)
    (folder / name / "aliases").touch()
    (folder / name / "tasks" / "main.yml").write_text("-\n" * lines)


def test_every_target_is_in_exactly_one_share(tmp_path: Path) -> None:
    for number in range(10):
        target(tmp_path, f"module_{number}", 10 * number)
    (tmp_path / "setup_something" / "tasks").mkdir(parents=True)  # a role that targets use: it is no target
    found = shares(tmp_path)
    assert len(found) == INTEGRATION_SHARES
    assert sorted(itertools.chain(*found)) == sorted(f"module_{number}" for number in range(10))


def test_the_longest_targets_are_not_together(tmp_path: Path) -> None:
    for name, lines in (("a", 300), ("b", 290), ("c", 280), ("d", 10)):
        target(tmp_path, name, lines)
    assert shares(tmp_path) == [["a"], ["b"], ["c", "d"]]

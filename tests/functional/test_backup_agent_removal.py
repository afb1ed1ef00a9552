# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role backup_agent when it removes what it made: not what is still called, by cron or by timers. The rest of the
role needs a host of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import typing as t
from pathlib import Path

from ansible_collections.lifeboat.recovery.tests.unit.contracts import collection

SCHEDULES = {"cron": "cron.d/lifeboat", "timer": "units/lifeboat-db1-shop.timer"}


def paths(folder: Path) -> dict[str, t.Any]:
    """Return the variables that bring everything that the role removes below a folder."""
    (folder / "lifeboat").mkdir(parents=True)
    (folder / "lifeboat" / "config.json").write_text("{}")
    for name in ("cron.d", "units"):
        (folder / name).mkdir()
        (folder / name / "other.timer").write_text("[Timer]\n")
    return {
        "__backup_agent_folder": str(folder / "lifeboat"),
        "__backup_agent_authorities": str(folder / "authorities"),
        "__backup_agent_schedule_folders": [str(folder / "cron.d"), str(folder / "units")],
        "backup_agent_command": str(folder / "command"),
    }


def test_the_agent_stays_while_cron_or_a_timer_calls_it(tmp_path: Path) -> None:
    assert "__backup_agent_schedule_folders" in (collection.ROOT / "roles/backup_agent/vars/main.yml").read_text()
    hosts = {name: paths(tmp_path / name) for name in ("cron", "timer", "nothing")}
    for name, path in SCHEDULES.items():
        (tmp_path / name / path).write_text("# Schedule of lifeboat\n")
    common = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    role = {"name": "lifeboat.recovery.backup_agent", "tasks_from": "remove"}
    # Variables of a role count more than those of hosts, and less than those of the task.
    given = {name: "{{ hostvars[inventory_hostname]['" + name + "'] }}" for name in hosts["cron"]}
    task = {"ansible.builtin.include_role": role, "vars": given}
    (tmp_path / "hosts.json").write_text(json.dumps({"all": {"hosts": hosts, "vars": common}}))
    (tmp_path / "play.yml").write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": [task]}]))
    command = ["ansible-playbook", "-i", str(tmp_path / "hosts.json"), str(tmp_path / "play.yml")]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    for name, path in SCHEDULES.items():
        assert f"it is called by {tmp_path / name / path}" in done.stdout, done.stdout
        assert (tmp_path / name / "lifeboat" / "config.json").exists()
    assert not (tmp_path / "nothing" / "lifeboat").exists(), done.stdout

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import LifeboatError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.inventory_schedules import (
    Schedule,
    Settings,
    schedules,
)

DOCUMENTATION = r"""
name: host_schedules
short_description: Make the schedules of a host from an inventory
version_added: 1.0.0
description:
  - Says when the jobs and mirrors of an inventory run, are verified, copied and pruned, by their keys C(schedule),
    C(verify), C(copy) and C(prune); for cron and for systemd timers.
  - Where an interval has no time of its own, the time follows from the name of host and job. It is always the same,
    and another one for each.
author:
  - Lifeboat maintainers (@lifeboat)
extends_documentation_fragment:
  - lifeboat.recovery._inventory_jobs
  - lifeboat.recovery._inventory_jobs.runs
positional: _input
options:
  status:
    description:
      - When C(lifeboat status) runs. By default it does not.
    type: raw
  metrics:
    description:
      - When C(lifeboat status --metrics) runs, which writes the metrics of all jobs. By default it does not.
    type: raw
  timezone:
    description:
      - Time zone of the schedules that do not say it.
    type: str
    default: UTC
  host_timezone:
    description:
      - Time zone that cron on the host lives in.
    type: str
    default: UTC
  random_delay:
    description:
      - How many seconds later the schedules that do not say it begin, at most.
    type: int
    default: 0
  random_delay_kind:
    description:
      - Whether the delay is the same each time, or left to chance.
    type: str
    choices: [stable, random]
    default: stable
  command:
    description:
      - Path of the host command.
    type: str
    default: /usr/local/bin/lifeboat
"""

EXAMPLES = r"""
- name: Show what is scheduled
  ansible.builtin.debug:
    msg: "{{ lifeboat_jobs | lifeboat.recovery.host_schedules(host=inventory_hostname, timezone='Europe/Berlin') }}"
"""

RETURN = r"""
_value:
  description: The schedules, in the order of the jobs.
  type: list
  elements: dict
  contains:
    name:
      description: Name of the schedule. It is the name of the job for its runs.
      type: str
      sample: db1-shop.verify
    kind:
      description: The subcommand of the host command.
      type: str
      sample: verify
    user:
      description: Who runs it.
      type: str
      sample: postgres
    enabled:
      description: Whether it is to run by itself.
      type: bool
    cron:
      description: The cron expression, in C(timezone).
      type: str
      sample: 17 2 * * *
    timezone:
      description: The time zone that it is meant in.
      type: str
      sample: Europe/Berlin
    line_time:
      description: What cron on the host needs to see. It looks every hour where the time zones differ.
      type: str
      sample: 17 * * * *
    line_command:
      description: The command for a line of a crontab.
      type: str
    calendar:
      description: The same for OnCalendar of systemd timers.
      type: list
      elements: str
      sample: ["*-*-* 02:17:00 Europe/Berlin"]
    delay_s:
      description: The delay in seconds, at most.
      type: int
    delay_kind:
      description: Whether the delay is the same each time, or left to chance.
      type: str
    argv:
      description: The command without delays, for systemd timers, which have their own.
      type: list
      elements: str
    exec_start:
      description: The same as text for ExecStart of a unit of systemd.
      type: str
    argv_now:
      description: The same for root, who becomes the user first.
      type: list
      elements: str
"""

Entries = t.Sequence[t.Mapping[str, t.Any]]


def host_schedules(
    jobs: Entries,
    host: str,
    mirrors: Entries = (),
    status: t.Any = None,
    run_as: str = "lifeboat",
    host_timezone: str = "UTC",
    metrics: t.Any = None,
    **common: t.Any,
) -> list[dict[str, t.Any]]:
    """Return the schedules of a host. `common` are options of all schedules. Raises AnsibleFilterError."""
    try:
        settings = _settings(**common)
        found = schedules(host, jobs, mirrors, status, run_as, settings, metrics)
        return [_shown(each, settings, host_timezone) for each in found]
    except LifeboatError as error:
        raise AnsibleFilterError(str(error)) from None  # Ansible would say the causes of causes again


def _settings(
    timezone: str = Settings.timezone,
    random_delay: int = 0,
    random_delay_kind: str = Settings.random_delay_kind,
    command: str = Settings.command,
) -> Settings:
    return Settings(str(timezone), int(random_delay), str(random_delay_kind), str(command))


def _shown(schedule: Schedule, settings: Settings, host_timezone: str) -> dict[str, t.Any]:
    line_time, line_command = schedule.line(settings, host_timezone, clock.now())
    timing = schedule.timing
    return {
        "name": schedule.name,
        "kind": schedule.words[0],
        "user": schedule.user,
        "enabled": schedule.is_enabled,
        "cron": timing.cron.text,
        "timezone": timing.timezone,
        "line_time": line_time,
        "line_command": line_command,
        "calendar": list(timing.cron.calendar(timing.timezone)),
        "delay_s": schedule.delay_s,
        "delay_kind": "random" if schedule.wait_s is None else "stable",
        "argv": list(schedule.argv(settings)),
        "exec_start": schedule.exec_start(settings),
        "argv_now": list(schedule.argv(settings, "--as", schedule.user)),
    }


class FilterModule:
    """What Ansible asks for the filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"host_schedules": host_schedules}

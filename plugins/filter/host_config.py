# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import LifeboatError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.inventory_config import (
    database_roles,
    host_files,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.inventory_schedules import (
    schedules as host_schedules,
)

DOCUMENTATION = r"""
name: host_config
short_description: Make the configuration of the host command from an inventory
version_added: 1.0.0
description:
  - Translates the jobs, repositories and mirrors of an inventory into the configuration of the host command
    C(lifeboat), and the files that its secrets go to.
  - Everything is checked by the rules of the host command, before any host is changed. That includes the keys of jobs
    and mirrors that only schedules need, which are not part of the configuration.
author:
  - Lifeboat maintainers (@lifeboat)
extends_documentation_fragment:
  - lifeboat.recovery._inventory_jobs
  - lifeboat.recovery._inventory_jobs.runs
positional: _input
options:
  repositories:
    description:
      - The list C(lifeboat_repositories).
    type: list
    elements: dict
    required: true
  schedules:
    description:
      - What the filter P(lifeboat.recovery.host_schedules#filter) made of the same jobs. With it, each job has the key
        C(schedule), which says when it is due.
    type: list
    elements: dict
    default: []
  settings:
    description:
      - Further keys of the configuration, such as C(notifications). The values of C(password), C(token) and C(url) of
        its channels become files.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Make the configuration
  ansible.builtin.set_fact:
    host_files: >-
      {{ lifeboat_jobs | lifeboat.recovery.host_config(repositories=lifeboat_repositories, host=inventory_hostname) }}
  no_log: true
"""

RETURN = r"""
_value:
  description: What the host needs.
  type: dict
  contains:
    config:
      description: The configuration. It has no secrets.
      type: dict
    secrets:
      description: For each secret its C(path), the C(owner) who alone may read it, and its C(value).
      type: list
      elements: dict
    users:
      description: The users who run jobs or mirrors.
      type: list
      elements: str
    repository_users:
      description: For each repository that jobs use, who writes to it. The user of the first job comes first.
      type: dict
    database_roles:
      description:
        - The roles of PostgreSQL servers that jobs log in as. Each has C(name), C(password) (empty without one),
          C(databases), and under C(server) how to reach its server.
      type: list
      elements: dict
"""

Entries = t.Sequence[t.Mapping[str, t.Any]]


def _of_mirrors(mirrors: Entries, schedules: Entries) -> dict[str, t.Mapping[str, t.Any]]:
    """Return when each mirror runs that does so by itself, by its name."""
    by_name = {str(each["name"]): each for each in schedules if each["kind"] == "mirror" and each["enabled"]}
    names = (str(mirror.get("name")) for mirror in mirrors)
    return {name: by_name[f"mirror.{name}"] for name in names if f"mirror.{name}" in by_name}


def host_config(
    jobs: Entries,
    repositories: Entries,
    host: str,
    mirrors: Entries = (),
    run_as: str = "lifeboat",
    schedules: Entries = (),
    settings: t.Mapping[str, t.Any] | None = None,
) -> dict[str, t.Any]:
    """Return the configuration of a host, its secrets, and the users of its jobs. Raises AnsibleFilterError."""
    timings = {str(each["name"]): each for each in schedules if each["kind"] == "run" and each["enabled"]}
    try:
        of_mirrors = _of_mirrors(mirrors, schedules)
        found = host_files(host, jobs, repositories, mirrors, run_as, timings, settings, of_mirrors)
        host_schedules(host, jobs, mirrors, run_as=run_as)  # else a wrong word would be found when something is due
    except LifeboatError as error:
        raise AnsibleFilterError(str(error)) from None  # Ansible would say the causes of causes again
    return {
        "config": found.document,
        "secrets": [{"path": each.path, "owner": each.owner, "value": each.value} for each in found.secrets],
        "users": list(found.users),
        "repository_users": {name: list(users) for name, users in found.repository_users.items()},
        "database_roles": database_roles(jobs, run_as),
    }


class FilterModule:
    """What Ansible asks for the filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"host_config": host_config}

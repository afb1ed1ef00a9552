# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.inventory_config import without_empty

DOCUMENTATION = r"""
name: named_entry
short_description: Find a job, a mirror or a repository of an inventory by its name
version_added: 1.0.0
description:
  - Takes a list such as C(lifeboat_jobs) and the name of one of its entries.
  - Keys that are empty are left out of what comes back, so that C(default) and C(omit) hold for them as for those that
    are not there. Surveys and templates of inventories often leave keys empty.
author:
  - Lifeboat maintainers (@lifeboat)
positional: _input, name
options:
  _input:
    description:
      - Entries that have a C(name) each.
    type: list
    elements: dict
    required: true
  name:
    description:
      - The name of the entry that is wanted.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show to which server a job connects, or that it does not say so
  ansible.builtin.debug:
    msg: "{{ (lifeboat_jobs | lifeboat.recovery.named_entry('appdb')).login_host | default('by its socket') }}"
"""

RETURN = r"""
_value:
  description: The entry without the keys whose values are null or an empty text.
  type: dict
  sample: {name: appdb, kind: pg_database, database: app}
"""


def named_entry(entries: t.Sequence[t.Mapping[str, t.Any]], name: str) -> dict[str, t.Any]:
    """Return the entry of that name without what is empty in it. Raises AnsibleFilterError when there is none."""
    for entry in entries:
        if entry.get("name") == name:
            return without_empty(entry)
    known = ", ".join(str(entry.get("name")) for entry in entries) or "nothing"
    raise AnsibleFilterError(f"Cannot find {name}: these names are known: {known}")


class FilterModule:
    """What Ansible asks for the filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"named_entry": named_entry}

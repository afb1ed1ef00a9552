# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock

DOCUMENTATION = r"""
name: utc_time
short_description: Write a time as text in UTC
version_added: 1.0.0
description:
  - Takes times as people give them to playbooks. Without quotes, a file of variables makes them times, which are no
    text any more; and they may be of another time zone.
  - The roles P(lifeboat.recovery.postgres_recovery#role) and P(lifeboat.recovery.bucket_recovery#role) read by it when
    a damage was done.
author:
  - Lifeboat maintainers (@lifeboat)
positional: _input
options:
  _input:
    description:
      - A time with its zone, as YAML has read it or as text.
    type: raw
    required: true
"""

EXAMPLES = r"""
- name: Show when it was in UTC
  ansible.builtin.debug:
    msg: "{{ '2026-11-20T10:30:00+02:00' | lifeboat.recovery.utc_time }}"
"""

RETURN = r"""
_value:
  description:
    - The time to the second. What is no time, or does not say its zone, comes back as the text that it was, so that it
      can be refused in words that name its variable.
  type: str
  sample: "2026-11-20T08:30:00Z"
"""


def utc_time(value: t.Any) -> str:
    """Return a time as `2026-11-20T08:30:00Z`, and anything else as text."""
    text = str(value)
    try:
        return f"{clock.to_text(clock.from_zoned_text(text))[:19]}Z"
    except ValueError:
        return text


class FilterModule:
    """What Ansible asks for the filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"utc_time": utc_time}

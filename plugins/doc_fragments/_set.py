# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This doc fragment is PRIVATE to the collection.

from __future__ import annotations


class ModuleDocFragment:
    # For modules that work on sets of jobs (the specification SET).
    DOCUMENTATION = r"""
options:
  job:
    description:
      - Name of a job of kind C(set) in the configuration of the host.
    type: str
    required: true
  config:
    description:
      - Path of the configuration of the host command on the host that the task runs on, which says what the jobs are.
        The role P(lifeboat.recovery.backup_agent#role) writes it from the inventory.
    type: path
    default: /etc/lifeboat/config.json
notes:
  - The jobs run as the users that the configuration names. Where these are several, the task needs to run as root.
"""

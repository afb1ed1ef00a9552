# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This doc fragment is PRIVATE to the collection.

from __future__ import annotations


class ModuleDocFragment:
    # For filters that are applied to the jobs of an inventory.
    DOCUMENTATION = r"""
options:
  _input:
    description:
      - The list C(lifeboat_jobs).
    type: list
    elements: dict
    required: true
  host:
    description:
      - Name of the host, which names of backup jobs begin with.
    type: str
    required: true
"""

    # For those that take mirrors as well, and tell who runs what.
    RUNS = r"""
options:
  mirrors:
    description:
      - The list C(lifeboat_mirrors).
    type: list
    elements: dict
    default: []
  run_as:
    description:
      - User who runs the jobs and mirrors that do not say it.
    type: str
    default: lifeboat
"""

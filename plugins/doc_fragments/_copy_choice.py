# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This doc fragment is PRIVATE to the collection.

from __future__ import annotations


class ModuleDocFragment:
    # For modules that choose backups to be copied (the specification COPY_CHOICE).
    DOCUMENTATION = r"""
options:
  tier:
    description:
      - Copies only one backup of each hour, day, week, month or year of O(timezone).
      - That is the one that the target has of this period already, else the newest proved one, else the newest one.
        So a task that runs every day brings one of each period.
    type: str
    choices: [hourly, daily, weekly, monthly, yearly]
  min_age:
    description:
      - Copies only backups that are so old, such as V(36h), V(7d) or V(8w).
    type: str
  max_age:
    description:
      - Copies only backups that are no older than this, such as V(36h), V(7d) or V(8w).
    type: str
  timezone:
    description:
      - Whose hours, days, weeks, months and years O(tier) and O(keep) mean, by its name in the IANA database.
    type: str
    default: UTC
  keep:
    description:
      - Which backups of the job stay in the target, as for M(lifeboat.recovery.backup_prune).
      - A backup that its next prune would remove again is not brought. Without it all that are asked for are.
    type: dict
    suboptions:
      last:
        description:
          - So many of the newest backups stay.
        type: int
      max_backups:
        description:
          - The same as O(keep.last).
        type: int
      within:
        description:
          - Backups stay that were made within this time before the newest proved one, such as V(36h), V(14d) or V(8w).
        type: str
      retention_days:
        description:
          - The same as O(keep.within), as a number of days.
        type: int
      hourly:
        description:
          - For so many hours that have backups, the newest one of each stays.
        type: int
      daily:
        description:
          - For so many days that have backups, the newest one of each stays.
        type: int
      weekly:
        description:
          - For so many weeks that have backups, the newest one of each stays. Weeks begin on Monday.
        type: int
      monthly:
        description:
          - For so many months that have backups, the newest one of each stays.
        type: int
      yearly:
        description:
          - For so many years that have backups, the newest one of each stays.
        type: int
      verified_min:
        description:
          - So many of the newest proved backups stay whatever the other rules say, at least one. V(2) if not set.
        type: int
"""

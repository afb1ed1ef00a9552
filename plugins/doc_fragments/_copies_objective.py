# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This doc fragment is PRIVATE to the collection.

from __future__ import annotations


class ModuleDocFragment:
    # For modules that judge how many copies there are (the specification COPIES).
    DOCUMENTATION = r"""
options:
  copies:
    description:
      - How many copies of the newest of the verified backups there are to be among O(repositories). What is missing is
        a problem.
      - A copy counts if it was found good at O(level), and nobody has touched its manifest.
    type: dict
    suboptions:
      total:
        description:
          - How many repositories are to have a good copy. The source itself is none.
        type: int
      media:
        description:
          - On how many different O(repositories[].media) these are to be.
        type: int
      offsite:
        description:
          - How many of them are to be in repositories with O(repositories[].offsite=true).
        type: int
"""

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This doc fragment is PRIVATE to the collection.

from __future__ import annotations


class ModuleDocFragment:
    # For modules that restore into a scratch server (the specification DRILL).
    DOCUMENTATION = r"""
options:
  scratch_dir:
    description:
      - Directory for what is fetched and for the scratch server. It needs room for the archive and the database.
      - By default it is the directory for temporary files.
    type: path
  scratch_user:
    description:
      - User of the host as whom the scratch server runs. Only root can choose another one than itself.
      - By default it is C(nobody) if the task runs as root, because PostgreSQL never runs as root, and the user of the
        task otherwise.
    type: str
  jobs:
    description:
      - How many connections load the scratch database at once, as the option C(--jobs) of C(pg_restore).
    type: int
    default: 1
"""

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What kinds of jobs are called, for those who only tell them apart: the jobs themselves bring along most of the
engine, which plugins of Ansible would load anew for each task."""

from __future__ import annotations

import typing as t

DATABASE = "pg_database"  # one database, or several of a server
MINIO = "minio"  # identities and settings of a server
SET = "set"  # jobs that belong together


def user_of_members(users: t.Sequence[str]) -> str:
    """Return who runs a set: the user of all members, who needs no more rights, or root, who can become several."""
    return users[0] if len(set(users)) == 1 else "root"

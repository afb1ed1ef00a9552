# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This doc fragment is PRIVATE to the collection.

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and predict what would be changed without changing anything.
  diff_mode:
    description: Returns what was changed, or would be changed in C(check_mode), when in diff mode.
  idempotent:
    description:
      - When run a second time in the same way, the task reports no change.
      - This assumes that nothing else changed in between.
"""

    # For modules that only read.
    INFO = r"""
options: {}
attributes:
  check_mode:
    support: full
    details:
      - This module changes nothing.
  diff_mode:
    support: N/A
    details:
      - This module changes nothing.
  idempotent:
    support: full
    details:
      - This module changes nothing.
"""

    # Add to each module that takes the options of the fragment _s3_connection.
    ACTIONGROUP_S3 = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/lifeboat.recovery.s3) in C(module_defaults) to set the connection once for all.
    support: full
    membership:
      - lifeboat.recovery.s3
"""

    # Add to each module that takes the options of the fragment _postgres_login.
    ACTIONGROUP_POSTGRES = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/lifeboat.recovery.postgres) in C(module_defaults) to set the login once for all.
    support: full
    membership:
      - lifeboat.recovery.postgres
"""

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This doc fragment is PRIVATE to the collection.

from __future__ import annotations

import textwrap

from ansible_collections.lifeboat.recovery.plugins.doc_fragments._s3_connection import (
    ModuleDocFragment as _Connection,
)

_PLACE = r"""
name:
  description:
    - What messages and results call this repository.
    - By default its O({option}[].path), or C(s3://bucket/prefix).
  type: str
path:
  description:
    - Directory that is the repository, on the host that the task runs on, such as a local disk or an NFS mount.
    - Exactly one of O({option}[].path) and O({option}[].bucket) is needed.
  type: path
bucket:
  description:
    - Bucket that holds the repository.
    - The options of the connection to its server stand beside it.
  type: str
prefix:
  description:
    - Under which prefix the repository lies in O({option}[].bucket).
  type: str
  default: ""
"""
_CONNECTION = _Connection.DOCUMENTATION.replace("\noptions:\n", "", 1)


def _suboptions(option: str) -> str:
    """Return the suboptions of one place that holds backups, indented as `suboptions` of an option."""
    place = _PLACE.replace("{option}", option).lstrip("\n")
    connection = textwrap.dedent(_CONNECTION).replace("O(", f"O({option}[].")
    return textwrap.indent(place + connection, " " * 6)


class ModuleDocFragment:
    # For modules that work on one repository (the specification REPOSITORY).
    DOCUMENTATION = r"""
options:
  repository:
    description:
      - The place that holds the backups.
    type: dict
    required: true
    suboptions:
""" + _suboptions("repository").replace("repository[].", "repository.")

    # For modules that work on several (the specification REPOSITORIES).
    SEVERAL = r"""
options:
  repositories:
    description:
      - The places that hold the backups, the most important one first.
    type: list
    elements: dict
    required: true
    suboptions:
""" + _suboptions("repositories").replace("repositories[].", "repositories.")

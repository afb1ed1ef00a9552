#!/usr/bin/python
# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_repository_info
short_description: Show a repository and the jobs in it
version_added: 1.0.0
description:
  - Says whether there is a repository at a place, who it is, and which jobs have how many backups in it.
  - A place without a repository, or a directory or bucket that is not there, is no error.
    A server that does not answer, or refuses the credentials, is one.
author:
  - Lifeboat maintainers (@lifeboat)
extends_documentation_fragment:
  - lifeboat.recovery._attributes
  - lifeboat.recovery._attributes.info
  - lifeboat.recovery._repository
seealso:
  - module: lifeboat.recovery.backup_repository
  - module: lifeboat.recovery.backup_info
    description: Shows the backups themselves, of several repositories at once.
"""

EXAMPLES = r"""
---
- name: Look at a repository in a bucket
  lifeboat.recovery.backup_repository_info:
    repository:
      bucket: backups
      endpoint_url: https://minio.example.com:9000
      access_key: reader
      secret_key: "{{ vault_reader_secret_key }}"
  register: site

- name: Name the jobs that have no backup that was proved
  ansible.builtin.debug:
    msg: "{{ site.jobs | selectattr('proved', 'equalto', 0) | map(attribute='job') }}"

- name: Look at a repository on a disk
  lifeboat.recovery.backup_repository_info:
    repository:
      path: /mnt/nas/lifeboat
  register: nas
  failed_when: not nas.found
"""

RETURN = r"""
repository:
  description: What messages call the repository.
  returned: success
  type: str
  sample: site
location:
  description: Where the repository is, or would be.
  returned: success
  type: str
  sample: s3://backups at https://minio.example.com:9000
found:
  description: Whether there is a repository.
  returned: success
  type: bool
  sample: true
identity:
  description: Who the repository is, V(null) without one.
  returned: success
  type: dict
  contains:
    id:
      description: UUID of the repository.
      type: str
      sample: 6f0f2f4e-6b0c-4d0e-9a55-0d1f6a3f7c11
    created:
      description: When it was made, by the clock of its server.
      type: str
      sample: "2026-11-20T02:00:00.000000Z"
    format:
      description: Version of the layout of the repository.
      type: int
      sample: 1
    conditional_writes:
      description: Whether the server never overwrites what is there when it is told so.
      type: bool
      sample: true
    signature_window_s:
      description: How old a request the server accepts, in seconds. It is V(0) for a directory.
      type: int
      sample: 900
jobs:
  description: One entry for each job that ever ran into this repository or was copied to it, ordered by name.
  returned: success
  type: list
  elements: dict
  contains:
    job:
      description: Name of the job.
      type: str
      sample: db1-shop
    kind:
      description: Kind of its newest backup, V(null) without one.
      type: str
      sample: pg_database
    backups:
      description: How many backups there are.
      type: int
      sample: 14
    proved:
      description: How many of them were read back, found good, and not touched since.
      type: int
      sample: 14
    failed:
      description: How many of them did not read back, or have a manifest that cannot be read.
      type: int
      sample: 0
    flagged:
      description: How many of them a guard doubts, without anybody having acknowledged them.
      type: int
      sample: 0
    stored_bytes:
      description: How much their data takes.
      type: int
      sample: 734003200
    latest:
      description: Id of the newest backup, V(null) without one.
      type: str
      sample: 20261120T020000Z-0a1b2c
    latest_good:
      description: Id of the newest backup that was proved and is not flagged, V(null) without one.
      type: str
      sample: 20261120T020000Z-0a1b2c
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge import run as bridge
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.arguments import REPOSITORY
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.places import place_from
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.listing import job_summaries
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import initialisation


def read(params: bridge.Params) -> dict[str, t.Any]:
    """Describe the repository and its jobs."""
    place = place_from(params["repository"])
    identity = initialisation.look(place.store)
    return {
        "repository": place.name,
        "location": place.store.name,
        "found": identity is not None,
        "identity": initialisation.described(identity) if identity else None,
        "jobs": job_summaries(place.store) if identity else [],
        "warnings": initialisation.weaknesses(identity) if identity else [],
    }


def main() -> t.NoReturn:
    module = AnsibleModule(argument_spec=dict(REPOSITORY), supports_check_mode=True)
    bridge.report(module, read)


if __name__ == "__main__":
    main()

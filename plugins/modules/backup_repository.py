#!/usr/bin/python
# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_repository
short_description: Make a repository for backups
version_added: 1.0.0
description:
  - Makes an empty directory, or an empty prefix of a bucket, a repository that backups can go to.
  - The server is tried out first, and what it can do is recorded with the new identity of the repository.
  - A repository that is there already is left as it is. Nothing but this module ever makes one, so a backup does not
    go to the wrong disk when a file system is not mounted.
  - A place that holds anything else is refused.
  - There is no way to delete a repository with this module.
author:
  - Lifeboat maintainers (@lifeboat)
extends_documentation_fragment:
  - lifeboat.recovery._attributes
  - lifeboat.recovery._repository
attributes:
  check_mode:
    support: full
    details:
      - A directory or bucket that is not there yet is a warning in check mode, because an earlier task may be about to
        make it. Otherwise it is a failure.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  state:
    description:
      - The repository shall be there.
    type: str
    choices: [present]
    default: present
  create_directory:
    description:
      - Whether the directory O(repository.path) is made, with mode C(0750), if it is missing and its parent is there.
      - It belongs to the user as whom the task runs. Backups of other users need a directory of their own.
      - Leave it at V(false) below a mount point. A repository would be made on the wrong disk if nothing is mounted.
    type: bool
    default: false
  repository_id:
    description:
      - The identity (a UUID) that the repository must have.
      - With it, no repository is made. The task fails if there is none, or another one.
    type: str
seealso:
  - module: lifeboat.recovery.backup_repository_info
  - module: lifeboat.recovery.minio_bucket
    description: Makes the bucket of a repository.
"""

EXAMPLES = r"""
---
- name: Make a repository on a local disk
  lifeboat.recovery.backup_repository:
    repository:
      path: /srv/backup/lifeboat
    create_directory: true

- name: Make a repository in a bucket
  lifeboat.recovery.backup_repository:
    repository:
      name: site
      bucket: backups
      prefix: databases
      endpoint_url: https://minio.example.com:9000
      access_key: writer
      secret_key: "{{ vault_writer_secret_key }}"
  register: site

- name: Fail unless the repository that was made once is the one that is mounted
  lifeboat.recovery.backup_repository:
    repository:
      path: /mnt/nas/lifeboat
    repository_id: 6f0f2f4e-6b0c-4d0e-9a55-0d1f6a3f7c11
"""

RETURN = r"""
repository:
  description: What messages call the repository.
  returned: success
  type: str
  sample: site
location:
  description: Where the repository is.
  returned: success
  type: str
  sample: s3://backups/databases at https://minio.example.com:9000
identity:
  description:
    - Who the repository is.
    - It is V(null) in check mode when the repository would be made.
  returned: success
  type: dict
  contains:
    id:
      description: UUID of the repository. It never changes.
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
      description:
        - Whether the server never overwrites what is there when it is told so.
        - Without, two runs of one job at the same moment could overwrite documents of each other. There is a warning.
      type: bool
      sample: true
    signature_window_s:
      description:
        - How old a request the server accepts, in seconds. It is V(0) for a directory.
        - Maintenance waits for that long before it takes over from a host that crashed.
      type: int
      sample: 900
"""

import dataclasses
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge import run as bridge
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.arguments import REPOSITORY
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.places import place_from
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import initialisation


@dataclasses.dataclass(frozen=True)
class NamedPlan:
    """The plan for a repository, and what the task calls that."""

    name: str
    planned: initialisation.InitialisationPlan

    @property
    def changed(self) -> bool:
        return self.planned.changed

    def diff(self) -> tuple[dict[str, t.Any], dict[str, t.Any]]:
        return self.planned.diff()

    def result(self) -> dict[str, t.Any]:
        return {"repository": self.name, **self.planned.result()}


def plan(params: bridge.Params) -> NamedPlan:
    """Look at the place."""
    place = place_from(params["repository"])
    directory = (params["repository"]["path"] or "") if params["create_directory"] else ""
    return NamedPlan(place.name, initialisation.plan(place.store, directory, params["repository_id"] or ""))


def main() -> t.NoReturn:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present"], "default": "present"},
            "create_directory": {"type": "bool", "default": False},
            "repository_id": {"type": "str"},
            **REPOSITORY,
        },
        supports_check_mode=True,
    )
    bridge.run(module, plan, lambda found: found.planned.apply())


if __name__ == "__main__":
    main()

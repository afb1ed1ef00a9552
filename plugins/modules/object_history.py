#!/usr/bin/python
# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: object_history
short_description: Show the states of one object or file over all backups
version_added: 1.0.0
description:
  - Looks for one key in all backups of a job, in all its repositories, and returns which states it had and where.
  - So one finds the last backup before an object was overwritten, encrypted or deleted.
  - If a connection to the server of the bucket is given, the versions that it has now are returned as well.
author:
  - Lifeboat maintainers (@lifeboat)
extends_documentation_fragment:
  - lifeboat.recovery._attributes
  - lifeboat.recovery._attributes.info
  - lifeboat.recovery._attributes.actiongroup_s3
  - lifeboat.recovery._s3_connection
  - lifeboat.recovery._repository.several
options:
  job:
    description:
      - Name of the backup job.
    type: str
    required: true
  bucket:
    description:
      - The bucket, for a job that backs buckets up.
      - Exactly one of O(bucket) and O(root) is needed.
    type: str
  root:
    description:
      - The folder, for a job that backs folders up, as its O(lifeboat.recovery.files_backup#module:roots) name it.
    type: path
  key:
    description:
      - Key of the object in O(bucket), or path of the file below O(root).
    type: str
    required: true
  live_versions:
    description:
      - Whether the versions that the server has now are returned too.
      - By default they are if O(endpoint_url) is set and there is an O(bucket).
    type: bool
  limit:
    description:
      - How many states and how many versions are returned, the newest ones. At most V(100).
    type: int
    default: 50
seealso:
  - module: lifeboat.recovery.bucket_restore
  - module: lifeboat.recovery.files_restore
notes:
  - Each backup costs two or three small reads. The newest one is looked into first, until O(limit) is reached.
  - What changed and changed back between two backups is not in the history. Versions of the bucket may have it.
"""

EXAMPLES = r"""
---
- name: Find out when the report was last good
  lifeboat.recovery.object_history:
    job: s3-documents
    bucket: documents
    key: reports/2026/annual.pdf
    endpoint_url: https://minio.example.com:9000
    access_key: backup-reader
    secret_key: "{{ vault_backup_reader_secret_key }}"
    repositories: &repositories
      - name: local
        path: /srv/backups
  register: history

- name: Bring the state before the last one back, beside the present one
  lifeboat.recovery.bucket_restore:
    job: s3-documents
    backup: "{{ history.states[1].backups[0] }}"
    buckets: [documents]
    key: reports/2026/annual.pdf
    conflicts: rename
    endpoint_url: https://minio.example.com:9000
    access_key: restorer
    secret_key: "{{ vault_restorer_secret_key }}"
    repositories: *repositories
  when: history.states | length > 1

- name: See which states of a configuration file there are
  lifeboat.recovery.object_history:
    job: web1-etc
    root: /etc
    key: nginx/nginx.conf
    repositories: *repositories
"""

RETURN = r"""
states:
  description:
    - The states that the key had, the newest first. Backups that follow each other and have the same are one state.
  returned: success
  type: list
  elements: dict
  contains:
    present:
      description: Whether there was such an object. If it was not, the other facts about it are V(null).
      type: bool
      sample: true
    size:
      description: Its size in bytes, or V(null).
      type: int
      sample: 48211
    sha256:
      description: SHA-256 of its content, or V(null). Empty for what has no content of its own, such as links.
      type: str
      sample: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    modified:
      description: When it was written, by the clock of its server or as its file system said, or V(null).
      type: str
      sample: "2026-11-19T22:14:03.120000Z"
    version_id:
      description: Id of the version that was backed up, or V(null). Empty where there are no versions.
      type: str
      sample: 0f9d6f0a-5c2e-4a0c-9c59-6d0b8a1b8f7e
    first_seen:
      description: When the oldest backup that has this state began.
      type: str
      sample: "2026-11-20T02:00:00.000000Z"
    last_seen:
      description: When the newest backup that has this state began.
      type: str
      sample: "2026-11-21T02:00:00.000000Z"
    first_backup:
      description: Id of the oldest backup that has this state.
      type: str
      sample: 20261120T020000Z-0a1b2c
    backups:
      description: Ids of the newest backups that have this state, at most five.
      type: list
      elements: str
      sample: [20261121T020000Z-4d5e6f, 20261120T020000Z-0a1b2c]
    backup_count:
      description: How many backups have this state.
      type: int
      sample: 2
complete:
  description: Whether these are all states. If not, there are older ones.
  returned: success
  type: bool
  sample: true
backup_count:
  description: How many backups were looked into.
  returned: success
  type: int
  sample: 31
versions:
  description: What the server has under the key now, the newest first.
  returned: if O(live_versions) is set, or is not set and O(endpoint_url) and O(bucket) are
  type: list
  elements: dict
  contains:
    version_id:
      description: Id of the version, V(null) for one from before there were versions.
      type: str
      sample: 0f9d6f0a-5c2e-4a0c-9c59-6d0b8a1b8f7e
    latest:
      description: Whether it is the current one.
      type: bool
      sample: true
    delete_marker:
      description: Whether it says that the object was deleted.
      type: bool
      sample: false
    size:
      description: Its size in bytes.
      type: int
      sample: 48211
    etag:
      description: Its ETag.
      type: str
      sample: 098f6bcd4621d373cade4e832627b4f6
    modified:
      description: When it was written, as the server says.
      type: str
      sample: "2026-11-19T22:14:03.120000Z"
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge import run as bridge
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.arguments import REPOSITORIES
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.places import places_from
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.s3_client import client_from
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.s3_options import (
    S3_CONNECTION,
    S3_CONNECTION_RULES,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import objects_history
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.layout import checked_job


def read(params: bridge.Params) -> bridge.Result:
    """Return the states of the key, and the versions that are there now."""
    places = places_from(params["repositories"])
    collection = params["bucket"] or params["root"]
    question = objects_history.Question(checked_job(params["job"]), collection, params["key"], places, params["limit"])
    found = objects_history.history(question)
    answer: dict[str, t.Any] = {
        "states": list(found.states),
        "complete": found.is_complete,
        "backup_count": found.backups,
        "warnings": list(found.problems[:10]),
    }
    wants_versions = params["live_versions"]
    if wants_versions is None:
        wants_versions = bool(params["endpoint_url"] and params["bucket"])
    if wants_versions:
        client = client_from(params)
        answer["versions"] = objects_history.live_versions(client, collection, params["key"], params["limit"])
    return answer


def main() -> t.NoReturn:
    module = AnsibleModule(
        argument_spec={
            "job": {"type": "str", "required": True},
            "bucket": {"type": "str"},
            "root": {"type": "path"},
            "key": {"type": "str", "required": True, "no_log": False},
            "live_versions": {"type": "bool"},
            "limit": {"type": "int", "default": 50},
            **REPOSITORIES,
            **S3_CONNECTION,
        },
        mutually_exclusive=[["bucket", "root"], ["root", "live_versions"]],
        required_one_of=[["bucket", "root"]],
        supports_check_mode=True,
        **S3_CONNECTION_RULES,
    )
    bridge.report(module, read)


if __name__ == "__main__":
    main()

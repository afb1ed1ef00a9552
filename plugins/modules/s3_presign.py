#!/usr/bin/python
# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: s3_presign
short_description: Make a URL with which anybody may get or put one object for a while
version_added: 1.0.0
description:
  - Signs a URL that gets or puts one object of a bucket, without credentials, until it expires.
  - It can also be that of a stored file of a backup, to bring it to a host that has neither Lifeboat nor credentials.
  - The URL is a secret. Whoever has it can use it, so set C(no_log=true) on the task and on those that use the result.
author:
  - Lifeboat maintainers (@lifeboat)
extends_documentation_fragment:
  - lifeboat.recovery._attributes
  - lifeboat.recovery._attributes.info
  - lifeboat.recovery._attributes.actiongroup_s3
  - lifeboat.recovery._s3_connection
options:
  bucket:
    description:
      - The bucket.
    type: str
    required: true
  key:
    description:
      - Key of the object. It need not be there.
      - Exactly one of O(key) and O(file) is needed.
    type: str
  method:
    description:
      - Whether the URL gets the object or puts it.
      - One that puts overwrites what is there. Of stored files of backups there is none.
    type: str
    choices: [get, put]
    default: get
  expires_s:
    description:
      - For how many seconds the URL is valid, at most V(604800), which is seven days.
      - It ends earlier if the credentials that sign it are temporary and expire, or are revoked.
    type: int
    default: 3600
  prefix:
    description:
      - Under which prefix the repository lies in O(bucket). It belongs to O(file).
    type: str
    default: ""
  job:
    description:
      - Name of the backup job that wrote O(file).
    type: str
  backup:
    description:
      - The backup that O(file) belongs to. An id, V(latest) or V(latest_good).
    type: str
    default: latest_good
  file:
    description:
      - Name of a stored file, such as V(database.dump.zst) or V(pack-0000.tar.zst).
    type: str
seealso:
  - module: lifeboat.recovery.backup_info
notes:
  - Nothing is sent to the server for an O(key). That the signer may do it shows only when the URL is used.
  - The expiry counts from the clock of the host that the task runs on, which must agree with that of the server.
"""

EXAMPLES = r"""
---
- name: Let a partner fetch a report until tomorrow
  lifeboat.recovery.s3_presign:
    endpoint_url: https://minio.example.com:9000
    access_key: reader
    secret_key: "{{ vault_reader_secret_key }}"
    bucket: documents
    key: reports/2026/annual.pdf
    expires_s: 86400
  register: report
  no_log: true

- name: Let a device put its log
  lifeboat.recovery.s3_presign:
    endpoint_url: https://minio.example.com:9000
    access_key: writer
    secret_key: "{{ vault_writer_secret_key }}"
    bucket: logs
    key: device-17.log
    method: put
    expires_s: 600
  register: log
  no_log: true

- name: Fetch the newest good dump on a host without credentials
  lifeboat.recovery.s3_presign:
    endpoint_url: https://minio.example.com:9000
    access_key: backup-reader
    secret_key: "{{ vault_backup_reader_secret_key }}"
    bucket: backups
    prefix: databases
    job: db1-lab
    file: database.dump.zst
  register: dump
  no_log: true
"""

RETURN = r"""
url:
  description: The URL. It is a secret until it expires.
  returned: success
  type: str
  sample: https://minio.example.com:9000/documents/reports/2026/annual.pdf?X-Amz-Algorithm=AWS4-HMAC-SHA256&…
method:
  description: The method of HTTP that the URL is signed for.
  returned: success
  type: str
  sample: GET
bucket:
  description: The bucket.
  returned: success
  type: str
  sample: documents
key:
  description: The whole key of the object.
  returned: success
  type: str
  sample: reports/2026/annual.pdf
encrypted:
  description:
    - Whether it is a stored file that Lifeboat has encrypted.
    - Whoever gets it by the URL cannot read it without a key of the keyring.
  returned: success
  type: bool
  sample: false
expires:
  description: When the URL expires.
  returned: success
  type: str
  sample: "2026-11-20T03:00:00.000000Z"
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge import run as bridge
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.s3_client import client_from
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.s3_options import (
    S3_CONNECTION,
    S3_CONNECTION_RULES,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import UsageError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.presigned import (
    is_encrypted,
    presigned,
    stored_file,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.bucket import BucketStore


def read(params: bridge.Params) -> bridge.Result:
    """Return the URL."""
    client = client_from(params)
    bucket, key = params["bucket"], params["key"]
    if params["file"] is not None:
        if params["method"] == "put":
            raise UsageError(
                "Cannot sign a URL that puts a stored file", "stored files of backups never change", "use method get"
            )
        store = BucketStore(client, bucket, params["prefix"])
        bucket, key = stored_file(store, params["job"], params["backup"], params["file"])
    made = presigned(client, params["method"], bucket, key, params["expires_s"])
    return {
        "url": made.url,
        "method": params["method"].upper(),
        "bucket": made.bucket,
        "key": made.key,
        "encrypted": params["file"] is not None and is_encrypted(params["file"]),
        "expires": clock.to_text(made.expires),
    }


def main() -> t.NoReturn:
    module = AnsibleModule(
        argument_spec={
            "bucket": {"type": "str", "required": True},
            "key": {"type": "str", "no_log": False},
            "method": {"type": "str", "choices": ["get", "put"], "default": "get"},
            "expires_s": {"type": "int", "default": 3600},
            "prefix": {"type": "str", "default": ""},
            "job": {"type": "str"},
            "backup": {"type": "str", "default": "latest_good"},
            "file": {"type": "str"},
            **S3_CONNECTION,
        },
        mutually_exclusive=[["key", "file"]],
        required_one_of=[["key", "file"]],
        required_by={"file": ["job"]},
        supports_check_mode=True,
        **S3_CONNECTION_RULES,
    )
    bridge.report(module, read)


if __name__ == "__main__":
    main()

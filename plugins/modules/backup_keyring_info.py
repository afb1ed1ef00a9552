#!/usr/bin/python
# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_keyring_info
short_description: Show the keyring of repositories, and for whom it is
version_added: 1.0.0
description:
  - Says which keyring repositories have, which epochs, for which secrets and recovery keys they are encrypted, and what
    each repository has of that. No secret is needed, and none is shown.
  - Nothing is opened, so it is what stands there that is shown. Whether it is authentic, and whether a secret really
    opens it, is found out by M(lifeboat.recovery.backup_keyring) in check mode.
author:
  - Lifeboat maintainers (@lifeboat)
extends_documentation_fragment:
  - lifeboat.recovery._attributes
  - lifeboat.recovery._attributes.info
  - lifeboat.recovery._repository.several
requirements:
  - cryptography
seealso:
  - module: lifeboat.recovery.backup_keyring
  - module: lifeboat.recovery.backup_recovery_key
"""

EXAMPLES = r"""
---
- name: Look at the keyring of two repositories
  lifeboat.recovery.backup_keyring_info:
    repositories:
      - name: local
        path: /srv/backup/lifeboat
      - name: site
        bucket: backups
        endpoint_url: https://minio.example.com:9000
        access_key: reader
        secret_key: "{{ vault_reader_secret_key }}"
  register: found

- name: Check that backups can be opened without the secret, everywhere
  ansible.builtin.assert:
    that:
      - found.keyring.epochs | selectattr('recovery_key', 'none') | length == 0
      - found.repositories | rejectattr('rescue', 'equalto', 'current') | length == 0
"""

RETURN = r"""
keyring:
  description: The keyring, V(null) where there is none.
  returned: success
  type: dict
  contains:
    id:
      description: UUID of the keyring.
      type: str
      sample: 0d7f5f0e-5c3c-4a66-b8f0-2c1ff4d8a9ce
    fingerprint:
      description: What people compare keyrings by. It never changes.
      type: str
      sample: 5f3a-91c0-77de-0b4e-aa12-6c39-d5f8-4471
    epochs:
      description: The epochs, oldest first. Of several documents of one the newest is shown.
      type: list
      elements: dict
      contains:
        name:
          description: Name of the epoch.
          type: str
          sample: "0001"
        created:
          description: When it was made.
          type: str
          sample: "2026-11-20T02:00:00.000000Z"
        revision:
          description: Grows with each change of who can open it.
          type: int
          sample: 1
        secrets:
          description: The secrets of the organisation that open it, by marks that differ from epoch to epoch.
          type: list
          elements: dict
          contains:
            mark:
              description: Tells the secret from others, without showing it.
              type: str
              sample: 0f1e2d3c4b5a6978
            is_of_passphrase:
              description: Whether the secret was made of a passphrase.
              type: bool
              sample: false
        recovery_key:
          description: Fingerprint of the recovery key that opens it, V(null) without one.
          type: str
          sample: 3b1c5a6c3b1f4d5e8b8f0d6c0f2b6a1e4c9d7e5f6a7b8c9d0e1f2a3b4c5d6e7f
        is_single:
          description: Whether it may do without a recovery key.
          type: bool
          sample: false
recovery_keys:
  description: The recovery keys, oldest first. The code of one opens the epochs that have its fingerprint.
  returned: success
  type: list
  elements: dict
  contains:
    number:
      description: Its number.
      type: int
      sample: 1
    fingerprint:
      description: SHA-256 of its public half.
      type: str
      sample: 3b1c5a6c3b1f4d5e8b8f0d6c0f2b6a1e4c9d7e5f6a7b8c9d0e1f2a3b4c5d6e7f
    created:
      description: When it was made.
      type: str
      sample: "2026-11-20T02:05:00.000000Z"
    host:
      description: On which host its code was written.
      type: str
      sample: control.example.com
    has_verification:
      description: Whether there is a document which says that its code was verified.
      type: bool
      sample: true
repositories:
  description: What each repository has of it, in the order of the option.
  returned: success
  type: list
  elements: dict
  contains:
    repository:
      description: Name of the repository.
      type: str
      sample: site
    epochs:
      description: The epochs whose keys it has, and that can be read.
      type: list
      elements: str
      sample: ["0001"]
    recovery_keys:
      description: The numbers of the recovery keys that it has.
      type: list
      elements: int
      sample: [1]
    rescue:
      description:
        - Whether C(RESCUE/) has what opens backups without Lifeboat. V(missing), or V(older) where it is of another
          version of Lifeboat. M(lifeboat.recovery.backup_keyring) brings it.
      type: str
      sample: current
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge import keyring_jobs
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge import run as bridge
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.arguments import REPOSITORIES
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import (
    keyring,
    keyring_changes,
    layout,
    rescue_files,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.epoch_document import EpochDocument
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.keyring_changes import Held


def read(params: bridge.Params) -> bridge.Result:
    """Describe the keyring without opening it."""
    kept = keyring_jobs.kept(params["repositories"])
    documents = [document for held in kept.held for document in held.documents.values()]
    shown = None
    if documents:
        newest = {each.epoch: each for each in sorted(documents, key=lambda each: each.revision)}
        shown = {
            "id": documents[0].keyring,
            "fingerprint": keyring.fingerprint(documents),
            "epochs": [_epoch(newest[name]) for name in sorted(newest)],
        }
    wanted = rescue_files.files()
    rows = [_repository(place.name, held, wanted) for place, held in zip(kept.places, kept.held)]
    return {"keyring": shown, "recovery_keys": _recovery_keys(kept.held), "repositories": rows}


def _epoch(document: EpochDocument) -> dict[str, t.Any]:
    return {
        "name": document.epoch,
        "created": clock.to_text(document.created),
        "revision": document.revision,
        "secrets": [{"mark": each.name, "is_of_passphrase": each.stretching is not None} for each in document.secrets],
        "recovery_key": document.recovery.key if document.recovery else None,
        "is_single": document.is_single,
    }


def _recovery_keys(held: t.Sequence[Held]) -> list[dict[str, t.Any]]:
    found = {number: key for each in held for number, key in each.recovery.items()}
    marks = {number: layout.recovery_key(number, keyring_changes.VERIFIED) for number in found}
    return [
        {
            "number": number,
            "fingerprint": found[number].fingerprint,
            "created": clock.to_text(found[number].created),
            "host": found[number].host,
            "has_verification": any(marks[number] in each.files for each in held),
        }
        for number in sorted(found)
    ]


def _repository(name: str, held: Held, wanted: t.Mapping[str, bytes]) -> dict[str, t.Any]:
    has = [held.files.get(key, (b"", ""))[0] for key in wanted]
    rescue = "missing" if not all(has) else "current" if has == list(wanted.values()) else "older"
    return {
        "repository": name,
        "epochs": sorted(held.documents),
        "recovery_keys": sorted(held.recovery),
        "rescue": rescue,
    }


def main() -> t.NoReturn:
    module = AnsibleModule(argument_spec={**REPOSITORIES}, supports_check_mode=True)
    bridge.report(module, read)


if __name__ == "__main__":
    main()

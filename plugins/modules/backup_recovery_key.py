#!/usr/bin/python
# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_recovery_key
short_description: Make the recovery key of a keyring, and verify its code
version_added: 1.0.0
description:
  - Makes a recovery key for a keyring of M(lifeboat.recovery.backup_keyring). Whoever has its code and the files of a
    repository can restore every backup in it, without the secret of the organisation and without Lifeboat.
  - The code is written once, into a file of the host that the task runs on. It is in no result, and nowhere else.
    Print it, and verify it from the paper.
  - With O(state=verified), the code is tried. It must open the recovery key, and a canary that was encrypted for it.
    Only then are the keys of the keyring encrypted for the recovery key as well, and runs may write.
  - The encrypted key, a decryptor that stands alone, and a page that explains it go into C(RESCUE/) of repositories.
  - A task that was interrupted is finished by running it again.
author:
  - Lifeboat maintainers (@lifeboat)
extends_documentation_fragment:
  - lifeboat.recovery._attributes
  - lifeboat.recovery._repository.several
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - The difference is which files are missing or older in which repository, never what is in them.
  idempotent:
    support: full
requirements:
  - cryptography
options:
  state:
    description:
      - V(present) makes a recovery key if there is none, and writes its code into O(code_file).
      - V(verified) tries the code. The second time it changes nothing, and proves that the code is still the right one.
    type: str
    choices: [present, verified]
    default: present
  secret_file:
    description:
      - File with the secret of the organisation. Only its owner may read it.
      - One of O(secret_file) and O(secret) is needed, but for O(state=verified) of a code that was verified before.
    type: path
  secret:
    description:
      - The secret itself, such as from a vault.
    type: str
  code_file:
    description:
      - With O(state=present), the file that the code is written into, with mode C(0600). There must be none of this
        name when a recovery key is made.
      - With O(state=verified), a file with the code, which only its owner may read.
    type: path
  code:
    description:
      - With O(state=verified), the code itself, as somebody typed it from the paper.
    type: str
  confirm:
    description:
      - The fingerprint of the keyring, which is needed when a recovery key is made. Whoever has the code has
        everything, so say of what.
      - M(lifeboat.recovery.backup_keyring) returns it.
    type: str
  replaces:
    description:
      - Number of the recovery key that a new one shall replace, because its code is lost or somebody else has seen it.
      - Files of earlier versions in the repository can still be opened with the old code.
    type: int
    default: 0
seealso:
  - module: lifeboat.recovery.backup_keyring
"""

EXAMPLES = r"""
---
- name: Make a recovery key, and write its code on the controller
  lifeboat.recovery.backup_recovery_key:
    secret: "{{ vault_lifeboat_secret }}"
    code_file: /root/lifeboat-recovery-code
    confirm: "{{ made.keyring.fingerprint }}"
    repositories: &repositories
      - name: local
        path: /srv/backup/lifeboat
      - name: site
        bucket: backups
        endpoint_url: https://minio.example.com:9000
        access_key: keys
        secret_key: "{{ vault_keys_secret_key }}"

- name: Verify the code that somebody typed from the paper
  lifeboat.recovery.backup_recovery_key:
    state: verified
    secret: "{{ vault_lifeboat_secret }}"
    code: "{{ typed_code }}"
    repositories: *repositories

- name: Make another one, because the paper of the first is lost
  lifeboat.recovery.backup_recovery_key:
    secret: "{{ vault_lifeboat_secret }}"
    code_file: /root/lifeboat-recovery-code-2
    confirm: 5f3a-91c0-77de-0b4e-aa12-6c39-d5f8-4471
    replaces: 1
    repositories: *repositories
"""

RETURN = r"""
keyring:
  description: The keyring.
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
    is_ready:
      description: Whether runs may write, because each key has a second recipient or may do without.
      type: bool
      sample: true
    epochs:
      description: The epochs, oldest first.
      type: list
      elements: dict
      contains:
        name:
          description: Name of the epoch.
          type: str
          sample: "0001"
        created:
          description: When it was made, by the clock of the first repository.
          type: str
          sample: "2026-11-20T02:00:00.000000Z"
        secrets:
          description: How many secrets open it.
          type: int
          sample: 1
        has_recovery_key:
          description: Whether the recovery key opens it.
          type: bool
          sample: true
recovery_key:
  description:
    - The newest recovery key as it is after the task.
    - In check mode, the one that is there, V(null) without one.
  returned: success
  type: dict
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
    is_final:
      description: Whether its code was verified, and every epoch is encrypted for it.
      type: bool
      sample: true
exported:
  description: Whether the code was (in check mode, would be) written into O(code_file).
  returned: success
  type: bool
  sample: true
written:
  description: Which files are (in check mode, would be) written, by the name of the repository.
  returned: success
  type: dict
  sample: {local: [RESCUE/recovery_key-1.json, RESCUE/recovery_key-1.pem]}
"""

import dataclasses
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge import keyring_jobs
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge import run as bridge
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.arguments import REPOSITORIES
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import GuardRefusal, UsageError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.secret_file import read_private
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import (
    keyring_changes,
    recovery_changes,
    recovery_code,
    rescue_files,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.keyring import Access


@dataclasses.dataclass(frozen=True)
class Planned:
    """What is to be written; a recovery key that is to be made is not in it yet."""

    kept: keyring_jobs.Kept
    ring: keyring_changes.Ring  # as it is
    accesses: tuple[Access, ...] = dataclasses.field(repr=False)
    writes: tuple[keyring_changes.Write, ...]
    code_file: str  # that a code is to be written into; empty: no recovery key is to be made

    @property
    def changed(self) -> bool:
        return bool(self.writes or self.code_file)

    @property
    def shown(self) -> tuple[keyring_changes.Write, ...]:
        """Return what is written, with files whose content is not made yet."""
        if not self.code_file:
            return self.writes
        return recovery_changes.expected(self.ring, self.writes)

    def diff(self) -> tuple[bridge.Result, bridge.Result]:
        return keyring_jobs.difference(self.kept, self.shown)

    def result(self) -> bridge.Result:
        written = self.kept.names_of(self.shown)
        return {**keyring_jobs.answer(self.ring), "exported": bool(self.code_file), "written": written}


def plan(params: bridge.Params) -> Planned:
    """Open the keyring, and look what it lacks."""
    kept = keyring_jobs.kept(params["repositories"])
    secret = keyring_jobs.secret_from(params)
    code = _code(params) if params["state"] == "verified" else ""
    accesses = (Access(secret) if secret else Access(code=code),)
    ring = keyring_changes.opened(kept.held, accesses)
    if ring is None:
        remedy = "make one with the module backup_keyring"
        raise GuardRefusal("keyring", "Cannot make a recovery key", "there is no keyring in the repositories", remedy)
    if params["state"] == "verified":
        return Planned(kept, ring, accesses, recovery_changes.verification(ring, code, kept.stores[0].now()), "")
    is_due = recovery_changes.is_due(ring, params["replaces"])
    if is_due:
        _require_export(params, ring)
    writes = keyring_changes.writes(ring, rescue_files.files())
    return Planned(kept, ring, accesses, writes, params["code_file"] if is_due else "")


def _code(params: bridge.Params) -> str:
    if params["code"]:
        return recovery_code.parsed(params["code"])
    return recovery_code.on_sheet(read_private(params["code_file"]))


def _require_export(params: bridge.Params, ring: keyring_changes.Ring) -> None:
    if not params["code_file"]:
        raise UsageError("Cannot make a recovery key", "nobody would have its code", "give code_file")
    if params["confirm"] != ring.fingerprint:
        raise GuardRefusal(
            "confirm",
            f"Cannot make a recovery key for keyring {ring.id}",
            f"confirm is {params['confirm'] or 'not set'}",
            f"if this is the right keyring, set confirm to its fingerprint {ring.fingerprint}",
        )
    recovery_changes.require_exportable(ring, params["code_file"])


def apply(planned: Planned) -> bridge.Result:
    """Write the code first, then what is missing; answer with what is there afterwards."""
    writes = planned.writes
    if planned.code_file:
        made = recovery_changes.export(planned.ring, planned.kept.stores[0].now(), planned.code_file)
        writes = keyring_changes.writes(made, rescue_files.files())
    for each in writes:
        keyring_changes.write(each)
    return keyring_jobs.answer(keyring_changes.opened(keyring_changes.look(planned.kept.stores), planned.accesses))


def main() -> t.NoReturn:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "verified"], "default": "present"},
            **keyring_jobs.SECRET,
            "code_file": {"type": "path"},
            "code": {"type": "str", "no_log": True},
            "confirm": {"type": "str"},
            "replaces": {"type": "int", "default": 0},
            **REPOSITORIES,
        },
        mutually_exclusive=[["secret", "secret_file"], ["code", "code_file"]],
        required_if=[
            ("state", "present", ["secret", "secret_file"], True),
            ("state", "verified", ["code", "code_file"], True),
        ],
        supports_check_mode=True,
    )
    bridge.run(module, plan, apply)


if __name__ == "__main__":
    main()

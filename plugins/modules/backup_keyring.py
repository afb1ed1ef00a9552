#!/usr/bin/python
# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_keyring
short_description: Make the keyring that backups are encrypted with
version_added: 1.0.0
description:
  - Makes a keyring in repositories. From then on, backups in them are encrypted. Runs without the secret are refused.
  - A keyring has a key for each epoch. They lie in the repositories, encrypted under the secret of the organisation,
    and for the recovery key that M(lifeboat.recovery.backup_recovery_key) makes. The secret itself is stored nowhere.
  - Adds epochs, and encrypts the keys under another secret. No backup is written anew for that.
  - All repositories of the list have the same keyring afterwards. One that lacks keys gets them.
    A repository with another keyring is refused.
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
      - The keyring shall be there. It cannot be removed, because backups would be lost with it.
    type: str
    choices: [present]
    default: present
  secret_file:
    description:
      - File with the secret of the organisation. Only its owner may read it.
      - It holds 32 or more random bytes as base64 or hexadecimal digits, such as C(openssl rand -base64 32) writes.
      - Exactly one of O(secret_file) and O(secret) is needed.
    type: path
  secret:
    description:
      - The secret itself, such as from a vault.
    type: str
  passphrase:
    description:
      - A passphrase of 15 or more characters, of which O(secret_file) is made if it is not there yet.
      - This is done slowly (scrypt, 128 MiB of memory) and once. Runs use the file, and the passphrase nowhere else.
      - The same passphrase makes the same file again for a keyring that is there.
    type: str
  previous:
    description:
      - What opens the keyring now, if the secret does not. Its keys are encrypted under the new secret then.
      - Backups go on with the old secret until each key is written anew. Keep it until all hosts have the new one.
      - Older versions of the files remain in buckets that keep versions. The old secret opens those.
    type: dict
    suboptions:
      secret_file:
        description:
          - File with the old secret.
        type: path
      secret:
        description:
          - The old secret itself.
        type: str
      recovery_code_file:
        description:
          - File with the recovery code, when the old secret is lost.
        type: path
      recovery_key_file:
        description:
          - File with the encrypted recovery key. By default it is taken from the repository.
        type: path
  keep_previous:
    description:
      - Whether the old secret of O(previous) opens the keyring as well, until this is V(false) in another run.
      - So hosts get the new secret one by one while all of them back up.
    type: bool
    default: false
  epoch_created_after:
    description:
      - An epoch that was made at or after this time is wanted, such as V(2027-01-01T00:00:00Z). Else one is added.
      - What is written from then on is encrypted with its key. Older keys stay, for older backups.
    type: str
  epoch_max_age_days:
    description:
      - The newest epoch shall not be older than this many days. Else one is added.
    type: int
  allow_single_recipient:
    description:
      - Whether backups are made although there is no verified recovery key. They are lost with the secret then.
      - It is recorded in each epoch that this task makes.
    type: bool
    default: false
seealso:
  - module: lifeboat.recovery.backup_keyring_info
  - module: lifeboat.recovery.backup_recovery_key
"""

EXAMPLES = r"""
---
- name: Encrypt the backups in two repositories
  lifeboat.recovery.backup_keyring:
    secret: "{{ vault_lifeboat_secret }}"
    repositories: &repositories
      - name: local
        path: /srv/backup/lifeboat
      - name: site
        bucket: backups
        endpoint_url: https://minio.example.com:9000
        access_key: keys
        secret_key: "{{ vault_keys_secret_key }}"
  register: made

- name: Use a new key every year
  lifeboat.recovery.backup_keyring:
    secret: "{{ vault_lifeboat_secret }}"
    epoch_max_age_days: 365
    repositories: *repositories

- name: Change the secret, and let the old one open the keys until all hosts have the new one
  lifeboat.recovery.backup_keyring:
    secret: "{{ vault_lifeboat_secret }}"
    previous:
      secret: "{{ vault_lifeboat_old_secret }}"
    keep_previous: true
    repositories: *repositories

- name: Make a new secret with the recovery code, because the old one is lost
  lifeboat.recovery.backup_keyring:
    secret_file: /root/new-secret
    previous:
      recovery_code_file: /root/code-from-the-safe
    repositories: *repositories
"""

RETURN = r"""
keyring:
  description: The keyring. It is V(null) in check mode when it would be made.
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
  description: The newest recovery key, V(null) without one.
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
written:
  description: Which files are (in check mode, would be) written, by the name of the repository.
  returned: success
  type: dict
  sample: {local: [keys/0001.json, RESCUE/README.txt, RESCUE/rescue.py]}
"""

import dataclasses
import datetime as dt
import os
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge import keyring_jobs
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge import run as bridge
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.arguments import KEYRING, REPOSITORIES
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.keyring_options import access_from
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import UsageError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import (
    keyring_changes,
    organisation_secret,
    rescue_files,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.epoch_document import Recipients
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.keyring import Access
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.organisation_secret import Secret


@dataclasses.dataclass(frozen=True)
class Planned:
    """A keyring as it is to be, and what is to be written for that."""

    kept: keyring_jobs.Kept
    ring: keyring_changes.Ring
    is_new: bool
    is_preview: bool
    writes: tuple[keyring_changes.Write, ...]
    secret: Secret = dataclasses.field(repr=False)
    secret_file: str  # to be written; empty: it is there

    @property
    def changed(self) -> bool:
        return bool(self.writes or self.secret_file)

    def diff(self) -> tuple[bridge.Result, bridge.Result]:
        return keyring_jobs.difference(self.kept, self.writes)

    def result(self) -> bridge.Result:
        answer = keyring_jobs.answer(None if self.is_new and self.is_preview else self.ring)
        ready = all(document.is_single or document.recovery for document, _opened in self.ring.epochs.values())
        warning = "Runs are refused until there is a recovery key: make and verify one with backup_recovery_key."
        return {**answer, "written": self.kept.names_of(self.writes), "warnings": [] if ready else [warning]}


def plan(params: bridge.Params, is_preview: bool) -> Planned:
    """Compare the keyring in all repositories with what is wanted."""
    kept = keyring_jobs.kept(params["repositories"])
    now = kept.stores[0].now()
    secret, to_write = _secret(params, kept)
    previous = access_from(params["previous"]) if params["previous"] else None
    accesses = [Access(secret), *([previous] if previous else [])]
    found = keyring_changes.opened(kept.held, accesses)
    also = (previous.secret,) if previous and previous.secret and params["keep_previous"] else ()
    if found is None:
        ring = keyring_changes.begun(kept.held, now, params["allow_single_recipient"], (secret, *also))
    else:
        recipients = Recipients((secret, *also) if previous else None, keyring_changes.recipient(found.verified()))
        ring = keyring_changes.for_recipients(found, recipients)
        if _is_outdated(params, max(document.created for document, _opened in ring.epochs.values()), now):
            ring = keyring_changes.with_new_epoch(ring, now, (secret, *also), params["allow_single_recipient"])
    writes = keyring_changes.writes(ring, rescue_files.files())
    return Planned(kept, ring, found is None, is_preview, writes, secret, to_write)


def _secret(params: bridge.Params, kept: keyring_jobs.Kept) -> tuple[Secret, str]:
    """Return the secret, and the file that it is to be written to; an empty name if it is there."""
    path = params["secret_file"] or ""
    if params["passphrase"] and not os.path.lexists(path):
        stretching = keyring_jobs.stretching_of(kept.held)
        return organisation_secret.from_passphrase(params["passphrase"], stretching), path
    secret = keyring_jobs.secret_from(params)
    if secret is None:
        raise UsageError("Cannot use the keyring", "no secret is given", "give secret_file or secret")
    return secret, ""


def _is_outdated(params: bridge.Params, newest: dt.datetime, now: dt.datetime) -> bool:
    oldest = []
    if params["epoch_created_after"]:
        try:
            oldest.append(clock.from_text(params["epoch_created_after"]))
        except ValueError as error:
            problem = f"Cannot use epoch_created_after {params['epoch_created_after']!r}"
            raise UsageError(problem, "this is no time in UTC", "write it as 2027-01-01T00:00:00Z") from error
    if params["epoch_max_age_days"] is not None:
        if params["epoch_max_age_days"] < 1:
            raise UsageError("Cannot use epoch_max_age_days", "it is not positive", "set it to 1 or more")
        oldest.append(now - dt.timedelta(days=params["epoch_max_age_days"]))
    if oldest and max(oldest) > now:
        raise UsageError("Cannot add an epoch of the future", "epoch_created_after is not over yet", "wait until then")
    return bool(oldest) and newest < max(oldest)


def apply(planned: Planned) -> bridge.Result:
    """Write what is missing: first the secret, which nothing opens without."""
    if planned.secret_file:
        keyring_jobs.write_secret(planned.secret_file, planned.secret)
    for each in planned.writes:
        keyring_changes.write(each)
    return {}


def main() -> t.NoReturn:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present"], "default": "present"},
            **keyring_jobs.SECRET,
            "passphrase": {"type": "str", "no_log": True},
            "previous": KEYRING,
            "keep_previous": {"type": "bool", "default": False},
            "epoch_created_after": {"type": "str"},
            "epoch_max_age_days": {"type": "int"},
            "allow_single_recipient": {"type": "bool", "default": False},
            **REPOSITORIES,
        },
        mutually_exclusive=[["secret", "secret_file"]],
        required_one_of=[["secret", "secret_file"]],
        required_by={"passphrase": ["secret_file"]},
        supports_check_mode=True,
    )
    bridge.run(module, lambda params: plan(params, module.check_mode), apply)


if __name__ == "__main__":
    main()

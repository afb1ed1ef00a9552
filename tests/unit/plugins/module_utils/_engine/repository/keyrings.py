# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keyrings in directories, as the modules make them, and what interrupts whoever changes one."""

from __future__ import annotations

import base64
import contextlib
import os
import pathlib
import typing as t

from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import steps
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import (
    identity,
    keyring_changes,
    organisation_secret,
    recovery_changes,
    recovery_code,
    rescue_files,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.epoch_document import Recipients
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.keyring import Access
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.keyring_changes import Ring
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.organisation_secret import Secret
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.store import Store


class Crash(BaseException):
    """The process was killed."""


def fresh_secret() -> Secret:
    return organisation_secret.from_text(base64.b64encode(os.urandom(32)).decode(), "a test")


def repository(folder: t.Any) -> DirectoryStore:
    """Make an empty repository."""
    folder.mkdir(exist_ok=True)
    store = DirectoryStore(str(folder))
    identity.initialise(store)
    return store


def create(stores: t.Sequence[Store], secret: Secret, is_single: bool = False, epochs: int = 1) -> Ring:
    """Make a keyring in repositories, or finish it where it was interrupted, and return it."""
    held = keyring_changes.look(stores)
    ring = keyring_changes.opened(held, [Access(secret)])
    ring = ring or keyring_changes.begun(held, stores[0].now(), is_single, (secret,))
    while len(ring.epochs) < epochs:
        ring = keyring_changes.with_new_epoch(ring, stores[0].now(), (secret,), is_single)
    for each in keyring_changes.writes(ring, rescue_files.files()):
        keyring_changes.write(each)
    return look(stores, secret)


def rewrap(stores: t.Sequence[Store], new: Secret, old: Access, also: tuple[Secret, ...] = ()) -> None:
    """Let another secret open a keyring."""
    ring = keyring_changes.opened(keyring_changes.look(stores), [Access(new), old])
    changed = keyring_changes.for_recipients(ring, Recipients((new, *also)))
    for each in keyring_changes.writes(changed, {}):
        keyring_changes.write(each)


def export(stores: t.Sequence[Store], secret: Secret, code_file: t.Any, replaces: int = 0) -> str:
    """Make a recovery key, and return its code."""
    ring = look(stores, secret)
    if recovery_changes.is_due(ring, replaces):
        ring = recovery_changes.export(ring, stores[0].now(), str(code_file))
    for each in keyring_changes.writes(ring, rescue_files.files()):
        keyring_changes.write(each)
    return recovery_code.on_sheet(code_file.read_text())


def verify(stores: t.Sequence[Store], secret: Secret, code: str) -> None:
    for each in recovery_changes.verification(look(stores, secret), code, stores[0].now()):
        keyring_changes.write(each)


def look(stores: t.Sequence[Store], secret: Secret) -> Ring:
    ring = keyring_changes.opened(keyring_changes.look(stores), [Access(secret)])
    assert ring is not None
    return ring


@contextlib.contextmanager
def crashing(number: int) -> t.Iterator[list[str]]:
    """End the block at its step with this number, from 0; yields the steps that were reached.

    Those before and after each file; what happens within one belongs to the tests of directories and buckets.
    """
    seen: list[str] = []

    def watch(step: str) -> None:
        if step.startswith(("keyring.", "recovery_key.")):
            seen.append(step)
        if len(seen) > number:
            raise Crash

    steps.watch(watch)
    try:
        yield seen
    finally:
        steps.unwatch(watch)


def killed_at_each_step(
    folder: pathlib.Path,
    begin: t.Callable[[list[DirectoryStore]], t.Any],
    act: t.Callable[[list[DirectoryStore]], t.Any],
) -> t.Iterator[tuple[list[DirectoryStore], t.Any]]:
    """Yield two repositories after `act` was killed at its first step, then at its second one, and so on, each time
    after what `begin` made anew, with what that returned; the last time it came to its end."""
    number, is_over = 0, False
    while not is_over:
        place = folder / str(number)
        place.mkdir()
        stores = [repository(place / name) for name in ("near", "far")]
        begun = begin(stores)
        with crashing(number):
            try:
                act(stores)
                is_over = True
            except Crash:
                pass
        yield stores, begun
        number += 1

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a keyring is made, gets new epochs, and changes who can open it, in all its repositories (docs/keys.md).

Everything is a list of small writes, each on the condition that nobody wrote there meanwhile. Whoever was interrupted
asks for the same again, and what is missing is done.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
import typing as t
import uuid

from ..errors import DamagedError, GuardRefusal, LifeboatError
from ..steps import reached
from . import epoch_document, key_wrapping, keyring, layout
from .epoch_document import EpochDocument, Opened, Recipients, RecoveryRecipient
from .keyring import Access
from .organisation_secret import Secret
from .recovery_key import RecoveryKey, is_verification
from .store import ChangedError, ExistsError, Store

VERIFIED = ".verified.json"  # ends the key of what says that a code was verified


@dataclasses.dataclass(frozen=True)
class Write:
    """A small file that is to be written into a repository."""

    store: Store
    key: str
    data: bytes = dataclasses.field(repr=False)
    etag: str = ""  # of what it replaces; empty: there is none


@dataclasses.dataclass(frozen=True)
class Held:
    """What one repository has of a keyring."""

    store: Store
    files: t.Mapping[str, tuple[bytes, str]]  # key → bytes, ETag
    documents: t.Mapping[str, EpochDocument]  # by epoch; those that can be read
    recovery: t.Mapping[int, RecoveryKey]  # by number; those that can be read

    def lacks(self, key: str, data: bytes) -> Write | None:
        """Return how a file gets its bytes; None where it has them."""
        found = self.files.get(key)
        return None if found and found[0] == data else Write(self.store, key, data, found[1] if found else "")


@dataclasses.dataclass(frozen=True)
class Ring:
    """A keyring that was opened."""

    id: str
    fingerprint: str
    held: tuple[Held, ...]
    epochs: t.Mapping[str, tuple[EpochDocument, Opened]]  # oldest first; the best document of each
    recovery: t.Mapping[int, RecoveryKey]  # by number, authentic ones

    @property
    def authentication(self) -> bytes:
        return next(iter(self.epochs.values()))[1].authentication

    @property
    def current_recovery(self) -> RecoveryKey | None:
        """Return the newest recovery key, whether its code was verified or not."""
        return self.recovery[max(self.recovery)] if self.recovery else None

    def verified(self) -> RecoveryKey | None:
        """Return the newest recovery key whose code was verified; None when there is none."""
        for number in sorted(self.recovery, reverse=True):
            if self.verification_of(number):
                return self.recovery[number]
        return None

    def verification_of(self, number: int) -> bytes:
        """Return the document which says that the code of a recovery key was verified; empty when there is none."""
        key = layout.recovery_key(number, VERIFIED)
        for held in self.held:
            data = held.files.get(key, (b"", ""))[0]
            try:
                if data and is_verification(data, self.recovery[number], self.authentication, held.store.name):
                    return data
            except DamagedError:
                continue
        return b""


def look(stores: t.Sequence[Store]) -> tuple[Held, ...]:
    """Read what repositories have of their keyring. Raises MissingPartError, GuardRefusal (`keyring`)."""
    key_wrapping.library()
    found = tuple(_held(store) for store in stores)
    documents = [document for held in found for document in held.documents.values()]
    names = " and ".join(store.name for store in stores)
    keyring.require_one(documents, names)
    return found


def opened(held: t.Sequence[Held], accesses: t.Sequence[Access]) -> Ring | None:
    """Open a keyring with whatever opens it; None where there is none.

    Of several documents of one epoch the newest that opens counts. Raises WrongSecretError, DamagedError.
    """
    documents = [document for each in held for document in each.documents.values()]
    recovery = {number: key for each in held for number, key in each.recovery.items()}
    names = " and ".join(each.store.name for each in held)
    broken = sorted({key for each in held for key in each.files if key.startswith(layout.KEYS)})
    if not documents:
        if broken:
            raise DamagedError(f"Cannot read the keyring of {names}", f"{broken[0]} is damaged", "bring it from a copy")
        return None
    openers = [keyring.opener(access, recovery, names) for access in accesses]
    epochs = {}
    for same in _by_epoch(documents):
        found = _best(same, openers)
        if found is None:
            raise keyring.wrong_secret(names, documents, accesses[0])
        epochs[found[0].epoch] = found
    if not set(map(layout.id_of, broken)) <= set(epochs):
        raise DamagedError(
            f"Cannot read the keyring of {names}", "a key is damaged in all of them", "bring an older version"
        )
    authentication = next(iter(epochs.values()))[1].authentication
    for key in recovery.values():
        key.require_authentic(authentication)
    return Ring(documents[0].keyring, keyring.fingerprint(documents), tuple(held), epochs, recovery)


def begun(held: t.Sequence[Held], now: dt.datetime, is_single: bool, secrets: tuple[Secret, ...]) -> Ring:
    """Return a new keyring with its first epoch, which lies nowhere yet."""
    found = Opened(os.urandom(key_wrapping.KEY), os.urandom(key_wrapping.KEY))
    document = epoch_document.made(str(uuid.uuid4()), "0001", now, is_single, found)
    first = document.for_recipients(found, Recipients(secrets))
    return Ring(first.keyring, keyring.fingerprint([first]), tuple(held), {first.epoch: (first, found)}, {})


def with_new_epoch(ring: Ring, now: dt.datetime, secrets: tuple[Secret, ...], is_single: bool) -> Ring:
    """Return a keyring with one more epoch, under which everything is written from then on."""
    newest = ring.epochs[max(ring.epochs)][0]
    found = Opened(os.urandom(key_wrapping.KEY), ring.authentication)
    name = f"{int(newest.epoch) + 1:04}"
    document = epoch_document.made(ring.id, name, max(now, newest.created), is_single, found)
    added = document.for_recipients(found, Recipients(secrets, recipient(ring.verified())))
    return dataclasses.replace(ring, epochs={**ring.epochs, name: (added, found)})


def for_recipients(ring: Ring, recipients: Recipients) -> Ring:
    """Return a keyring that others can open."""
    epochs = {
        name: (document.for_recipients(found, recipients), found) for name, (document, found) in ring.epochs.items()
    }
    return dataclasses.replace(ring, epochs=epochs)


def recipient(key: RecoveryKey | None) -> RecoveryRecipient | None:
    """Return a recovery key as one for whom keys are encrypted."""
    return None if key is None else RecoveryRecipient(key.fingerprint, key.loaded())


def writes(ring: Ring, files: t.Mapping[str, bytes]) -> tuple[Write, ...]:
    """Return what makes all repositories have a keyring, its recovery keys, and `files` (key → bytes)."""
    wanted = {layout.epoch(name): document.to_bytes() for name, (document, _opened) in ring.epochs.items()}
    for number, key in ring.recovery.items():
        wanted[layout.recovery_key(number)] = key.to_bytes()
        wanted[layout.recovery_key(number, ".pem")] = key.private_key.encode("ascii")
        verification = ring.verification_of(number)
        if verification:
            wanted[layout.recovery_key(number, VERIFIED)] = verification
    wanted.update(files)
    found = (held.lacks(key, data) for held in ring.held for key, data in wanted.items())
    return tuple(each for each in found if each is not None)


def write(each: Write) -> None:
    """Write a file, if nobody did meanwhile. Raises LifeboatError."""
    reached("keyring.write")
    try:
        if each.etag:
            each.store.replace(each.key, each.data, each.etag)
        else:
            each.store.put_new(each.key, each.data)
    except (ExistsError, ChangedError) as error:
        found = each.store.get(each.key)
        if found is None or found.data != each.data:
            raise GuardRefusal(
                "keyring",
                f"Cannot write {each.key} to {each.store.name}",
                "somebody else changes this keyring at the moment",
                "look at what they did, and ask again",
            ) from error
    reached("keyring.written")


def _held(store: Store) -> Held:
    entries = [entry.key for folder in (layout.KEYS, layout.RESCUE) for entry in store.entries(folder)]
    found = {key: document for key, document in ((key, store.get(key)) for key in entries) if document is not None}
    documents, recovery = {}, {}
    for key, document in found.items():
        try:
            name = layout.id_of(key)
            if key.startswith(layout.KEYS) and epoch_document.NAME.fullmatch(name):
                documents[name] = EpochDocument.from_bytes(document.data, name, store.name)
            elif key.startswith(layout.RESCUE) and (number := keyring.recovery_key_number(key)):
                recovery[number] = RecoveryKey.from_bytes(document.data, number, store.name)
        except DamagedError:
            continue  # another repository may have it; else it is missing
    return Held(store, {key: (each.data, each.etag) for key, each in found.items()}, documents, recovery)


def _best(same: t.Sequence[EpochDocument], openers: t.Sequence[keyring.Opener]) -> tuple[EpochDocument, Opened] | None:
    """Return the newest document of an epoch that opens. Raises DamagedError when what should open does not."""
    damaged: LifeboatError | None = None
    for document in sorted(same, key=lambda each: -each.revision):
        for open_with in openers:
            try:
                found = open_with(document)
            except DamagedError as error:
                damaged = error
                continue
            if found is not None:
                return document, found
    if damaged is not None:
        raise damaged
    return None


def _by_epoch(documents: t.Sequence[EpochDocument]) -> list[list[EpochDocument]]:
    names = sorted({each.epoch for each in documents})
    return [[each for each in documents if each.epoch == name] for name in names]

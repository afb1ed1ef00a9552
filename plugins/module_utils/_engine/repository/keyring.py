# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The keyring that a repository holds in `keys/`, and how somebody opens it (docs/keys.md)."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import re
import typing as t

from ..errors import GuardRefusal, LifeboatError
from ..stream.encryption import EpochKey
from . import key_wrapping, layout
from .epoch_document import NAME, EpochDocument, Opened
from .keys import Keys
from .organisation_secret import Secret
from .recovery_key import RecoveryKey, WrongCodeError
from .store import ExistsError, Store

_RECOVERY_KEY = re.compile(r"RESCUE/recovery_key-([1-9][0-9]{0,5})\.json")
_MAKE_IT = "make it with the module backup_keyring, or leave the keyring out"


class WrongSecretError(LifeboatError):
    """What somebody has opens none of the keys."""


@dataclasses.dataclass(frozen=True)
class Access:
    """What somebody opens a keyring with: the secret of the organisation, or the code of a recovery key."""

    secret: Secret | None = None
    code: str = dataclasses.field(default="", repr=False)  # of the recovery key
    recovery_pem: str = dataclasses.field(default="", repr=False)  # the encrypted key; empty: that of the repository
    allow_unsigned: bool = False  # True: backups that nobody signed may be restored by their ids


Opener = t.Callable[[EpochDocument], t.Optional[Opened]]  # raises DamagedError


def read(store: Store, access: Access) -> Keys:
    """Return the keys of a repository's keyring, as far as `access` opens them.

    Raises MissingPartError, before anything is read; GuardRefusal (`keyring`) where there is none; WrongSecretError;
    DamagedError.
    """
    key_wrapping.library()
    documents = require(store)
    open_with = opener(access, recovery_keys(store) if access.code else {}, store.name)
    opened = {each.epoch: open_with(each) for each in documents}
    keyring = documents[0].keyring
    keys = tuple(EpochKey(keyring, epoch, found.secret) for epoch, found in opened.items() if found is not None)
    if not keys:
        raise wrong_secret(store.name, documents, access)
    return Keys(keyring, keys)


def require(store: Store) -> list[EpochDocument]:
    """Return the epochs of a keyring. Raises GuardRefusal (`keyring`) where there is none, DamagedError."""
    documents = epochs(store)
    if not documents:
        raise GuardRefusal("keyring", f"Cannot use the keyring of {store.name}", "this repository has none", _MAKE_IT)
    return documents


def require_writable(store: Store) -> None:
    """Make sure that what is written to a repository with a keyring is encrypted, and can be recovered.

    Nothing is refused where there is no keyring. Raises GuardRefusal (`keyring`), DamagedError.
    """
    names = epoch_names(store)
    if not names:
        return
    problem = f"Cannot write to {store.name}"
    if store.keys is None:
        remedy = "give its keyring and the file of the secret"
        raise GuardRefusal(
            "keyring", problem, "its backups are encrypted, and no secret of its keyring is given", remedy
        )
    if store.keys.current.epoch != names[-1]:
        cause = f"the secret does not open epoch {names[-1]}, the newest of its keyring"
        raise GuardRefusal(
            "keyring", problem, cause, "run backup_keyring with the new secret to its end, and use that one"
        )
    newest = _document(store, names[-1])
    if newest is not None and newest.recovery is None and not newest.is_single:
        cause = "its keyring has no recovery key that was verified: with the secret, all backups would be lost"
        remedy = "verify the code of its recovery key by the playbook recovery_key or the module backup_recovery_key,"
        remedy += " which also makes the key where there is none"
        raise GuardRefusal("keyring", problem, cause, remedy)


def fingerprint(documents: t.Sequence[EpochDocument]) -> str:
    """Return what people compare keyrings by: eight groups of four characters, the same for its whole life."""
    first = min(documents, key=lambda each: each.epoch)
    digest = hashlib.sha256(f"lifeboat keyring 1 {first.keyring} {first.check}".encode("ascii")).hexdigest()[:32]
    return "-".join(digest[at : at + 4] for at in range(0, len(digest), 4))


def epoch_names(store: Store) -> list[str]:
    """Return the names of a keyring's epochs, oldest first."""
    found = (entry.key for entry in store.entries(layout.KEYS) if entry.key.endswith(".json"))
    return sorted(name for name in map(layout.id_of, found) if NAME.fullmatch(name))


def epochs(store: Store) -> list[EpochDocument]:
    """Return the epochs of a repository's keyring, oldest first; none where there is none.

    Raises DamagedError, GuardRefusal (`keyring`) for keys of several keyrings.
    """
    documents = [found for found in (_document(store, name) for name in epoch_names(store)) if found is not None]
    require_one(documents, store.name)
    return documents


def _document(store: Store, name: str) -> EpochDocument | None:
    document = store.get(layout.epoch(name))
    return None if document is None else EpochDocument.from_bytes(document.data, name, store.name)


def recovery_key_numbers(store: Store) -> list[int]:
    """Return the numbers of the recovery keys that were made, oldest first."""
    return sorted(filter(None, (recovery_key_number(entry.key) for entry in store.entries(layout.RESCUE))))


def recovery_key_number(key: str) -> int:
    """Return which recovery key lies under a key; 0: none."""
    found = _RECOVERY_KEY.fullmatch(key)
    return int(found.group(1)) if found is not None else 0


def recovery_keys(store: Store) -> dict[int, RecoveryKey]:
    """Return the recovery keys in a repository by number. Raises DamagedError."""
    found = {number: store.get(layout.recovery_key(number)) for number in recovery_key_numbers(store)}
    return {
        number: RecoveryKey.from_bytes(document.data, number, store.name)
        for number, document in found.items()
        if document is not None
    }


def opener(access: Access, recovery: t.Mapping[int, RecoveryKey], where: str) -> Opener:
    """Return what opens epochs. Raises WrongCodeError, DamagedError for the recovery key."""
    if access.secret is not None:
        secret = access.secret
        return lambda document: document.opened(secret)
    if not recovery:
        cause, remedy = "there is none in RESCUE/", "take another repository, or the secret of the organisation"
        raise LifeboatError(f"Cannot use the recovery key of {where}", cause, remedy)
    return _recovery_opener(access, recovery)


def _recovery_opener(access: Access, recovery: t.Mapping[int, RecoveryKey]) -> Opener:
    """Open with the newest recovery key that the code is for."""
    for number in sorted(recovery, reverse=True):
        key = recovery[number]
        try:
            private_key = key.private(access.code, access.recovery_pem)
        except WrongCodeError:
            if number == min(recovery):
                raise
            continue
        marked, authentication = key.fingerprint, key.authentication_key(access.code)
        return lambda document: document.opened_with(private_key, marked, authentication)  # noqa: B023 - returned at once
    raise ValueError("no recovery key")


def wrong_secret(where: str, documents: t.Sequence[EpochDocument], access: Access) -> WrongSecretError:
    """Return the error for what opens nothing."""
    what = "the secret" if access.secret is not None else "the recovery key"
    return WrongSecretError(
        f"Cannot open the keyring of {where}",
        f"{what} is another one's: this is keyring {documents[0].keyring} with fingerprint {fingerprint(documents)}",
        "give the secret of that keyring, or the code of its recovery key",
    )


def require_one(documents: t.Sequence[EpochDocument], where: str) -> None:
    """Raise GuardRefusal (`keyring`) when keys of several keyrings lie together."""
    keyrings = sorted({each.keyring for each in documents})
    keys = {(each.epoch, each.check) for each in documents}
    if len(keyrings) > 1 or len(keys) != len({epoch for epoch, _check in keys}):
        raise GuardRefusal(
            "keyring",
            f"Cannot use the keyring of {where}",
            f"there are keys of more than one: {' and '.join(keyrings)}",
            "use repositories of one keyring together; another keyring needs repositories of its own",
        )


def require_same(source: Store, target: Store) -> None:
    """Make sure that backups of one repository may be copied into another one.

    Raises GuardRefusal (`keyring`) when they have different keyrings, or the target alone has one: its backups are
    encrypted, and those that come would not be.
    """
    if not epoch_names(target):
        return
    if not epoch_names(source):
        raise GuardRefusal(
            "keyring",
            f"Cannot copy from {source.name} to {target.name}",
            "backups in the target are encrypted, and the source has no keyring",
            "let backup_keyring bring the keyring into both, or take a target without one",
        )
    require_one([*epochs(source), *epochs(target)], f"{source.name} and {target.name}")


def bring(source: Store, target: Store, permit: t.Callable[[], t.Any]) -> None:
    """Bring what the source has of its keyring, and how to rescue backups, to where it is missing.

    What the target has stays as it is: only whoever has the secret changes it. Raises GuardRefusal (`keyring`).
    """
    require_same(source, target)
    if not epoch_names(source):
        return
    for folder in (layout.RESCUE, layout.KEYS):
        there = {entry.key for entry in target.entries(folder)}
        for entry in source.entries(folder):
            document = source.get(entry.key) if entry.key not in there else None
            if document is not None:
                with contextlib.suppress(ExistsError):
                    target.put_new(entry.key, document.data, signed_at=permit())

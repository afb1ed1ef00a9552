# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a keyring gets a recovery key: it is made, its code is exported once, and verified (docs/keys.md)."""

from __future__ import annotations

import dataclasses
import datetime as dt
import os

from ..errors import UsageError
from ..steps import reached
from . import keyring_changes, layout, recovery_code, recovery_key, rescue_files
from .epoch_document import Recipients
from .keyring_changes import Ring, Write
from .recovery_key import RecoveryKey
from .whole_file import sync_folder

_MOST = 64 * 1024  # bytes of a file with a code


def is_due(ring: Ring, replaces: int) -> bool:
    """Say whether a recovery key is to be made: there is none, or the newest is the one to be replaced."""
    current = ring.current_recovery
    return current is None or current.number == replaces


def export(ring: Ring, now: dt.datetime, code_file: str) -> Ring:
    """Make a recovery key and write its code into a new file; return the keyring with it. Takes seconds.

    First the file, then the repository: a key whose code nobody has would be worthless. The code in a file that an
    interrupted export left is taken again, as no key was made with it. Raises UsageError for any other file.
    """
    number = max(ring.recovery, default=0) + 1
    left_over = _left_over(ring, number, code_file)
    code = left_over or recovery_code.new()
    made = recovery_key.made(ring.id, number, now, ring.authentication, code)
    if not left_over:
        _write_sheet(code_file, rescue_files.sheet(made, code, ring.fingerprint))
    return dataclasses.replace(ring, recovery={**ring.recovery, number: made})


def require_exportable(ring: Ring, code_file: str) -> None:
    """Raise UsageError where the code could not be written into this file."""
    _left_over(ring, max(ring.recovery, default=0) + 1, code_file)
    folder = os.path.dirname(code_file) or "."
    if not os.path.isdir(folder):
        raise UsageError(f"Cannot write the code into {code_file}", f"there is no folder {folder}", "make it first")


def expected(ring: Ring, writes: tuple[Write, ...]) -> tuple[Write, ...]:
    """Return what an export will write: `writes`, and the files of a recovery key, which have no content yet."""
    number = max(ring.recovery, default=0) + 1
    keys = [layout.recovery_key(number, suffix) for suffix in (".json", ".pem")]
    return (*(Write(held.store, key, b"") for held in ring.held for key in keys), *writes)


def verification(ring: Ring, code: str, now: dt.datetime) -> tuple[Write, ...]:
    """Return what is to be written once the code of the newest recovery key was tried; nothing if all of it is there.

    The canary is opened with it, and each epoch key that is encrypted for it. Only then is the keyring for it.
    Raises UsageError without a recovery key, WrongCodeError, DamagedError.
    """
    key = ring.current_recovery
    if key is None:
        raise UsageError("Cannot verify a recovery code", "the keyring has no recovery key", "make one: state=present")
    private_key = key.private(code)
    authentication = key.authentication_key(code)
    for document, _opened in ring.epochs.values():
        document.opened_with(private_key, key.fingerprint, authentication)
    written = ring.verification_of(key.number) or recovery_key.verification(key, now, authentication)
    wanted = keyring_changes.for_recipients(ring, Recipients(recovery=keyring_changes.recipient(key)))
    files = {layout.recovery_key(key.number, keyring_changes.VERIFIED): written}
    return keyring_changes.writes(wanted, {**rescue_files.files(), **files})


def is_final(ring: Ring, key: RecoveryKey) -> bool:
    """Say whether the code of a recovery key was verified, and every epoch key is encrypted for it."""
    marked = key.fingerprint
    recipients = (document.recovery for document, _opened in ring.epochs.values())
    is_for_all = all(each is not None and each.key == marked for each in recipients)
    return is_for_all and bool(ring.verification_of(key.number))


def _left_over(ring: Ring, number: int, code_file: str) -> str:
    """Return the code of an interrupted export; empty where there is no file. Raises UsageError."""
    try:
        with open(os.open(code_file, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            text = file.read(_MOST).decode("ascii", "replace")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise _unusable(code_file, error.strerror or str(error)) from error
    if ring.fingerprint not in text or f"number {number}," not in text:
        raise _unusable(code_file, "there is a file already, which this export did not begin")
    try:
        return recovery_code.on_sheet(text)
    except UsageError as error:
        raise _unusable(code_file, "an export began it and did not end") from error


def _write_sheet(path: str, text: str) -> None:
    """Write a file that only its owner may read, durably and never over another one."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        with open(os.open(path, flags, 0o600), "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(text.encode("ascii"))
            file.flush()
            os.fsync(file.fileno())
        sync_folder(os.path.dirname(os.path.abspath(path)))
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from error
    reached("recovery_key.exported")


def _unusable(path: str, cause: str) -> UsageError:
    return UsageError(
        f"Cannot write the code into {path}", cause, "name a file that is not there yet, or remove this one"
    )

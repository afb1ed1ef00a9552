# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import tempfile
import typing as t

from ..errors import LifeboatError
from ..repository.manifest import StoredFile
from ..repository.store import Store
from ..repository.stored_files import plain_chunks
from ..steps import reached

_PREFIX = "lifeboat-spool-"


@contextlib.contextmanager
def spooled(store: Store, job: str, owner: str, file: StoredFile, folder: str = "") -> t.Iterator[str]:
    """Bring a stored file's plain bytes into a private file on this host and yield its path; it is checked, whole.

    `folder` (default: that for temporary files) must have room for the plain size. Raises DamagedError, LifeboatError
    when the disk is full. What killed runs left there goes first: a living run holds a lock on its file.
    """
    parent = folder or tempfile.gettempdir()
    remove_leftovers(parent)
    _require_space(parent, file.facts.plain_size, file.name)
    descriptor, path = _locked_file(parent)
    try:
        with open(descriptor, "wb") as target:
            try:
                for chunk in plain_chunks(store, job, owner, file):
                    target.write(chunk)
                target.flush()
            except OSError as error:
                raise _full(parent, error) from error
            reached("spool.written")
            yield path
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


@contextlib.contextmanager
def scratch_file(folder: str = "") -> t.Iterator[tuple[str, t.BinaryIO]]:
    """Yield the path of a private file on this host, and the file, open for writing; it is removed in the end, and by
    the next run if this one is killed."""
    parent = folder or tempfile.gettempdir()
    descriptor, path = _locked_file(parent)
    try:
        with open(descriptor, "wb") as file:
            yield path, file
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def _locked_file(parent: str) -> tuple[int, str]:
    while True:
        descriptor, path = tempfile.mkstemp(prefix=_PREFIX, dir=parent)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return descriptor, path
        os.close(descriptor)  # another run took it for a leftover before it was locked


def remove_leftovers(parent: str) -> None:
    """Remove the spooled files of runs that are over."""
    for path in pathlib.Path(parent).glob(_PREFIX + "*"):
        with contextlib.suppress(OSError):
            if path.lstat().st_uid != os.geteuid():
                continue
            descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
            finally:
                os.close(descriptor)


def _require_space(parent: str, needed: int, name: str) -> None:
    try:
        facts = os.statvfs(parent)
    except OSError as error:
        raise LifeboatError(f"Cannot use folder {parent}", error.strerror or str(error), "name another one") from error
    free = facts.f_bavail * facts.f_frsize
    if free < needed:
        raise LifeboatError(
            f"Cannot fetch {name} to {parent}",
            f"it needs {needed} bytes and {free} are free",
            "make room or name a folder on another disk",
        )


def _full(parent: str, error: OSError) -> LifeboatError:
    return LifeboatError(f"Cannot write to {parent}", error.strerror or str(error), "make room or name another folder")

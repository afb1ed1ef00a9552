# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files of a host, outside of repositories, that are written as a whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
import typing as t

from .tree import sync_directory


@contextlib.contextmanager
def whole_file(path: str, mode: int = 0o600) -> t.Iterator[t.BinaryIO]:
    """Yield a file to be written that takes the place of another one, or of nothing, at one moment and for good.

    It has its name when all that was written is durable. A link that lies there is replaced, and not followed.
    Raises OSError, also where something lies that is no file: see `check_place`.
    """
    _refuse_special(path)
    folder = os.path.dirname(os.path.abspath(path))
    descriptor, temporary = tempfile.mkstemp(prefix=".lifeboat-", dir=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            yield file
            file.flush()
            os.fsync(descriptor)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    sync_folder(folder)


def check_place(path: str) -> None:
    """Raise OSError where `whole_file` could not put a file: for who writes it only after a long work."""
    _refuse_special(path)
    folder = os.path.dirname(os.path.abspath(path))
    if not stat.S_ISDIR(os.stat(folder).st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), folder)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), folder)


def _refuse_special(path: str) -> None:
    """Raise OSError for /dev/null, /dev/stdout, a fifo or a directory: a file in their place would be missed by all
    programs of the host."""
    try:
        # What /dev/stdout leads to may be a file, by way of /proc/self/fd/1.
        is_stream = os.path.islink(path) and os.readlink(path).startswith("/proc/")
        is_file = stat.S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError:
        return
    if is_stream or not is_file:
        raise OSError(errno.EINVAL, "what lies there is no regular file", path)


def sync_folder(path: str) -> None:
    """Make the names in a folder durable, if we may read it. Raises OSError."""
    with contextlib.suppress(PermissionError):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            sync_directory(descriptor)
        finally:
            os.close(descriptor)

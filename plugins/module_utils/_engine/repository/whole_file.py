# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files of a host, outside of repositories, that are written as a whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
import typing as t

from .tree import sync_directory


@contextlib.contextmanager
def whole_file(path: str, mode: int = 0o600) -> t.Iterator[t.BinaryIO]:
    """Yield a file to be written that takes the place of another one, or of nothing, at one moment and for good.

    It has its name when all that was written is durable. A link that lies there is replaced, and not followed.
    Raises OSError.
    """
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


def sync_folder(path: str) -> None:
    """Make the names in a folder durable, if we may read it. Raises OSError."""
    with contextlib.suppress(PermissionError):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            sync_directory(descriptor)
        finally:
            os.close(descriptor)

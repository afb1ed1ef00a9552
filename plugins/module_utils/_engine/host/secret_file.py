# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import stat

from ..errors import UsageError
from .run_as import user_name

_USER = "{user}"  # in a path: who runs the job, so that several users can have a file each
_MOST = 64 * 1024  # bytes; a key or password is far smaller, and a wrong path may lead to anything


def read_secret(path: str) -> str:
    """Return the secret in a file, without the line feed at its end; `{user}` in its path is the name of the user
    who this process runs as.

    Raises UsageError when it cannot be read, and when others than its owner may read it.
    """
    path = path.replace(_USER, user_name())
    problem = f"Cannot use the secret file {path}"
    return _one_line(_decoded(_private_bytes(path, problem), problem), problem)


def read_private(path: str) -> str:
    """Return a text of several lines that only its owner may read. Raises UsageError as `read_secret` does."""
    path = path.replace(_USER, user_name())
    problem = f"Cannot use the secret file {path}"
    return _decoded(_private_bytes(path, problem), problem)


def _private_bytes(path: str, problem: str) -> bytes:
    try:
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise UsageError(problem, "it is not a file", "name the file that holds the secret")
            if found.st_mode & 0o077:
                mode = stat.S_IMODE(found.st_mode)
                raise UsageError(problem, f"others than its owner may use it (mode {mode:04o})", f"chmod 0600 {path}")
            return file.read(_MOST + 1)
    except OSError as error:
        raise UsageError(
            problem, error.strerror or str(error), "put the secret there, in a file of the user who runs the job"
        ) from error


_REMEDY = "put the secret alone into the file, on one line"


def _decoded(data: bytes, problem: str) -> str:
    if len(data) > _MOST:
        raise UsageError(problem, f"it has more than {_MOST} bytes", _REMEDY)
    try:
        return data.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        # Not `from error`: its text would show a byte of the secret.
        raise UsageError(problem, "it is not UTF-8", _REMEDY) from None


def _one_line(text: str, problem: str) -> str:
    if not text or "\n" in text or "\0" in text:
        raise UsageError(problem, "it is empty" if not text else "it has several lines", _REMEDY)
    return text

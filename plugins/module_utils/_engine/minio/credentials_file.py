# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The file that holds an access key and its generated secret, in the form that AWS tools read as credentials."""

from __future__ import annotations

import configparser
import io
import os
import secrets
import stat
import string

from ..errors import LifeboatError, UsageError
from ..s3.credentials import Credentials

_PROFILE = "default"
_FIELDS = ("aws_access_key_id", "aws_secret_access_key")
_MOST = 16 * 1024  # bytes; the file is far smaller, and a wrong path may lead to anything
_KEY_ID_LENGTH = 20  # characters; the most that MinIO takes
_SECRET_LENGTH = 40
_KEY_ID_SIGNS = string.ascii_uppercase + string.digits
_SECRET_SIGNS = string.ascii_letters + string.digits


def generated(key_id: str = "") -> Credentials:
    """Return a new secret for an access key, and a new access key where none is given."""
    name = key_id or "".join(secrets.choice(_KEY_ID_SIGNS) for _number in range(_KEY_ID_LENGTH))
    return Credentials(name, "".join(secrets.choice(_SECRET_SIGNS) for _number in range(_SECRET_LENGTH)))


def read(path: str) -> Credentials | None:
    """Return what the file holds, None where there is none.

    Raises UsageError when others than its owner may read it, and when it holds anything else.
    """
    problem = f"Cannot use the credentials file {path}"
    try:
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise UsageError(problem, "it is not a file", "name a file of its own for this access key")
            if found.st_mode & 0o077:
                mode = stat.S_IMODE(found.st_mode)
                raise UsageError(problem, f"others than its owner may use it (mode {mode:04o})", f"chmod 0600 {path}")
            data = file.read(_MOST)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(problem, error.strerror or str(error), "let the user who runs this task read it") from error
    return _parsed(data, problem)


def _parsed(data: bytes, problem: str) -> Credentials:
    parser = configparser.ConfigParser(interpolation=None, default_section="")
    try:
        parser.read_string(data.decode("utf-8"))
        values = dict(parser[_PROFILE])
    except (configparser.Error, UnicodeDecodeError, KeyError):
        values = {}  # what went wrong is not repeated: it may show a part of the secret
    if parser.sections() != [_PROFILE] or set(values) != set(_FIELDS) or not all(values.values()):
        raise UsageError(
            problem,
            f"it holds something else than the profile {_PROFILE} with {' and '.join(_FIELDS)}",
            "name a file of its own for this access key",
        )
    return Credentials(*(values[field] for field in _FIELDS))


def write_new(path: str, credentials: Credentials) -> None:
    """Write the file with mode 0600, complete or not at all. Raises LifeboatError, also when it is there already."""
    text = io.StringIO()
    parser = configparser.ConfigParser(interpolation=None, default_section="")
    parser[_PROFILE] = dict(zip(_FIELDS, (credentials.access_key, credentials.secret_key)))
    parser.write(text)
    part = f"{path}.{secrets.token_hex(4)}.part"
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(text.getvalue().encode("utf-8"))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(part, path)
        finally:
            os.unlink(part)
    except OSError as error:
        raise LifeboatError(
            f"Cannot write the credentials file {path}",
            error.strerror or str(error),
            "make its folder first, and let the user who runs this task write there",
        ) from error


def remove(path: str) -> None:
    """Remove the file, if it is there. Raises LifeboatError."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise LifeboatError(
            f"Cannot remove the credentials file {path}", error.strerror or str(error), "remove it by hand"
        ) from error

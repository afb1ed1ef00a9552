# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

from ..errors import UsageError

_ITERATIONS = 4096  # of PostgreSQL itself: scram_iterations


def new_verifier(password: str) -> str:
    """Return what PostgreSQL stores of a password, so that the password itself is in no statement and no log.

    `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>` (RFC 5803 with a colon; PostgreSQL manual, "pg_authid").
    Raises UsageError for a password that would have to be normalised first.
    """
    salt = secrets.token_bytes(16)
    stored, server = _keys(password, salt, _ITERATIONS)
    return f"SCRAM-SHA-256${_ITERATIONS}:{_text(salt)}${_text(stored)}:{_text(server)}"


def is_password(password: str, verifier: str) -> bool:
    """Say whether a stored verifier is that of a password. Raises UsageError as `new_verifier` does."""
    try:
        kind, parameters, keys = verifier.split("$")
        iterations, salt = parameters.split(":")
        stored = base64.b64decode(keys.split(":")[0])
        found, _server = _keys(password, base64.b64decode(salt), int(iterations))
    except ValueError:
        return False  # none, or one of the older kind
    return kind == "SCRAM-SHA-256" and hmac.compare_digest(found, stored)


def _keys(password: str, salt: bytes, iterations: int) -> tuple[bytes, bytes]:
    """Return StoredKey and ServerKey (RFC 5802, section 3)."""
    if not password or not password.isascii() or not password.isprintable():
        raise UsageError(
            "Cannot use this password", "it is empty or has other than printable ASCII characters", "use those"
        )
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, iterations)
    client = hmac.digest(salted, b"Client Key", "sha256")
    return hashlib.sha256(client).digest(), hmac.digest(salted, b"Server Key", "sha256")


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The code on paper that opens the recovery key: 160 random bits, and 20 bits against slips of the pen."""

from __future__ import annotations

import base64
import hashlib
import secrets

from ..errors import UsageError

_BYTES = 20
_GROUP = 4
_CHECK = 4  # characters
_LENGTH = _BYTES * 8 // 5
# Read from paper, these look like others; they are not in the alphabet (RFC 4648, section 6).
_LOOKS = str.maketrans({"0": "O", "1": "I", "8": "B"})


def new() -> str:
    """Return a fresh code: 32 characters of base32."""
    return base64.b32encode(secrets.token_bytes(_BYTES)).decode("ascii")


def printed(code: str) -> str:
    """Return a code as people read it: eight groups of four characters, and a ninth that checks them."""
    text = code + _check(code)
    return "-".join(text[at : at + _GROUP] for at in range(0, len(text), _GROUP))


def parsed(text: str) -> str:
    """Return the code that somebody typed: blanks, dashes and small letters do not matter.

    Raises UsageError for what cannot be right, without showing it.
    """
    found = "".join(text.split()).replace("-", "").upper().translate(_LOOKS)
    code, check = found[:_LENGTH], found[_LENGTH:]
    if len(found) != _LENGTH + _CHECK:
        raise _refusal(f"it has {len(found)} letters and digits, not {_LENGTH + _CHECK}")
    if _check(code) != check:
        raise _refusal("its last group does not match the others")
    return code


def on_sheet(text: str) -> str:
    """Return the code of a sheet as `rescue_files.sheet` writes it, or of a text that is the code alone.

    Raises UsageError.
    """
    marked = [line.partition(":")[2] for line in text.splitlines() if line.startswith("code:")]
    return parsed(marked[0] if marked else text)


def _check(code: str) -> str:
    return base64.b32encode(hashlib.sha256(b"lifeboat recovery code 1 " + code.encode("utf-8")).digest())[
        :_CHECK
    ].decode()


def _refusal(cause: str) -> UsageError:
    return UsageError("Cannot use the recovery code", cause, "compare it with the paper, letter by letter")

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An encrypted private key in the form that every `openssl` reads: PKCS#8 with PBES2 (RFC 5958, RFC 8018).

The library chooses its own parameters when it encrypts; these are the ones that we promise.
"""

from __future__ import annotations

import base64
import hashlib
import os
import textwrap
import typing as t

from . import key_wrapping

ROUNDS = 210_000  # of PBKDF2 with SHA-512; the code is random, so that they matter little
_SALT, _IV, _KEY, _BLOCK = 16, 16, 32, 16
# Object identifiers, as DER: RFC 8018, appendix A and B; RFC 3565 for AES.
_PBES2 = bytes.fromhex("06092a864886f70d01050d")
_PBKDF2 = bytes.fromhex("06092a864886f70d01050c")
_HMAC_SHA512 = bytes.fromhex("06082a864886f70d020b")
_AES_256_CBC = bytes.fromhex("060960864801650304012a")
_NULL = b"\x05\x00"
_BEGIN, _END = "-----BEGIN ENCRYPTED PRIVATE KEY-----", "-----END ENCRYPTED PRIVATE KEY-----"


def encrypted_pem(private_key: t.Any, password: str) -> str:
    """Return a private key as PEM, under AES-256-CBC with a key that PBKDF2-SHA512 derives from `password`."""
    found = key_wrapping.library()
    formats = found.serialization
    plain = private_key.private_bytes(formats.Encoding.DER, formats.PrivateFormat.PKCS8, formats.NoEncryption())
    salt, iv = os.urandom(_SALT), os.urandom(_IV)
    key = hashlib.pbkdf2_hmac("sha512", password.encode("ascii"), salt, ROUNDS, _KEY)
    cipher = found.Cipher(found.ciphers.AES(key), found.modes.CBC(iv)).encryptor()
    fill = _BLOCK - len(plain) % _BLOCK
    data = cipher.update(plain + bytes([fill]) * fill) + cipher.finalize()
    lines = textwrap.wrap(base64.b64encode(_document(salt, iv, data)).decode("ascii"), 64)
    return "\n".join((_BEGIN, *lines, _END, ""))


def _document(salt: bytes, iv: bytes, data: bytes) -> bytes:
    rounds = _tagged(0x02, ROUNDS.to_bytes(3, "big"))
    derivation = _sequence(_PBKDF2, _sequence(_octets(salt), rounds, _sequence(_HMAC_SHA512, _NULL)))
    encryption = _sequence(_AES_256_CBC, _octets(iv))
    return _sequence(_sequence(_PBES2, _sequence(derivation, encryption)), _octets(data))


def _sequence(*parts: bytes) -> bytes:
    return _tagged(0x30, b"".join(parts))


def _octets(data: bytes) -> bytes:
    return _tagged(0x04, data)


def _tagged(tag: int, data: bytes) -> bytes:
    """Return an element of DER (ITU-T X.690, section 8.1)."""
    if len(data) < 0x80:
        return bytes([tag, len(data)]) + data
    length = len(data).to_bytes((len(data).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + data

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import functools
import importlib
import io
import os
import random

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import DamagedError, MissingPartError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio import admin_cipher
from minio import crypto

SECRET = "canary-secret"
CHUNK = 16 * 1024
SIZES = (0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 50_000)
CIPHERS = (admin_cipher.ARGON2_AES, admin_cipher.ARGON2_CHACHA, admin_cipher.PBKDF2_AES)


# Each derivation takes 64 MiB and a while: those of one salt are made once.
OURS = functools.lru_cache(maxsize=None)(admin_cipher._argon2id)
THEIRS = functools.lru_cache(maxsize=None)(crypto._generate_key)


@pytest.fixture
def one_salt(monkeypatch):
    """Have every message encrypted with the same salt."""
    monkeypatch.setattr(os, "urandom", lambda length: bytes(range(length)))
    monkeypatch.setattr(admin_cipher, "_argon2id", OURS)
    monkeypatch.setattr(crypto, "_generate_key", THEIRS)


def plain_text(size):
    return random.Random(size).randbytes(size)  # noqa: S311 - no secret


class Answer(io.BytesIO):
    """A body as minio-py reads it from the answer of a server."""

    def release_conn(self):
        pass


@pytest.mark.parametrize("size", SIZES)
def test_minio_py_reads_what_we_encrypt(one_salt, size):
    sealed = admin_cipher.encrypted(SECRET, plain_text(size), admin_cipher.ARGON2_AES)
    assert crypto.decrypt(Answer(sealed), SECRET) == plain_text(size)


@pytest.mark.parametrize("size", [size for size in SIZES if size])
def test_we_read_what_minio_py_encrypts(one_salt, size):
    sealed = crypto.encrypt(plain_text(size), SECRET)
    assert admin_cipher.decrypted(SECRET, sealed) == plain_text(size)
    assert admin_cipher.encrypted(SECRET, plain_text(size), admin_cipher.ARGON2_AES) == sealed


def test_nothing_at_all_is_a_chunk_all_the_same_else_it_could_be_a_cut_answer(one_salt):
    # minio-py leaves the only chunk of an empty text out.
    with pytest.raises(DamagedError):
        admin_cipher.decrypted(SECRET, crypto.encrypt(b"", SECRET))


@pytest.mark.parametrize("cipher", CIPHERS)
@pytest.mark.parametrize("size", SIZES)
def test_we_read_what_we_encrypt_in_each_cipher(one_salt, size, cipher):
    sealed = admin_cipher.encrypted(SECRET, plain_text(size), cipher)
    assert admin_cipher.decrypted(SECRET, sealed) == plain_text(size)
    chunks = max(1, -(-size // CHUNK))
    assert len(sealed) == 32 + 1 + 8 + size + 16 * chunks


def test_the_same_text_is_never_encrypted_in_the_same_way():
    assert admin_cipher.encrypted(SECRET, b"text") != admin_cipher.encrypted(SECRET, b"text")


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data[:-20],
        lambda data: data[: 41 + CHUNK + 16],
        lambda data: data[: 41 + CHUNK + 16 + 5],
        lambda data: data + b"x",
        lambda data: data[:60] + bytes([data[60] ^ 1]) + data[61:],
        lambda data: bytes([data[0] ^ 1]) + data[1:],
        lambda data: data[:41] + data[41 + CHUNK + 16 :],
        lambda data: data[:32] + b"\x09" + data[33:],
        lambda data: data[:40],
        lambda data: b"",
        lambda data: b'{"plain": "JSON"}' * 10,
    ],
)
def test_a_changed_or_cut_answer_is_not_believed(damage):
    sealed = admin_cipher.encrypted(SECRET, os.urandom(CHUNK + 100))
    with pytest.raises(DamagedError, match="admin API"):
        admin_cipher.decrypted(SECRET, damage(sealed))


def test_an_answer_for_another_secret_is_not_readable():
    with pytest.raises(DamagedError) as error:
        admin_cipher.decrypted("another-secret", admin_cipher.encrypted(SECRET, b"text"))
    assert SECRET not in str(error.value) and "another-secret" not in str(error.value)


@pytest.fixture
def without(monkeypatch):
    """Make modules look as if they were not installed."""
    imported = importlib.import_module

    def hide(*names):
        def found(name):
            if name.startswith(names):
                raise ImportError(name)
            return imported(name)

        monkeypatch.setattr(admin_cipher.importlib, "import_module", found)

    return hide


ARGON2 = "cryptography.hazmat.primitives.kdf.argon2"


def test_argon2_cffi_derives_the_same_key(without):
    sealed = admin_cipher.encrypted(SECRET, b"text", admin_cipher.ARGON2_AES)
    without(ARGON2)
    assert admin_cipher.decrypted(SECRET, sealed) == b"text"


def test_a_cryptography_whose_openssl_has_no_argon2_is_passed_over(monkeypatch):
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.kdf import argon2

    def unsupported(*_given, **_more):
        raise UnsupportedAlgorithm("too old")

    sealed = admin_cipher.encrypted(SECRET, b"text", admin_cipher.ARGON2_AES)
    monkeypatch.setattr(argon2, "Argon2id", unsupported)
    assert admin_cipher.decrypted(SECRET, sealed) == b"text"


def test_without_argon2_secrets_can_be_sent_and_answers_are_refused_with_a_remedy(without):
    sealed = admin_cipher.encrypted(SECRET, b"text", admin_cipher.ARGON2_AES)
    without(ARGON2, "argon2")
    assert admin_cipher.encrypted(SECRET, b"text")
    with pytest.raises(MissingPartError, match="Argon2id") as error:
        admin_cipher.decrypted(SECRET, sealed)
    assert "python3-argon2" in error.value.remedy and "delegate" in error.value.remedy


def test_without_cryptography_nothing_is_sent_in_plain(without):
    without("cryptography")
    with pytest.raises(MissingPartError, match="AES-GCM") as error:
        admin_cipher.encrypted(SECRET, b"text")
    assert "python3-cryptography" in error.value.remedy

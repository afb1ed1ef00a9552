# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the stand-alone decryptor takes of libcrypto and libzstd: see rescue_decryptor."""

# ruff: noqa: UP006, UP007, UP031, UP032, UP035, UP045 - for Python 3.6

from __future__ import annotations

import ctypes
import ctypes.util
import hmac
import importlib
import typing as t
import zlib

CHUNK = 1024 * 1024
TAG = 16


class RescueError(Exception):
    """What could not be done, in words for people."""


def _loaded(*names: str) -> t.Any:
    """Return the first library that is there; None when none is."""
    for name in names:
        try:
            if name:
                return ctypes.CDLL(name)
        except OSError:
            continue
    return None


class Crypto:
    """The four things that we need of libcrypto (OpenSSL 1.1 or 3)."""

    def __init__(self) -> None:
        found = ctypes.util.find_library("crypto") or ""
        self._lib = _loaded("libcrypto.so.3", "libcrypto.so.1.1", found, "libcrypto.so", "libcrypto.dylib")
        if self._lib is None:
            raise RescueError("there is no libcrypto: install the package of OpenSSL (libssl3, openssl-libs)")
        for name in ("BIO_new_mem_buf", "PEM_read_bio_PrivateKey", "EVP_PKEY_CTX_new", "EVP_CIPHER_CTX_new"):
            getattr(self._lib, name).restype = ctypes.c_void_p
        self._lib.EVP_aes_256_gcm.restype = ctypes.c_void_p
        self._gcm = ctypes.c_void_p(self._lib.EVP_aes_256_gcm())

    def private_key(self, pem: bytes, password: bytes) -> t.Any:
        """Return an encrypted private key, opened; None where the password is another one's."""
        bio = ctypes.c_void_p(self._lib.BIO_new_mem_buf(pem, ctypes.c_int(len(pem))))
        key = self._lib.PEM_read_bio_PrivateKey(bio, None, None, ctypes.c_char_p(password))
        return ctypes.c_void_p(key) if key else None

    def rsa_decrypted(self, key: t.Any, ciphertext: bytes) -> t.Optional[bytes]:
        """Return what was encrypted for an RSA key with OAEP and SHA-256; None where it was not."""
        lib, context = self._lib, ctypes.c_void_p(self._lib.EVP_PKEY_CTX_new(key, None))
        good = lib.EVP_PKEY_decrypt_init(context) == 1
        for name, value in ((b"rsa_padding_mode", b"oaep"), (b"rsa_oaep_md", b"sha256"), (b"rsa_mgf1_md", b"sha256")):
            good = good and lib.EVP_PKEY_CTX_ctrl_str(context, name, value) == 1
        room = ctypes.create_string_buffer(len(ciphertext))
        size = ctypes.c_size_t(len(ciphertext))
        text = ctypes.c_char_p(ciphertext)
        good = good and lib.EVP_PKEY_decrypt(context, room, ctypes.byref(size), text, size) == 1
        lib.EVP_PKEY_CTX_free(context)
        return room.raw[: size.value] if good else None

    def opened(self, key: bytes, iv: bytes, aad: bytes, data: bytes, tag: bytes) -> t.Optional[bytes]:
        """Return what AES-256-GCM encrypted; None where the tag is not its own."""
        lib, context = self._lib, ctypes.c_void_p(self._lib.EVP_CIPHER_CTX_new())
        room, size = ctypes.create_string_buffer(len(data) + 16), ctypes.c_int(0)
        good = len(iv) == 12 and len(tag) == TAG
        good = good and lib.EVP_DecryptInit_ex(context, self._gcm, None, key, iv) == 1
        good = good and lib.EVP_DecryptUpdate(context, None, ctypes.byref(size), aad, ctypes.c_int(len(aad))) == 1
        if data:
            good = good and lib.EVP_DecryptUpdate(context, room, ctypes.byref(size), data, ctypes.c_int(len(data))) == 1
        good = good and lib.EVP_CIPHER_CTX_ctrl(context, 0x11, TAG, ctypes.c_char_p(tag)) == 1  # EVP_CTRL_AEAD_SETTAG
        rest = ctypes.create_string_buffer(16)
        good = good and lib.EVP_DecryptFinal_ex(context, rest, ctypes.byref(size)) == 1
        lib.EVP_CIPHER_CTX_free(context)
        return room.raw[: len(data)] if good else None


class _Buffer(ctypes.Structure):
    """ZSTD_inBuffer and ZSTD_outBuffer, which are alike."""

    _fields_ = [("data", ctypes.c_void_p), ("size", ctypes.c_size_t), ("place", ctypes.c_size_t)]


def zstd_reader() -> t.Optional[t.Callable[[t.Iterable[bytes]], t.Iterator[bytes]]]:
    """Return what decompresses zstd frames that follow each other; None where nothing on this host can."""
    try:
        module = importlib.import_module("compression.zstd")
        return lambda chunks: _with_python(module, chunks)
    except ImportError:
        lib = _loaded("libzstd.so.1", ctypes.util.find_library("zstd") or "", "libzstd.so", "libzstd.dylib")
    return None if lib is None else (lambda chunks: _with_libzstd(lib, chunks))


def _with_python(module: t.Any, chunks: t.Iterable[bytes]) -> t.Iterator[bytes]:
    reader = module.ZstdDecompressor()
    for chunk in chunks:
        while chunk:
            if reader.eof:
                reader = module.ZstdDecompressor()
            yield reader.decompress(chunk)
            chunk = reader.unused_data if reader.eof else b""
    if not reader.eof:
        raise RescueError("a compressed file is cut")


def _with_libzstd(lib: t.Any, chunks: t.Iterable[bytes]) -> t.Iterator[bytes]:
    lib.ZSTD_createDStream.restype = ctypes.c_void_p
    lib.ZSTD_decompressStream.restype = ctypes.c_size_t
    stream, room, left = ctypes.c_void_p(lib.ZSTD_createDStream()), ctypes.create_string_buffer(CHUNK), 1
    try:
        for chunk in chunks:
            held = ctypes.create_string_buffer(chunk, len(chunk))
            given, is_full = _Buffer(ctypes.addressof(held), len(chunk), 0), False
            while given.place < given.size or is_full:
                got = _Buffer(ctypes.addressof(room), CHUNK, 0)
                left = lib.ZSTD_decompressStream(stream, ctypes.byref(got), ctypes.byref(given))
                if lib.ZSTD_isError(ctypes.c_size_t(left)):
                    raise RescueError("compressed bytes are damaged")
                is_full = got.place == got.size
                yield room.raw[: got.place]
        if left:
            raise RescueError("a compressed file is cut")
    finally:
        lib.ZSTD_freeDStream(stream)


def gunzipped(chunks: t.Iterable[bytes]) -> t.Iterator[bytes]:
    reader = zlib.decompressobj(31)
    for chunk in chunks:
        while chunk:
            if reader.eof:
                reader = zlib.decompressobj(31)
            yield reader.decompress(chunk)
            chunk = reader.unused_data
    if not reader.eof:
        raise RescueError("a compressed file is cut")


def hkdf(secret: bytes, salt: bytes, info: bytes) -> bytes:
    """Return 32 bytes of HKDF-SHA512 (RFC 5869)."""
    return hmac.new(hmac.new(salt, secret, "sha512").digest(), info + b"\x01", "sha512").digest()[:32]

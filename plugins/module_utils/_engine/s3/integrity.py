# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import hashlib
import re
import typing as t
import zlib

from . import failure
from .connection import Body
from .failure import S3Error

# CRC-32 travels with each upload, and the server refuses other bytes. It runs at more than 1 GB/s on any machine,
# where MD5 (Content-MD5) takes twice to four times and SHA-256 without CPU support five times as long; AWS, MinIO and
# Versity Gateway all check it and answer with what they stored. It has to find accidents only: against malice there is
# TLS, or the signed SHA-256 over plain http to other machines, and the SHA-256 of stored files in the manifest.
HEADER = "x-amz-checksum-crc32"
ALGORITHM_HEADERS = {"x-amz-checksum-algorithm": "CRC32"}
MD5 = re.compile(r"[0-9a-f]{32}")  # as ETags have it


def crc32(body: Body) -> str:
    """Return the CRC-32 of a body as S3 writes it: base64 of the big-endian four bytes."""
    value = 0
    for chunk in body:
        value = zlib.crc32(chunk, value)
    return base64.b64encode(value.to_bytes(4, "big")).decode("ascii")


def md5(body: Body) -> str:
    """Return the MD5 of a body in hex."""
    digest = hashlib.md5(usedforsecurity=False)
    for chunk in body:
        digest.update(chunk)
    return digest.hexdigest()


def base64_md5(data: bytes) -> str:
    """Return what a Content-MD5 header holds."""
    return base64.b64encode(bytes.fromhex(md5((data,)))).decode("ascii")


def confirm_stored(problem: str, fields: t.Mapping[str, str], body: Body, checksum: str) -> None:
    """Compare what the server says that it stored with what was sent. Raises S3Error (Altered).

    A server that does not know checksums is judged by its ETag, where that is an MD5 (not with KMS or customer keys).
    """
    stored = fields.get(HEADER)
    etag = fields.get("etag", "").strip('"')
    if stored is not None:
        is_equal = stored == checksum
    elif MD5.fullmatch(etag) and not etag_is_no_md5(fields):
        is_equal = etag == md5(body)
    else:
        is_equal = True
    if not is_equal:
        raise S3Error(problem, 200, failure.ALTERED, "the server stored other bytes than were sent", fields)


def confirm_received(problem: str, fields: t.Mapping[str, str], data: bytes) -> None:
    """Compare a whole object with the CRC-32 that the server keeps of it, where there is one. Raises S3Error
    (Altered).
    """
    stored = fields.get(HEADER, "")
    # A value with "-<parts>" is a checksum of checksums.
    if stored and "-" not in stored and stored != crc32((data,)):
        raise S3Error(problem, 200, failure.ALTERED, "other bytes arrived than the server stored", fields)


def etag_is_no_md5(fields: t.Mapping[str, str]) -> bool:
    """Say whether the headers of an answer tell that the ETag does not follow from the bytes: the server encrypts with
    keys of KMS or of the customer.
    """
    return (
        "kms" in fields.get("x-amz-server-side-encryption", "")
        or "x-amz-server-side-encryption-customer-algorithm" in fields
    )

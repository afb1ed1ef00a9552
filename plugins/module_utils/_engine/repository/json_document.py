# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import json
import re
import typing as t

from ..errors import DamagedError
from .layout import FORMAT

_BREAK = re.compile(rb"\n *")  # no string has one: there it is escaped
Fields = t.Dict[str, t.Any]  # noqa: UP006 - evaluated at run time on Python 3.9 as well


class NewerFormatError(DamagedError):
    """A document is of a format version that this code does not know."""


class Checked(bytes):
    """The bytes of a document that `decoded` has accepted before: it only parses them again."""


def encoded(fields: Fields) -> bytes:
    """Return the bytes of a document: JSON with sorted keys, ASCII only, and a `digest` over all else.

    The digest is the SHA-256 of the same bytes without it, so that a reader notices damage in a document that still
    parses.
    """
    body = dict(fields, format=FORMAT)
    body["digest"] = hashlib.sha256(_plain(body)).hexdigest()
    return _plain(body)


def unsigned(fields: Fields) -> bytes:
    """Return what a signature of a document is made over: its bytes without digest and signature."""
    return _plain(dict(fields, format=fields.get("format", FORMAT)))


def decoded(data: bytes, what: str) -> Fields:
    """Parse what `encoded` wrote. Raises DamagedError for damage and for format versions newer than this code.

    Only what `encoded` writes is accepted: a changed space or the case of a hexadecimal digit would not change what the
    document says, but copies of a backup are compared as bytes.
    """
    remedy = "upgrade lifeboat.recovery, or use another copy"
    try:
        fields = json.loads(data)
        if not isinstance(fields, dict):
            raise ValueError("it is not a JSON object")
        version = fields["format"]
        if not isinstance(version, int) or version < 1:
            raise ValueError("it has no valid format version")
        if version > FORMAT:
            raise NewerFormatError(f"Cannot read {what}", f"format version {version} is newer than {FORMAT}", remedy)
        if not isinstance(data, Checked) and _flat(fields) != _BREAK.sub(b"", data):
            raise ValueError("it is not in the form in which documents are written")
        digest = fields.pop("digest")
        if not isinstance(data, Checked) and hashlib.sha256(_without(digest, data)).hexdigest() != digest:
            raise ValueError("its digest does not match")
    except (ValueError, KeyError, RecursionError) as error:
        raise DamagedError(f"Cannot read {what}", f"damaged: {error}", "use another copy of it") from error
    return fields


def _without(digest: str, data: bytes) -> bytes:
    """Return a document without the line of its digest; that is what was digested. Raises ValueError."""
    before, line, after = data.partition(f'\n "digest": "{digest}",'.encode("ascii"))
    if not line:
        raise ValueError("it is not in the form in which documents are written")
    return before + after


def _flat(fields: Fields) -> bytes:
    # Catalogs read documents by the ten thousand: json is ten times as fast where it need not indent.
    return json.dumps(fields, sort_keys=True, separators=(",", ": "), ensure_ascii=True, allow_nan=False).encode()


def _plain(fields: Fields) -> bytes:
    return (json.dumps(fields, sort_keys=True, indent=1, ensure_ascii=True, allow_nan=False) + "\n").encode()

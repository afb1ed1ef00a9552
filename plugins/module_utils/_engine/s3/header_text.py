# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import binascii
import re

_WORD = r"=\?([0-9A-Za-z._-]+)(?:\*[0-9A-Za-z-]*)?\?([bBqQ])\?([!->@-~]*)\?="
_ENCODED = re.compile(rf"{_WORD}(?:[ \t]+{_WORD})*")
_WORDS = re.compile(_WORD)
_ESCAPE = re.compile(rb"=([0-9A-Fa-f]{2})")
_LONGEST = 45  # bytes of text in one encoded word: 60 signs of base64, and a word has at most 75 signs (RFC 2047)


def true_text(value: str) -> str:
    """Return what a header says, of which every byte was read as a sign of Latin-1: servers send UTF-8 as it is."""
    if value.isascii():
        return value
    try:
        return value.encode("latin-1").decode("utf-8")
    except (UnicodeEncodeError, UnicodeDecodeError):
        return value


def decoded(value: str) -> str:
    """Return the text of a value of user metadata: raw UTF-8, or nothing but encoded words (RFC 2047).

    MinIO and AWS answer with encoded words as soon as there is a sign that is not ASCII. Words amid other text, or
    that cannot be read, are left as they are: then somebody means these signs.
    """
    text = true_text(value)
    if not text.startswith("=?") or not _ENCODED.fullmatch(text):
        return text
    try:
        return _joined([(found[0].lower(), _word_bytes(found[1], found[2])) for found in _WORDS.findall(text)])
    except (binascii.Error, LookupError, ValueError):
        return text


def encoded(value: str) -> str:
    """Return text as encoded words where it is not ASCII: AWS reads raw UTF-8 as Latin-1."""
    if value.isascii():
        return value
    pieces, piece = [], ""
    for sign in value:
        if len((piece + sign).encode()) > _LONGEST:
            pieces.append(piece)
            piece = ""
        piece += sign
    return " ".join(f"=?UTF-8?B?{base64.b64encode(text.encode()).decode('ascii')}?=" for text in [*pieces, piece])


def _word_bytes(kind: str, text: str) -> bytes:
    data = text.encode("ascii")
    if kind in "bB":
        return base64.b64decode(data, validate=True)
    return _ESCAPE.sub(lambda found: bytes([int(found.group(1), 16)]), data.replace(b"_", b" "))


def _joined(words: list[tuple[str, bytes]]) -> str:
    """Decode words that follow each other in one character set together: some writers cut signs in two."""
    text, charset, data = "", words[0][0], b""
    for name, piece in words:
        if name != charset:
            text, charset, data = text + data.decode(charset), name, b""
        data += piece
    return text + data.decode(charset)

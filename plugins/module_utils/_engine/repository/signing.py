# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Signatures of documents: who has no key of the keyring can read them, and can neither change nor make one."""

from __future__ import annotations

import re
import typing as t

from . import json_document
from .json_document import Fields
from .keys import Keys

MEMBER = "mac"  # of a document: its signature
_DIGEST = re.compile(rb'\n "digest": "[0-9a-f]{64}",')
_SIGNATURE = re.compile(rb'\n "mac": \{[^{}]*\n \},')
# What is known of a document:
NOT_CHECKED = "not_checked"  # nobody asked: there are no keys
VALID = "valid"
MISSING = "missing"
UNKNOWN_KEY = "unknown_key"  # made with a key that is not at hand, or so it says
WRONG = "wrong"  # the document, or its signature, was changed


def encoded(fields: Fields, purpose: str, keys: Keys | None) -> bytes:
    """Return the bytes of a document, signed where there are keys; `purpose` tells kinds of documents apart."""
    if keys is None:
        return json_document.encoded(fields)
    signature = keys.signature(purpose, json_document.unsigned(fields))
    return json_document.encoded({**fields, MEMBER: signature})


def verdict(fields: Fields, purpose: str, keys: Keys | None, data: bytes) -> str:
    """Say what the signature of a document is worth, which `json_document.decoded` has read from `data`."""
    if keys is None:
        return NOT_CHECKED
    signature = fields.get(MEMBER)
    if signature is None:
        return MISSING
    if not isinstance(signature, dict):
        return WRONG
    if keys.is_signed(purpose, _body(fields, data), signature):
        return VALID
    return WRONG if keys.has(signature.get("keyring"), signature.get("epoch")) else UNKNOWN_KEY


def _body(fields: Fields, data: bytes) -> bytes:
    """Return what a document's signature is made over: its bytes without the lines of digest and signature.

    Catalogs check ten thousands of them, and to write a document again takes twenty times as long. That the bytes are
    those which are signed does not depend on where the lines were: `fields` has these members at the outermost level,
    where the signed bytes have none, so no others can have been taken out.
    """
    rest, count = _DIGEST.subn(b"", data, count=1)
    body, more = _SIGNATURE.subn(b"", rest, count=1)
    if count == more == 1:
        return body
    return json_document.unsigned({name: value for name, value in fields.items() if name != MEMBER})


def counts(found: str) -> bool:
    """Say whether a document with this verdict is believed what only its owner may say."""
    return found in (VALID, NOT_CHECKED)


_WORDS: t.Mapping[str, str] = {
    MISSING: "it is not signed",
    UNKNOWN_KEY: "it is signed with a key that is not at hand",
    WRONG: "its signature is wrong",
}


def words(found: str) -> str:
    """Return what is wrong with a signature; nothing where it counts."""
    return _WORDS.get(found, "")

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Signatures of documents are checked by their bytes; whatever was changed in them is noticed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import DamagedError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import json_document, signing
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.keys import Keys
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.stream.encryption import EpochKey

KEYS = Keys("7d0e", (EpochKey("7d0e", "e1", b"k" * 32),))
FIELDS: dict[str, t.Any] = {
    "job": "db1",
    "list": [{"a": 1}, {}],
    "words": 'a\n "mac": {\n },\n "digest": "0",{}',
    "zone": {"mac": {"x": "y"}, "digest": "0" * 64},
}


def verdict(data: bytes, purpose: str = "test", keys: Keys | None = KEYS) -> str:
    return signing.verdict(json_document.decoded(data, "it"), purpose, keys, data)


def redigested(data: bytes) -> bytes:
    """Give changed bytes the digest that goes with them, as everybody can."""
    old = json.loads(data)["digest"].encode("ascii")
    line = b'\n "digest": "' + old + b'",'
    digest = hashlib.sha256(data.replace(line, b"", 1)).hexdigest().encode("ascii")
    return data.replace(old, digest, 1)


@pytest.mark.parametrize("fields", [FIELDS, {"job": "x"}, {"a": {}, "mab": 1, "mad": 2}, {}])
def test_what_was_signed_is_valid_by_its_bytes(fields: dict[str, t.Any], monkeypatch: pytest.MonkeyPatch) -> None:
    data = signing.encoded(fields, "test", KEYS)
    again = signing.verdict(json_document.decoded(data, "it"), "test", KEYS, b"")  # written anew

    assert verdict(data) == again == signing.VALID
    assert verdict(data, "other") == signing.WRONG
    assert verdict(data, keys=None) == signing.NOT_CHECKED
    assert verdict(json_document.encoded(fields)) == signing.MISSING


def test_documents_are_not_written_again_to_be_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    data = signing.encoded(FIELDS, "test", KEYS)
    monkeypatch.setattr(json_document, "unsigned", lambda _fields: pytest.fail("it was written again"))

    assert verdict(data) == signing.VALID


def test_every_changed_byte_makes_a_signature_wrong_or_the_document_damaged() -> None:
    data = signing.encoded(FIELDS, "test", KEYS)

    for position in range(len(data)):
        changed = data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
        with contextlib.suppress(DamagedError, ValueError, KeyError, AttributeError):
            again = redigested(changed)
            assert again == data or verdict(again) != signing.VALID, position


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'\n "zone": {', b'\n "zone": {\n "mac": {\n },'),  # what would be taken out for the signature
        (b'\n  "mac": {', b'\n "mac": {'),
        (b'\n "job"', b'\n\n "job"'),
        (b'\n "mac": {', b'\n  "mac": {'),
        (b'\n "list": [', b'\n "digest": "' + b"0" * 64 + b'",\n "list": ['),
    ],
)
def test_lines_that_are_moved_or_added_change_nothing_or_are_noticed(old: bytes, new: bytes) -> None:
    data = signing.encoded(FIELDS, "test", KEYS)
    assert old in data

    with contextlib.suppress(DamagedError, ValueError):
        changed = redigested(data.replace(old, new, 1))
        is_same = json_document.decoded(changed, "it") == json_document.decoded(data, "it")
        assert is_same or verdict(changed) == signing.WRONG

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Encrypted files, judged by the AWS Encryption SDK for Python in both directions."""

from __future__ import annotations

import itertools
import os
import random

import aws_encryption_sdk
import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import DamagedError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.stream import encryption, message_header
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.stream.encryption import EpochKey, WrongKeyError
from aws_encryption_sdk.identifiers import Algorithm, CommitmentPolicy, EncryptionKeyType, WrappingAlgorithm
from aws_encryption_sdk.internal.crypto.wrapping_keys import WrappingKey
from aws_encryption_sdk.key_providers.raw import RawMasterKey

FRAME = encryption.FRAME
SMALL = 128  # plain bytes of a frame, where a test wants many of them: the fewest that the SDK writes
KEY = EpochKey("lifeboat-7f3a", "2026-1", bytes(range(32)))
CONTEXT = {"job": "café", "backup": "20261120T020000Z-0a1b2c", "file": "dump"}
SUITE = Algorithm.AES_256_GCM_HKDF_SHA512_COMMIT_KEY
SDK = aws_encryption_sdk.EncryptionSDKClient(commitment_policy=CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT)
RANDOM = random.Random(20261121)  # noqa: S311 - no secret


def their_key(key: EpochKey = KEY) -> RawMasterKey:
    wrapping = WrappingKey(WrappingAlgorithm.AES_256_GCM_IV12_TAG16_NO_PADDING, key.secret, EncryptionKeyType.SYMMETRIC)
    return RawMasterKey(provider_id=key.keyring, key_id=key.epoch.encode(), wrapping_key=wrapping)


def ours(plain: bytes, context: dict[str, str] | None = None, key: EpochKey = KEY) -> bytes:
    cut = len(plain) // 3
    pieces = [plain[:cut], b"", plain[cut:]]
    return b"".join(encryption.encrypted(pieces, key, CONTEXT if context is None else context))


def theirs(plain: bytes, frame: int = FRAME, context: dict[str, str] | None = None) -> bytes:
    stored, _header = SDK.encrypt(
        source=plain,
        key_provider=their_key(),
        encryption_context=CONTEXT if context is None else context,
        frame_length=frame,
        algorithm=SUITE,
    )
    return bytes(stored)


def pieces_of(stored: bytes, size: int) -> list[bytes]:
    return [stored[start : start + size] for start in range(0, len(stored), size)]


def read(stored: bytes, context: dict[str, str] | None = None, key: EpochKey = KEY, size: int = 1_000_000) -> bytes:
    found = encryption.decrypted(pieces_of(stored, size), [key], CONTEXT if context is None else context)
    return b"".join(found)


def released(stored: bytes) -> bytes:
    """Return what comes out before the error, which there must be."""
    got = []
    with pytest.raises(DamagedError):
        for chunk in encryption.decrypted([stored], [KEY], CONTEXT):
            got.append(chunk)
    return b"".join(got)


@pytest.fixture
def small_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encryption, "FRAME", SMALL)


@pytest.mark.parametrize("size", [0, 1, FRAME - 1, FRAME, FRAME + 1, 3 * FRAME, 3 * FRAME + 5])
def test_each_reads_what_the_other_writes(size: int) -> None:
    plain = RANDOM.randbytes(size)
    stored = ours(plain)
    found, header = SDK.decrypt(source=stored, key_provider=their_key())
    assert (found, header.encryption_context, header.algorithm) == (plain, CONTEXT, SUITE)
    assert len(stored) == encryption.encrypted_size(size, encryption.opened(stored[:4096], [KEY], CONTEXT).length)
    assert read(theirs(plain)) == plain
    assert read(stored) == plain


def test_each_reads_what_the_other_writes_of_random_sizes(small_frames: None) -> None:
    for number in range(500):
        plain = RANDOM.randbytes(RANDOM.choice((RANDOM.randrange(20), RANDOM.randrange(10 * SMALL))))
        context = {f"key {each}": "é" * each for each in range(number % 4)}
        found, header = SDK.decrypt(source=ours(plain, context), key_provider=their_key())
        assert (found, header.encryption_context) == (plain, context)
        frame = SMALL * RANDOM.randrange(1, 4)
        assert read(theirs(plain, frame, context), context, size=RANDOM.randrange(1, 100)) == plain


def test_a_part_is_read_from_its_frames_alone(small_frames: None) -> None:
    plain = RANDOM.randbytes(10 * SMALL + 7)
    for stored in (ours(plain), theirs(plain, SMALL), ours(plain[: 4 * SMALL]), theirs(plain[: 4 * SMALL], SMALL)):
        sealed = encryption.opened(stored, [KEY], CONTEXT)
        size = len(read(stored))
        for offset, length in itertools.product((0, 1, SMALL - 1, SMALL, 3 * SMALL), (0, 1, SMALL, SMALL + 1, size)):
            length = min(length, size - offset)
            start, count = sealed.span(offset, length, len(stored))
            assert sealed.length <= start <= start + count <= len(stored)
            assert count <= (length // SMALL + 2) * (SMALL + 40)
            part = b"".join(sealed.plain([stored[start : start + count]], offset, length))
            assert part == plain[offset : offset + length]


def test_a_part_behind_the_end_or_of_another_place_is_refused(small_frames: None) -> None:
    plain = RANDOM.randbytes(3 * SMALL)
    stored = ours(plain)
    sealed = encryption.opened(stored, [KEY], CONTEXT)
    start, count = sealed.span(2 * SMALL, SMALL, len(stored))
    with pytest.raises(DamagedError, match="ends before"):
        list(sealed.plain([stored[start : start + count]], 2 * SMALL, SMALL + 1))
    with pytest.raises(DamagedError, match="frame 2 should be"):
        list(sealed.plain([stored[start : start + count]], SMALL, SMALL))


def frames_of(stored: bytes) -> tuple[bytes, list[bytes]]:
    """Return the header of a file of small frames, and its frames."""
    length = encryption.opened(stored, [KEY], CONTEXT).length
    regular = SMALL + 32
    count = (len(stored) - length - 40) // regular
    cuts = [length + number * regular for number in range(count + 1)]
    return stored[:length], [stored[start:end] for start, end in zip(cuts, [*cuts[1:], len(stored)])]


def test_a_file_that_is_cut_anywhere_is_noticed_and_nothing_comes_out_beyond_the_cut(small_frames: None) -> None:
    plain = RANDOM.randbytes(5 * SMALL)
    stored = ours(plain)
    head, frames = frames_of(stored)
    for end in range(len(stored)):
        whole = max(0, (end - len(head)) // (SMALL + 32))
        assert released(stored[:end]) == plain[: min(whole, len(frames) - 1) * SMALL]


def test_frames_that_are_swapped_doubled_left_out_or_of_another_file_are_noticed(small_frames: None) -> None:
    plain = RANDOM.randbytes(5 * SMALL)
    head, frames = frames_of(ours(plain))
    _other, others = frames_of(ours(plain))
    for number in range(len(frames) - 1):
        swapped = [*frames[:number], frames[number + 1], frames[number], *frames[number + 2 :]]
        doubled = [*frames[: number + 1], frames[number], *frames[number + 1 :]]
        lacking = [*frames[:number], *frames[number + 1 :]]
        foreign = [*frames[:number], others[number], *frames[number + 1 :]]
        for order, good in ((swapped, number), (doubled, number + 1), (lacking, number), (foreign, number)):
            assert released(head + b"".join(order)) == plain[: good * SMALL]
    assert released(head + b"".join(frames) + b"\0") == plain
    assert released(head + b"".join([*frames, frames[-1]])) == plain


def test_a_changed_bit_anywhere_is_noticed_and_nothing_comes_out_beyond_it(small_frames: None) -> None:
    plain = RANDOM.randbytes(2 * SMALL + 9)
    stored = ours(plain)
    head, _frames = frames_of(stored)
    for place in range(len(stored)):
        changed = bytearray(stored)
        changed[place] ^= 1 << RANDOM.randrange(8)
        frame = max(0, (place - len(head)) // (SMALL + 32))
        got = []
        with pytest.raises((DamagedError, WrongKeyError)):
            for chunk in encryption.decrypted([bytes(changed)], [KEY], CONTEXT):
                got.append(chunk)
        assert b"".join(got) == plain[: frame * SMALL]


@pytest.mark.parametrize(
    "key",
    [
        EpochKey(KEY.keyring, KEY.epoch, os.urandom(32)),
        EpochKey(KEY.keyring, "2026-2", KEY.secret),
        EpochKey("lifeboat-0000", KEY.epoch, KEY.secret),
    ],
    ids=["secret", "epoch", "keyring"],
)
def test_another_key_opens_nothing_and_the_error_names_the_right_one(key: EpochKey) -> None:
    with pytest.raises(WrongKeyError, match="2026-1 of keyring lifeboat-7f3a") as caught:
        read(ours(b"text"), key=key)
    assert KEY.secret.hex() not in str(caught.value)


def test_several_keys_may_be_at_hand() -> None:
    other = EpochKey(KEY.keyring, "2026-2", os.urandom(32))
    stored = ours(b"text", key=other)
    assert b"".join(encryption.decrypted([stored], [KEY, other], CONTEXT)) == b"text"


@pytest.mark.parametrize(
    "context",
    [{}, {**CONTEXT, "file": "globals"}, {**CONTEXT, "more": ""}, {"job": CONTEXT["job"], "backup": "x"}],
    ids=["none", "file", "more", "fewer"],
)
def test_a_file_of_another_context_is_refused(context: dict[str, str]) -> None:
    with pytest.raises(DamagedError, match="belongs to"):
        read(ours(b"text"), context)
    assert encryption.context_of(ours(b"text")) == CONTEXT


def test_a_key_to_which_the_file_did_not_commit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    plain_derived = encryption._derived
    stored = ours(b"text")
    monkeypatch.setattr(encryption, "_derived", lambda key, ident: (plain_derived(key, ident)[0], os.urandom(32)))
    with pytest.raises(DamagedError, match="not the one that it was written with"):
        read(stored)


def test_files_of_other_suites_are_refused() -> None:
    client = aws_encryption_sdk.EncryptionSDKClient(commitment_policy=CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT)
    stored, _header = client.encrypt(
        source=b"text",
        key_provider=their_key(),
        encryption_context=CONTEXT,
        algorithm=Algorithm.AES_256_GCM_IV12_TAG16_HKDF_SHA256,
    )
    with pytest.raises(DamagedError, match="version 1"):
        read(bytes(stored))


def test_whatever_comes_is_an_error_with_words() -> None:
    header = ours(b"")[:200]
    for number in range(2000):
        junk = RANDOM.randbytes(RANDOM.randrange(300))
        data = header[: RANDOM.randrange(len(header))] + junk if number % 2 else junk
        with pytest.raises((DamagedError, WrongKeyError)):
            read(data)


def test_no_two_files_share_a_key_or_an_id() -> None:
    found = [encryption.opened(ours(b""), [KEY], CONTEXT) for _time in range(20)]
    assert len({each.key for each in found}) == len({each.header.id for each in found}) == 20


def test_secrets_are_in_no_representation() -> None:
    sealed = encryption.opened(ours(b""), [KEY], CONTEXT)
    for text in (repr(KEY), repr(sealed), str(sealed)):
        assert repr(KEY.secret)[2:-1] not in text
        assert repr(sealed.key)[2:-1] not in text


@pytest.mark.parametrize("context", [{"": "x"}, {"aws-crypto-x": "y"}, {"x": "y" * 70_000}])
def test_a_context_that_the_format_cannot_hold_is_refused_before_anything_is_written(context: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="context|header"):
        list(encryption.encrypted([b"text"], KEY, context))


def test_a_header_comes_back_as_it_was_written() -> None:
    stored = ours(b"text")
    header, length = message_header.parsed(stored)
    assert message_header.to_bytes(header) == stored[:length]

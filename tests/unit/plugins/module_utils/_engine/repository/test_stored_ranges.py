# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Parts of stored files, plain and encrypted: the right bytes, no others, and nothing that was changed."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import random
import typing as t
from pathlib import Path

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import DamagedError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import identity, keys, layout
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.manifest import StoredFile
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.publish import Run
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.stored_files import plain_chunks
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.stored_ranges import (
    Ranged,
    StoredRanges,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.stream.encryption import FRAME, WrongKeyError
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.examples import JOB
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.random_keys import (
    random_keys,
)

DATA = random.Random(7).randbytes(3 * FRAME + 1000)


class Stored:
    """A stored file in a directory."""

    def __init__(self, folder: Path, data: bytes = DATA, is_encrypted: bool = True) -> None:
        self.store = DirectoryStore(str(folder))
        identity.initialise(self.store)
        self.store.keys = random_keys("e1", "e2") if is_encrypted else None
        run = Run(self.store, JOB)
        self.file: StoredFile = run.store_file("index.jsonl", "index", [data], "none")
        self.owner = run.id
        self.path = folder / layout.data(JOB, run.id, self.file.name)
        run.close()

    @property
    def ranged(self) -> Ranged:
        return Ranged(self.owner, self.file.name, self.file.encryption, self.file.facts.stored_size)

    def read(self, offset: int, length: int) -> bytes:
        return b"".join(StoredRanges(self.store, JOB).read(self.ranged, offset, length))

    def whole(self) -> bytes:
        return b"".join(plain_chunks(self.store, JOB, self.owner, self.file))

    def rewrite(self, data: bytes) -> None:
        self.path.chmod(0o600)
        self.path.write_bytes(data)


@pytest.fixture(params=[True, False], ids=["encrypted", "plain"])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Stored:
    return Stored(tmp_path, is_encrypted=request.param)


def test_every_part_is_that_of_the_whole(stored: Stored) -> None:
    chance = random.Random(1)
    edges = [0, 1, FRAME - 1, FRAME, FRAME + 1, 2 * FRAME, 3 * FRAME, len(DATA) - 1, len(DATA)]
    pairs = [(first, last) for first in edges for last in edges if first < last]
    pairs += [tuple(sorted(chance.sample(range(len(DATA) + 1), 2))) for _number in range(100)]
    for first, last in pairs:
        assert stored.read(first, last - first) == DATA[first:last], (first, last)
    assert stored.read(5, 0) == b""
    assert StoredRanges(stored.store, JOB).size(stored.ranged) == len(DATA)
    assert stored.whole() == DATA


@pytest.mark.parametrize("size", [0, 1, FRAME - 1, FRAME, FRAME + 1, 2 * FRAME])
def test_the_size_of_the_compressed_bytes_is_known(tmp_path: Path, size: int) -> None:
    stored = Stored(tmp_path, DATA[:size])
    assert StoredRanges(stored.store, JOB).size(stored.ranged) == size
    assert stored.read(0, size) == DATA[:size]


def test_what_lies_behind_the_end_is_refused(tmp_path: Path) -> None:
    stored = Stored(tmp_path)
    for offset, length in ((len(DATA), 1), (0, len(DATA) + 1), (10 * FRAME, 1)):
        with pytest.raises(DamagedError):
            stored.read(offset, length)


def test_a_changed_header_is_damage_and_no_wrong_key(tmp_path: Path) -> None:
    stored = Stored(tmp_path, DATA[:1000])
    good = stored.path.read_bytes()
    header = len(good) - 1000 - (4 + 4 + 12 + 4 + 16)
    for place in range(header):
        stored.rewrite(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        with pytest.raises(DamagedError):
            stored.whole()
        with pytest.raises((DamagedError, WrongKeyError)):
            stored.read(0, 10)


def test_a_changed_frame_spoils_the_parts_in_it_alone(tmp_path: Path) -> None:
    stored = Stored(tmp_path)
    good = stored.path.read_bytes()
    place = len(good) - len(DATA) // 2  # in the second half
    stored.rewrite(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
    assert stored.read(0, FRAME) == DATA[:FRAME]
    given = []
    with pytest.raises(DamagedError, match="frame"):
        for chunk in StoredRanges(stored.store, JOB).read(stored.ranged, 0, len(DATA)):
            given.append(chunk)
    assert DATA.startswith(b"".join(given)) and len(b"".join(given)) % FRAME == 0


def test_frames_in_another_order_are_refused(tmp_path: Path) -> None:
    stored = Stored(tmp_path)
    good = stored.path.read_bytes()
    size = FRAME + 32
    header = len(good) - 1000 - 40 - 3 * size
    frames = [good[header + number * size : header + (number + 1) * size] for number in range(3)]
    stored.rewrite(good[:header] + frames[1] + frames[0] + good[header + 2 * size :])
    for offset in (0, FRAME):
        with pytest.raises(DamagedError):
            stored.read(offset, 1)
    stored.rewrite(good[:header] + frames[0] + frames[0] + good[header + 2 * size :])
    with pytest.raises(DamagedError):
        stored.read(FRAME, 1)
    stored.rewrite(good[: header + 2 * size] + good[header + 3 * size :])  # one is missing
    with pytest.raises(DamagedError):
        list(StoredRanges(stored.store, JOB).read(stored.ranged._replace(stored_size=len(good) - size), 2 * FRAME, 1))


def test_the_header_is_read_once_by_however_many_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = Stored(tmp_path)
    asked: list[int] = []
    read = DirectoryStore.read

    def counted(
        self: DirectoryStore, key: str, offset: int = 0, length: int | None = None, version_id: str = ""
    ) -> t.Any:
        asked.append(offset)
        return read(self, key, offset, length, version_id)

    monkeypatch.setattr(DirectoryStore, "read", counted)
    ranges = StoredRanges(stored.store, JOB)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        places = [number * 5000 for number in range(1, 100)]
        found = list(pool.map(lambda place: b"".join(ranges.read(stored.ranged, place, 100)), places))
    assert found == [DATA[place : place + 100] for place in places]
    assert asked.count(0) == 1


def test_a_key_that_is_not_at_hand_is_named(tmp_path: Path) -> None:
    stored = Stored(tmp_path)
    both = stored.store.keys
    assert both is not None
    for others in (None, random_keys("e2"), dataclasses.replace(both, epochs=both.epochs[:1])):
        stored.store.keys = others
        for unknown in (False, True):  # what no list tells of is asked of the file itself
            ranged = stored.ranged._replace(encryption=keys.ENCRYPTED) if unknown else stored.ranged
            if unknown and others is not None and others.keyring != both.keyring:
                continue
            with pytest.raises(WrongKeyError) as error:
                list(StoredRanges(stored.store, JOB).read(ranged, 0, 1))
            assert unknown or ("e2" in str(error.value) and both.keyring in str(error.value))
        with pytest.raises(WrongKeyError, match=both.keyring):
            stored.whole()

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stored files that are read by one thread, and by several, say the same of what was written and of what was not."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import threading
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import DamagedError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.stream import frame_reader
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.stream.compression import block_compressor
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.stream.pipeline import StreamFacts

PLAIN = [b"first" * 100_000, b"", bytes(range(256)) * 9_000]
FRAMES = [block_compressor("zstd")(each) for each in PLAIN]
STORED = b"".join(FRAMES)
BORDERS = list(itertools.accumulate(map(len, FRAMES)))
FACTS = StreamFacts(
    plain_size=sum(map(len, PLAIN)),
    plain_sha256=hashlib.sha256(b"".join(PLAIN)).hexdigest(),
    stored_size=len(STORED),
    stored_sha256=hashlib.sha256(STORED).hexdigest(),
    compression="zstd",
)


@pytest.fixture(autouse=True, params=["at once", "by threads"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_reader, "_LARGE", 1 << 60 if request.param == "at once" else -1)


def chunks(stored: bytes = STORED) -> t.Iterator[bytes]:
    return (stored[begin : begin + 1_000] for begin in range(0, len(stored), 1_000))


def read(stored: bytes = STORED, borders: t.Sequence[int] = (), **changes: t.Any) -> dict[int, bytes]:
    """Return what was read by the border before it."""
    found: dict[int, bytes] = {}
    for border, chunk in frame_reader.framed_chunks(chunks(stored), dataclasses.replace(FACTS, **changes), borders):
        found[border] = found.get(border, b"") + chunk
    return found


def test_all_plain_bytes_come_with_the_border_before_them() -> None:
    assert read() == {0: b"".join(PLAIN)}
    assert read(borders=BORDERS) == dict(zip([0, *BORDERS], PLAIN))
    assert read(borders=BORDERS[1:2]) == {0: PLAIN[0] + PLAIN[1], BORDERS[1]: PLAIN[2]}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"stored_size": len(STORED) - 1}, f"more than its {len(STORED) - 1} stored bytes"),
        ({"stored_size": len(STORED) + 1}, f"its stored size is {len(STORED)}, not {len(STORED) + 1}"),
        ({"plain_size": FACTS.plain_size - 1}, f"more than its {FACTS.plain_size - 1} plain bytes"),
        ({"plain_size": FACTS.plain_size + 1}, f"its plain size is {FACTS.plain_size}, not {FACTS.plain_size + 1}"),
        ({"stored_sha256": "0" * 64}, "its stored SHA-256 is"),
        ({"stored": STORED[:-1]}, "its stored size is"),
        ({"borders": [BORDERS[0] - 1]}, "zstd"),
        ({"borders": [BORDERS[0] + 1]}, "zstd"),
    ],
)
def test_what_differs_from_what_was_written_is_told(changes: dict[str, t.Any], told: str) -> None:
    with pytest.raises(DamagedError) as caught:
        read(**changes)
    assert told in f"{caught.value.problem}: {caught.value.cause}"


def test_whoever_stops_in_the_middle_leaves_no_thread_and_nothing_open() -> None:
    ended: list[bool] = []

    def source() -> t.Iterator[bytes]:
        try:
            yield from chunks()
        finally:
            ended.append(True)

    before = threading.active_count()
    reading = frame_reader.framed_chunks(source(), FACTS, BORDERS)
    assert [len(next(reading)[1]), len(next(reading)[1]) > 0] == [0, True]
    reading.close()
    assert ended and threading.active_count() == before

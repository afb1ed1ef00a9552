# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import threading
import typing as t

from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.stream.lanes import Chunk, Digest, Run


def test_room_is_given_back_when_it_is_hashed_and_not_before() -> None:
    rooms = [bytearray(bytes([number]) * 1000) for number in range(20)]
    wanted = hashlib.sha256(b"".join(rooms)).hexdigest()
    passed: list[int] = []

    def overwrite(chunk: Chunk) -> None:
        passed.append(chunk[0])
        t.cast(memoryview, chunk)[:] = bytes(len(chunk))

    run = Run()
    digest = Digest(run, "rooms", 2, overwrite)
    for room in rooms:
        digest.feed(memoryview(room))
    digest.close()
    run.wait()
    assert (digest.sha256, digest.size) == (wanted, 20_000)
    assert passed == list(range(20))
    assert not [each for each in threading.enumerate() if each.name.startswith("stream-")]

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Streams without threads, for long searches: the real ones have tests of their own, and begin five threads a file."""

from __future__ import annotations

import contextlib
import hashlib
import typing as t
import unittest.mock

from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import DamagedError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import copy, publish, stored_files
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.stream.pipeline import Sink, StreamFacts
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.stream.stage import Stage


def _store_stream(
    chunks: t.Iterable[bytes],
    sink: Sink,
    compression: str,
    tick: t.Callable[[], None] | None = None,
    stages: t.Sequence[Stage] = (),
) -> StreamFacts:
    _require_none(stages)
    data = bytearray()
    for chunk in chunks:
        data += chunk
        if tick is not None:
            tick()
    sink.write(bytes(data))
    size, digest = _stored_digest([data])
    return StreamFacts(size, digest, size, digest, compression)


def _plain_stream(stored: t.Iterable[bytes], facts: StreamFacts, stages: t.Sequence[Stage] = ()) -> t.Iterator[bytes]:
    _require_none(stages)
    data = b"".join(stored)
    if _stored_digest([data]) != (facts.stored_size, facts.stored_sha256):
        raise DamagedError("Stored bytes are not what was written")
    yield data


def _require_none(stages: t.Sequence[Stage]) -> None:
    if stages:
        raise NotImplementedError("the stores of these tests have no keys")


def _stored_digest(stored: t.Iterable[bytes]) -> tuple[int, str]:
    data = b"".join(stored)
    return len(data), hashlib.sha256(data).hexdigest()


@contextlib.contextmanager
def in_place() -> t.Iterator[None]:
    """Let the repository use these instead of the real streams."""
    with contextlib.ExitStack() as stack:
        for module, name, function in (
            (copy, "store_stream", _store_stream),
            (publish, "store_stream", _store_stream),
            (stored_files, "plain_stream", _plain_stream),
            (stored_files, "stored_digest", _stored_digest),
        ):
            stack.enter_context(unittest.mock.patch.object(module, name, function))
        yield

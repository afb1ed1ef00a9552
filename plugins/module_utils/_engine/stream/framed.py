# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import typing as t

from .compression import block_compressor
from .lanes import Digest, Lane, Run, Tick
from .pipeline import Sink, StreamFacts, deliver
from .stage import Stage

_WAITING = 2  # frames before each of the threads: enough that none of them waits for another for long


class FramedStream:
    """A stored file whose writer decides where its frames end, and learns where each of them lies.

    Stored bytes are hashed and sent to `sink` in threads of their own. One thread at a time may call the methods. The
    first failure of any part stops all others, and comes out of the next call as it is; then, and after `finish` and
    `abort`, no thread is left and nothing more is taken. Finishing or aborting the sink is the caller's. Memory: about
    6 frames.
    """

    def __init__(
        self,
        sink: Sink,
        compression: str,
        tick: Tick | None = None,
        stages: t.Sequence[Stage] = (),
        has_plain_digest: bool = True,
    ) -> None:
        """Begin; `tick` is called after every frame, and about every second while a call waits for a slow sink.

        Without `has_plain_digest` the plain bytes are not hashed: for those whose parts have digests of their own.
        """
        self.plain_size = 0  # bytes so far
        self.size = 0  # compressed bytes so far: where the next frame begins (before `stages`)
        self._compression = compression
        self._compress = block_compressor(compression)
        self._tick = tick
        self._is_over = False
        self._run = Run()
        self._frames: Lane[bytes] = Lane(self._run, _WAITING)
        self._stored = Digest(self._run, "stored", _WAITING)
        self._plain = Digest(self._run, "plain", _WAITING) if has_plain_digest else None
        self._run.start("deliver", lambda: deliver(iter(self._frames), stages, self._stored, sink))

    def add(self, plain: bytes) -> tuple[int, int]:
        """Write one frame of plain bytes, compressed in the calling thread; return its offset and compressed length."""
        with self._whole():
            frame = self._compress(plain)
            if self._plain is not None:
                self._plain.feed(plain, self._tick)
            return self._append(frame, len(plain)), len(frame)

    def add_frame(self, frame: bytes, plain_size: int) -> int:
        """Write one frame that is compressed already, and return its offset; only where plain bytes are not hashed."""
        if self._plain is not None:
            raise ValueError("the plain bytes of this stream are hashed, and these are not here")
        with self._whole():
            return self._append(frame, plain_size)

    def _append(self, frame: bytes, plain_size: int) -> int:
        offset = self.size
        self._frames.put(frame, self._tick)
        self.size += len(frame)
        self.plain_size += plain_size
        if self._tick is not None:
            self._tick()
        return offset

    def finish(self) -> StreamFacts:
        """Wait until the sink has everything, and return what went in and out; an empty stream gets an empty frame."""
        if not self.size:
            self.add(b"")
        with self._whole():
            self._frames.close()
            if self._plain is not None:
                self._plain.close()
            self._run.wait(self._tick)
        self._is_over = True
        plain_sha256 = self._plain.sha256 if self._plain is not None else ""
        return StreamFacts(self.plain_size, plain_sha256, self._stored.size, self._stored.sha256, self._compression)

    def abort(self) -> None:
        """Stop all threads; does nothing when they have ended."""
        self._is_over = True
        self._run.stop()
        self._run.join()

    @contextlib.contextmanager
    def _whole(self) -> t.Iterator[None]:
        """Let whatever fails end the stream as a whole."""
        if self._is_over:
            raise ValueError("this stream has ended")
        try:
            yield
        except BaseException as error:  # an interrupt too must leave no thread behind
            self._run.stop(error)
            self.abort()
            self._run.raise_failure()
            raise

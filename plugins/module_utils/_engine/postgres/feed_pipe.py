# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import threading
import typing as t


class FeedPipe:
    """A pipe that a thread fills with chunks, for a child to read as its input.

    The chunks are read to their end even when the child stops reading: whoever makes them may check them there.
    """

    def __init__(self, chunks: t.Iterable[bytes]) -> None:
        self._chunks = chunks
        self.descriptor, self._target = os.pipe()
        self._is_held = True
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._feed, name="feed-pipe", daemon=True)

    def __enter__(self) -> FeedPipe:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
        self._thread.join()

    def release(self) -> None:
        """Close this process's reading end, once the child has its own, so that the feeder notices when it dies."""
        if self._is_held:
            self._is_held = False
            os.close(self.descriptor)

    def finish(self) -> None:
        """Wait until all chunks were read, and raise what they raised: it explains why the child failed."""
        self.release()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _feed(self) -> None:
        try:
            self._write_all()
        except BaseException as failure:
            self._failure = failure
        finally:
            if self._target >= 0:
                os.close(self._target)

    def _write_all(self) -> None:
        is_read = True
        for chunk in self._chunks:
            rest = memoryview(chunk)
            while rest and is_read:
                try:
                    rest = rest[os.write(self._target, rest) :]
                except BrokenPipeError:
                    is_read = False

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ..repository.publish import PACK, FramedFile, Run
from ..stream.compression import block_compressor
from .pack_frames import END, Compress, Frame, Span
from .rows import Location

PACK_SIZE = 64 * 1024 * 1024  # plain bytes at which a pack ends


class PackWriter:
    """Writes the packs of a run: one after the other for most members, and packs of their own for big ones.

    One thread at a time may call its methods. A failure of any of them, and `abort`, leave no pack half written.
    """

    def __init__(self, run: Run, compression: str = "zstd", pack_size: int = PACK_SIZE) -> None:
        """Nothing is written before the first member comes. Raises UsageError, MissingPartError."""
        self._run = run
        self._compression = compression
        self._pack_size = pack_size
        self._next = 0  # number that no pack had yet
        self._free: list[int] = []  # numbers of packs that were aborted: in the end none may be missing
        self._pack: Pack | None = None  # for most members
        self._own: list[Pack] = []  # of big members, open
        self.compress: Compress = block_compressor(compression)  # several threads may call it

    def add(self, frames: t.Sequence[Frame], spans: t.Sequence[Span]) -> list[Location]:
        """Write frames that hold whole members, and return where these lie."""
        if not frames:
            return []
        pack = self._pack
        if pack is not None and pack.plain_size >= self._pack_size:
            self._pack = None
            pack.finish()
            pack = None
        if pack is None:
            pack = self._pack = self._open(self._pack_size)
        return pack.add(frames, spans)

    def open_own(self, size: int) -> Pack:
        """Begin a pack for a single member of `size` bytes; whoever opens it finishes or aborts it."""
        pack = self._open(size)
        self._own.append(pack)
        return pack

    def finish(self) -> None:
        """End the last pack. Numbers that only aborted packs had become packs without members."""
        pack, self._pack = self._pack, None
        if pack is not None:
            pack.finish()
        while self._next - 1 in self._free:
            self._next -= 1
            self._free.remove(self._next)
        while self._free:
            self._open(len(END)).finish()

    def abort(self) -> None:
        """Drop the packs that are not finished; never raises."""
        for pack in (self._pack, *self._own):
            if pack is not None:
                pack.abort()
        self._pack = None
        self._own.clear()

    def _open(self, estimate: int) -> Pack:
        if self._free:
            number = min(self._free)
            self._free.remove(number)
        else:
            number, self._next = self._next, self._next + 1
        try:
            file = self._run.open_file(f"pack-{number:04d}.tar", PACK, self._compression, estimate, number)
        except BaseException:
            self._free.append(number)
            raise
        return Pack(file, self._run.id, number, self.compress, self._ended)

    def _ended(self, pack: Pack, is_finished: bool) -> None:
        if pack in self._own:
            self._own.remove(pack)
        if not is_finished:
            self._free.append(pack.number)


class Pack:
    """One pack that is being written."""

    def __init__(
        self,
        file: FramedFile,
        owner: str,
        number: int,
        compress: Compress,
        ended: t.Callable[[Pack, bool], None],
    ) -> None:
        self._file = file
        self._owner = owner
        self._compress = compress
        self._ended = ended
        self._is_over = False
        self.number = number

    @property
    def plain_size(self) -> int:
        return self._file.plain_size

    @property
    def size(self) -> int:
        """Return the compressed bytes so far: the offset of the next frame."""
        return self._file.size

    def add(self, frames: t.Sequence[Frame], spans: t.Sequence[Span] = ()) -> list[Location]:
        """Write frames, and return where the members lie that they hold."""
        offsets = [self._file.add_frame(frame.data, frame.plain_size) for frame in frames]
        offsets.append(self._file.size)
        return [
            Location(
                self._owner,
                self.number,
                offsets[span.first],
                offsets[span.end] - offsets[span.first],
                span.inside,
            )
            for span in spans
        ]

    def location(self, inside: int) -> Location:
        """Return where the only member of a pack lies, of which all frames are written."""
        return Location(self._owner, self.number, 0, self._file.size, inside)

    def finish(self) -> None:
        """Write the end of the archive, and make the pack part of the run."""
        try:
            self._file.add_frame(self._compress(END), len(END))
            self._file.finish()
        except BaseException:
            self.abort()
            raise
        self._end(is_finished=True)

    def abort(self) -> None:
        """Drop the pack; never raises, and does nothing after `finish`."""
        self._file.abort()
        self._end(is_finished=False)

    def _end(self, is_finished: bool) -> None:
        if not self._is_over:
            self._is_over = True
            self._ended(self, is_finished)

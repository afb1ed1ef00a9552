# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import importlib
import os
import selectors
import shutil
import typing as t

from ..child import CHUNK, Child, ChildError
from ..errors import DamagedError, LifeboatError, MissingPartError
from .zstd_frames import Piece

LEVEL = 3
Block = t.Union[bytes, memoryview]
_MOST_IDLE = 4  # compressors, of about 2 MiB each, that are kept for the next blocks
_REMEDY = "use another copy of the backup"


class Provider(t.Protocol):
    """One way to run zstd on this host."""

    @property
    def name(self) -> str:
        """Return what an operator would install."""

    def compress(self, block: Block) -> bytes:
        """Return `block` as one whole frame with a content checksum; may be called by several threads at once."""

    def decompress(self, pieces: t.Iterator[Piece]) -> t.Iterator[bytes]:
        """Yield the plain bytes of all frames, in chunks of at most 1 MiB. Raises DamagedError."""


class _Decoder(t.Protocol):
    def decompress(self, data: bytes) -> bytes:
        """Return what the next bytes of a frame give."""


class _Pep784:
    """The interface of Python 3.14's `compression.zstd`, and of its backport."""

    def __init__(self, module: t.Any, name: str) -> None:
        self.name = name
        self._module = module
        parameter = module.CompressionParameter
        self._options = {parameter.compression_level: LEVEL, parameter.checksum_flag: 1}
        self._idle: list[t.Any] = []

    def compress(self, block: Block) -> bytes:
        compressor = _taken(self._idle) or self._module.ZstdCompressor(options=self._options)
        frame: bytes = compressor.compress(block, compressor.FLUSH_FRAME)
        _give_back(self._idle, compressor)
        return frame

    def decompress(self, pieces: t.Iterator[Piece]) -> t.Iterator[bytes]:
        return _decoded(pieces, self._module.ZstdDecompressor, self._module.ZstdError)


class _Zstandard:
    """The interface of the package `zstandard`."""

    name = "zstandard"

    def __init__(self, module: t.Any) -> None:
        self._module = module
        self._idle: list[t.Any] = []

    def compress(self, block: Block) -> bytes:
        compressor = _taken(self._idle) or self._module.ZstdCompressor(level=LEVEL, write_checksum=True)
        frame: bytes = compressor.compress(block)
        _give_back(self._idle, compressor)
        return frame

    def decompress(self, pieces: t.Iterator[Piece]) -> t.Iterator[bytes]:
        decompressor = self._module.ZstdDecompressor()
        return _decoded(pieces, decompressor.decompressobj, self._module.ZstdError)


# No two threads may use a compressor at once. Each takes one that is idle, as a new one needs fresh pages of memory for
# its tables: nearly as many as a block. Lists need no lock, which a fork could leave locked.


def _taken(idle: list[t.Any]) -> t.Any:
    """Return a compressor that nobody uses; None where there is none."""
    try:
        return idle.pop()
    except IndexError:
        return None


def _give_back(idle: list[t.Any], compressor: t.Any) -> None:
    if len(idle) < _MOST_IDLE:
        idle.append(compressor)


def _decoded(
    pieces: t.Iterator[Piece], new_decoder: t.Callable[[], _Decoder], error_class: type[Exception]
) -> t.Iterator[bytes]:
    """Decode each frame with a decoder of its own: a decoder stops at the end of its frame without a word."""
    decoder = new_decoder()
    for piece in pieces:
        try:
            plain = decoder.decompress(piece.data)
        except error_class as error:
            raise DamagedError("Cannot decompress a zstd stream", str(error), _REMEDY) from error
        if plain:
            yield plain
        if piece.ends_frame:
            if not getattr(decoder, "eof", True):  # zstandard has no `eof` before 0.19
                raise DamagedError("Cannot decompress a zstd stream", "a frame has no end", _REMEDY)
            decoder = new_decoder()


class _Command:
    """The program `zstd`: one child per block to compress, one child for a whole stream to decompress."""

    name = "zstd (command)"

    def __init__(self, path: str) -> None:
        self._path = path

    def compress(self, block: Block) -> bytes:
        argv = [self._path, "-q", f"-{LEVEL}", "--check", "--single-thread", "-c"]
        return b"".join(_filtered(argv, iter((block,)), "Cannot compress with zstd"))

    def decompress(self, pieces: t.Iterator[Piece]) -> t.Iterator[bytes]:
        stored = (piece.data for piece in pieces)
        try:
            yield from _filtered([self._path, "-q", "-d", "-c"], stored, "Cannot decompress a zstd stream")
        except ChildError as error:
            if error.status < 0:  # a signal says nothing about the data
                raise
            raise DamagedError(error.problem, error.cause, _REMEDY) from error


def _filtered(argv: t.Sequence[str], stored: t.Iterator[Block], problem: str) -> t.Iterator[bytes]:
    """Send `stored` through a child and yield what comes out, in one thread: neither pipe can block the other."""
    with Child(argv, pipe_stdin=True, pipe_stdout=True) as child, selectors.DefaultSelector() as ready:
        os.set_blocking(child.stdin.fileno(), False)
        ready.register(child.stdin, selectors.EVENT_WRITE)
        ready.register(child.stdout, selectors.EVENT_READ)
        sender = _Sender(child.stdin, stored)
        while True:
            events = {key.fileobj for key, _events in ready.select()}
            if child.stdin in events and not sender.send():
                ready.unregister(child.stdin)
            if child.stdout in events:
                chunk = os.read(child.stdout.fileno(), CHUNK)
                if not chunk:
                    break
                yield chunk
        child.check(problem, _REMEDY)
        if not sender.has_sent_all:
            raise LifeboatError(
                problem, "zstd ended before it had read everything", "check which program is called zstd"
            )


class _Sender:
    """Writes to a child whatever its pipe takes without blocking, and closes the pipe at the end."""

    def __init__(self, pipe: t.IO[bytes], chunks: t.Iterator[Block]) -> None:
        self._pipe = pipe
        self._chunks = chunks
        self._left = memoryview(b"")
        self.has_sent_all = False

    def send(self) -> bool:
        """Write once; return False when nothing more is to be sent, or the child takes no more."""
        if not self._left:
            chunk = next(self._chunks, None)
            if chunk is None:
                self.has_sent_all = True
                self._pipe.close()
                return False
            self._left = memoryview(chunk)
        try:
            sent = os.write(self._pipe.fileno(), self._left) if self._left else 0
        except BlockingIOError:
            return True
        except BrokenPipeError:  # it has ended; its exit code and its words say why
            return False
        self._left = self._left[sent:]
        return True


def providers() -> t.Iterator[Provider]:
    """Yield every way to run zstd that this host has, the preferred one first."""
    for name in ("compression.zstd", "backports.zstd"):
        module = _imported(name)
        if module is not None:
            yield _Pep784(module, name)
    module = _imported("zstandard")
    if module is not None:
        yield _Zstandard(module)
    path = shutil.which("zstd")
    if path is not None:
        yield _Command(path)


def provider() -> Provider:
    """Return the preferred way to run zstd. Raises MissingPartError where there is none."""
    found = next(providers(), None)
    if found is None:
        raise MissingPartError(
            "Cannot use zstd on this host",
            "neither a Python library nor the command is installed",
            "install python3-zstandard or zstd (packages of the distribution), or backports.zstd (Python package)",
        )
    return found


def _imported(name: str) -> t.Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None

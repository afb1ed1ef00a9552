# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import typing as t
from dataclasses import dataclass

from ..errors import DamagedError

# What an archive of pg_dump begins with, and the fields of its table of contents (pg_backup_archiver.c, ReadHead and
# ReadToc; the versions are K_VERS_… of pg_backup_archiver.h).
_MAGIC = b"PGDMP"
_OLDEST, _NEWEST = (1, 12), (1, 16)  # PostgreSQL 9.0 to 18
_CUSTOM, _TAR = 1, 3  # in directory format, the table of contents says "tar"
_TAR_BLOCK = 512  # bytes of a member's header
_LONGEST = 1 << 30  # bytes of a text: a field of the server holds no more
_MOST_ENTRIES = 50_000_000
LARGE_OBJECTS = ".toc"  # what names of lists of large objects end with in a folder
_KEPT_DEFINITIONS = ("DATABASE", "ENCODING")


@dataclass(frozen=True)
class Entry:
    """One entry of an archive's table of contents."""

    id: int  # number in the archive, from 1
    kind: str  # as pg_dump calls it: TABLE, TABLE DATA, FK CONSTRAINT …
    name: str  # of a table's part such as a constraint: those of the table and the part
    schema: str  # empty: of no schema
    owner: str
    tablespace: str  # empty: that of the database, or none
    needs: tuple[int, ...]  # numbers of other entries; some are not in the archive
    definition: str = ""  # SQL, of the entries that say how the database was made

    def __str__(self) -> str:
        return f"{self.kind} {self.schema}.{self.name}" if self.schema else f"{self.kind} {self.name}"


@dataclass(frozen=True)
class Contents:
    """What an archive says about itself, without its data."""

    format: str  # custom, tar or directory
    database: str
    server_version: str  # of the server that it was taken from, such as `15.18`
    dumped_by: str  # version of pg_dump
    entries: tuple[Entry, ...]


def read_contents(path: str) -> Contents:
    """Read the table of contents of an archive: a file in custom format, a folder in directory format, or the first
    member of one in tar format. Raises DamagedError for anything else, and for an archive that is cut.
    """
    is_folder = os.path.isdir(path)
    name = os.path.basename(path.rstrip("/"))
    try:
        with open(os.path.join(path, "toc.dat") if is_folder else path, "rb") as file:
            is_tar = not is_folder and is_tar_of_archive(file.read(_TAR_BLOCK))
            file.seek(_TAR_BLOCK if is_tar else 0)
            return _Reader(file.read, name).contents("directory" if is_folder else "tar" if is_tar else "custom")
    except OSError as error:
        raise DamagedError(f"Cannot read {name} as a database archive", error.strerror or str(error)) from error


def contents_of_chunks(chunks: t.Iterable[bytes], name: str) -> Contents:
    """Read the table of contents from the beginning of an archive in custom format that comes as chunks, and leave the
    rest of them. Raises DamagedError, and what `chunks` raises."""
    buffer = bytearray()
    more = iter(chunks)

    def read(size: int) -> bytes:
        while len(buffer) < size:
            chunk = next(more, b"")
            if not chunk:
                break
            buffer.extend(chunk)
        found = bytes(buffer[:size])
        del buffer[:size]
        return found

    return _Reader(read, name).contents("custom")


def is_tar_of_archive(head: bytes) -> bool:
    """Say whether the first 512 bytes of a file are those of an archive in tar format."""
    return head[257:262] == b"ustar" and head.startswith(b"toc.dat\0")


class _Reader:
    """Reads numbers and texts in the way in which an archive has them."""

    def __init__(self, read: t.Callable[[int], bytes], name: str) -> None:
        self._read = read
        self._name = name
        self._int_size = 4
        self._offset_size = 8
        self._version = (0, 0)

    def contents(self, form: str) -> Contents:
        if self._bytes(len(_MAGIC)) != _MAGIC:
            raise self._damaged("it does not begin like one")
        self._version = (self._byte(), self._byte())
        self._byte()  # revision
        if not _OLDEST <= self._version <= _NEWEST:
            raise self._damaged(f"its format {self._version[0]}.{self._version[1]} is not known")
        self._int_size, self._offset_size = self._byte(), self._byte()
        if self._byte() != (_CUSTOM if form == "custom" else _TAR) or not 2 <= self._int_size <= 8:
            raise self._damaged("its head is changed")
        if self._version >= (1, 15):
            self._byte()  # compression
        for _part in range(7 if self._version >= (1, 15) else 8):  # compression; when it was written
            self._number()
        database, server_version, dumped_by = self._text(), self._text(), self._text()
        count = self._number()
        if not 0 <= count <= _MOST_ENTRIES:
            raise self._damaged("its head is changed")
        entries = tuple(self._entry(form) for _number in range(count))
        return Contents(form, database, server_version.partition(" ")[0], dumped_by.partition(" ")[0], entries)

    def _entry(self, form: str) -> Entry:
        number = self._number()
        self._number()  # whether it has data
        self._text()  # oid of its catalog
        self._text()  # its oid
        name, kind = self._text(), self._text()
        self._number()  # section
        definition = self._text()
        self._text()  # DROP
        self._text()  # COPY
        schema, tablespace = self._text(), self._text()
        if self._version >= (1, 14):
            self._text()  # access method
        if self._version >= (1, 16):
            self._number()  # kind of relation
        owner = self._text()
        self._text()  # WITH OIDS
        needs = tuple(self._needs())
        if form == "custom":
            self._bytes(1 + self._offset_size)  # where its data begin
        else:
            self._check_file(form, kind, self._text())
        kept = definition if kind in _KEPT_DEFINITIONS else ""
        return Entry(number, kind, name, schema, owner, tablespace, needs, kept)

    def _check_file(self, form: str, kind: str, file: str) -> None:
        """Refuse a file with data that pg_restore would open wherever it lies, or take for a list of such files."""
        if "/" in file:
            raise self._damaged("it names a file that is not in it")
        if form == "directory" and kind == "BLOBS" and file and not file.endswith(LARGE_OBJECTS):
            raise self._damaged(f"it lists large objects in {file!r}")

    def _needs(self) -> t.Iterator[int]:
        while True:
            text = self._text_or_none()
            if text is None:
                return
            if not text.isdigit():
                raise self._damaged("its table of contents is changed")
            yield int(text)

    def _byte(self) -> int:
        return self._bytes(1)[0]

    def _number(self) -> int:
        sign, digits = self._byte(), self._bytes(self._int_size)
        return -int.from_bytes(digits, "little") if sign else int.from_bytes(digits, "little")

    def _text(self) -> str:
        return self._text_or_none() or ""

    def _text_or_none(self) -> str | None:
        length = self._number()
        if length < 0:
            return None
        if length > _LONGEST:
            raise self._damaged("its table of contents is changed")
        text = self._bytes(length)
        try:
            return text.decode()
        except UnicodeDecodeError:
            return text.decode("latin-1")  # an archive is in the encoding of its database

    def _bytes(self, size: int) -> bytes:
        found = self._read(size)
        if len(found) < size:
            raise self._damaged("it is cut")
        return found

    def _damaged(self, cause: str) -> DamagedError:
        return DamagedError(
            f"Cannot read {self._name} as a database archive", cause, "take another copy or another backup"
        )

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import re
import typing as t

from ..errors import DamagedError
from .rows import RowDigest

# The comment above each entry of the script (pg_backup_archiver.c, _printTocEntry). Line breaks in names are blanks
# there.
_ENTRY = re.compile(
    rb"-- (Data for |Statistics for )?Name: (.*); Type: ([A-Z ]+); Schema: (.*); Owner: (.*?)(?:; Tablespace: .*)?\n",
    re.DOTALL,
)
_COPY = re.compile(rb'COPY ((?:"(?:[^"]|"")*"|[^\s"(])+) *(.*?) *FROM stdin;\n', re.DOTALL)
_COLUMN = re.compile(rb'"(?:[^"]|"")*"|[^\s(),"]+')
_LO_OPEN = re.compile(rb"SELECT pg_catalog\.lo_open\('(\d+)', \d+\);\n")
_LO_WRITE = re.compile(rb"SELECT pg_catalog\.lowrite\(0, E?'\\{1,2}x([0-9a-f]*)'\);\n")
_LO_FRAME = (b"BEGIN;\n", b"COMMIT;\n", b"\n")
_COMPLETE = b"-- PostgreSQL database dump complete\n"
# What stands between two entries and belongs to none: it depends on their order. The random `\restrict` lines stand
# before the first and behind the last one, where nothing counts.
_BETWEEN = re.compile(rb"\n|--\n|SET default_tablespace = |SET default_table_access_method = ")
_BY_ROOT = b"-- load via partition root "  # before rows of a partition (pg_dump.c, dumpTableData)
_VERSION = re.compile(rb"-- Dumped (from database|by pg_dump) version (\d+(?:\.\d+)?)")
_ENCODING = re.compile(rb"SET client_encoding = '(\w+)';\n")
_OLD_STRINGS = b"SET standard_conforming_strings = off;\n"
_LONG_LINE = 4 * 1024 * 1024  # bytes; a longer line of a definition is hashed in pieces
_NAME_LIMIT = 200  # characters of a name in results
_LO_GROUPS = 1024  # large objects are summed up in so many groups, so that millions of them need no memory


class Gathered:
    """What a script was found to hold; `fingerprint.py` makes it final."""

    def __init__(self) -> None:
        self.tables: dict[str, tuple[bytes, RowDigest]] = {}  # name → list of columns, as COPY has it, and rows
        self.large_objects: dict[int, tuple[int, int]] = {}  # group (oid modulo 1,024) → count, sum of digests
        self.objects: dict[str, tuple[str, int, int]] = {}  # type and name → type, count, sum of digests
        self.owners: set[str] = set()
        self.server_version = ""
        self.dumped_by = ""
        self.encoding = ""
        self.standard_strings = True
        self.size_bytes = 0

    def add_object(self, kind: str, key: str, digest: bytes) -> None:
        _kind, count, total = self.objects.get(key, (kind, 0, 0))
        self.objects[key] = (kind, count + 1, (total + int.from_bytes(digest, "big")) % 2**128)

    def add_large_object(self, oid: int, digest: bytes) -> None:
        count, total = self.large_objects.get(oid % _LO_GROUPS, (0, 0))
        self.large_objects[oid % _LO_GROUPS] = (count + 1, (total + int.from_bytes(digest, "big")) % 2**128)


class ScriptReader:
    """Reads the script that pg_restore makes of an archive, in pieces that end anywhere, and digests each of its
    entries."""

    def __init__(self, with_sums: bool, columns: t.Mapping[str, bytes] | None = None) -> None:
        """Read rows with their fields in the order of `columns` (by table), if these are the same ones."""
        self.gathered = Gathered()
        self._with_sums = with_sums
        self._columns = columns or {}
        self._rest = b""
        self._previous = b""
        self._is_mid_line = False
        self._is_complete = False
        self._rows: RowDigest | None = None  # while inside the data of a COPY
        self._statement = b""  # of a COPY whose end has not come
        self._kind = ""  # type of the entry that is being read; empty before the first one
        self._key = ""
        self._is_data = False
        self._is_by_root = False  # the rows are those of a partition, and go to its root
        self._definition = hashlib.blake2b(digest_size=16)
        self._between = b""
        self._large_object: tuple[int, t.Any] | None = None

    def feed(self, chunk: bytes) -> None:
        """Read on. Raises DamagedError where the script is not what pg_restore writes."""
        self.gathered.size_bytes += len(chunk)
        buffer = self._rest + chunk if self._rest else chunk
        position = 0
        while True:
            if self._rows is not None:
                position, has_ended = self._rows.take(buffer, position)
                if not has_ended:
                    break
                self._rows = None
                continue
            newline = buffer.find(b"\n", position)
            if newline < 0:
                break
            self._read_line(buffer[position : newline + 1])
            position = newline + 1
        self._rest = buffer[position:]
        if self._rows is None and len(self._rest) > _LONG_LINE:
            self._define(self._rest)
            self._rest, self._is_mid_line = b"", True

    def finish(self) -> Gathered:
        """Return what was found. Raises DamagedError unless the script came to its proper end."""
        if self._rows is not None or self._rest or self._statement or not self._is_complete:
            raise DamagedError(
                "Cannot read the archive to its end", f"the script breaks off after {self._key or 'its head'}"
            )
        return self.gathered

    def _read_line(self, line: bytes) -> None:
        previous, self._previous = self._previous, line
        if self._is_mid_line:
            self._define(line)
            self._is_mid_line = False
        elif self._statement:
            self._read_copy(line)
        elif previous == b"--\n" and line == _COMPLETE:
            self._end_entry()
            self._is_complete = True
        elif previous == b"--\n" and (match := _ENTRY.fullmatch(line)):
            self._end_entry()
            self._begin_entry(match)
        elif not self._kind:
            self._read_head(line)
        elif self._is_data and self._kind == "TABLE DATA" and line.startswith(b"COPY "):
            self._read_copy(line)
        elif self._is_data and self._kind == "TABLE DATA" and line.startswith(_BY_ROOT):
            self._is_by_root = True
        elif self._is_data and self._kind == "BLOBS":
            self._read_large_object(line)
        else:
            self._define(line)

    def _read_head(self, line: bytes) -> None:
        match = _VERSION.match(line)
        if match and match.group(1) == b"by pg_dump":
            self.gathered.dumped_by = match.group(2).decode()
        elif match:
            self.gathered.server_version = match.group(2).decode()
        elif line == _OLD_STRINGS:
            self.gathered.standard_strings = False
        elif match := _ENCODING.fullmatch(line):
            self.gathered.encoding = match.group(1).decode()

    def _begin_entry(self, match: re.Match[bytes]) -> None:
        prefix, name, kind, schema, owner = match.groups()
        self._is_complete = False
        self._is_data, self._is_by_root = prefix is not None, False
        self._kind = kind.decode()
        self._key = bounded_name(self._kind.encode() + b" " + (name if schema == b"-" else schema + b"." + name))
        if self._kind.startswith("BLOB"):
            self._key = "BLOB"  # one entry for each large object or for some thousand, depending on the major
        if owner not in (b"", b"-"):
            self.gathered.owners.add(_text(owner))
        self._definition = hashlib.blake2b(owner, digest_size=16)
        self._between = b""

    def _end_entry(self) -> None:
        self._end_large_object()
        # The planner's statistics are no data; a table's rows and large objects are kept elsewhere.
        if (
            self._kind
            and self._kind != "STATISTICS DATA"
            and not (self._is_data and self._kind in ("TABLE DATA", "BLOBS"))
        ):
            self.gathered.add_object(self._kind, self._key, self._definition.digest())
        self._kind, self._is_data = "", False

    def _define(self, piece: bytes) -> None:
        """Add to the definition of the current entry; separators count only when the entry goes on behind them."""
        if not self._is_mid_line and _BETWEEN.match(piece):
            self._between += piece
            return
        self._definition.update(self._between + piece)
        self._between = b""

    def _read_copy(self, line: bytes) -> None:
        self._statement += line
        if not line.endswith(b"FROM stdin;\n") or self._statement.count(b'"') % 2:
            return  # a name with a line break in it
        match = _COPY.fullmatch(self._statement)
        if match is None:
            raise DamagedError("Cannot read the archive", f"unknown form of COPY: {_text(self._statement[:200])}")
        name = bounded_name(match.group(1))
        self._begin_rows(name, match.group(2))
        self._statement = b""

    def _begin_rows(self, name: str, columns: bytes) -> None:
        wanted, rows = self._columns.get(name, columns), RowDigest(self._with_sums)
        if name in self.gathered.tables:
            if not self._is_by_root:
                raise DamagedError("Cannot read the archive", f"two sections with the rows of {name}")
            wanted, rows = self.gathered.tables[name]  # of another partition: which one is the server's business
        order = column_order(columns, wanted)
        rows.arrange(order)
        self._rows = rows
        self.gathered.tables[name] = (wanted if order else columns, rows)

    def _read_large_object(self, line: bytes) -> None:
        if match := _LO_WRITE.fullmatch(line):
            if self._large_object is None:
                raise DamagedError("Cannot read the archive", "data of a large object that was not opened")
            # The hex digits one after the other do not depend on how the writes were cut.
            self._large_object[1].update(match.group(1))
        elif match := _LO_OPEN.fullmatch(line):
            self._end_large_object()
            self._large_object = (int(match.group(1)), hashlib.blake2b(match.group(1) + b":", digest_size=16))
        elif line == b"SELECT pg_catalog.lo_close(0);\n":
            self._end_large_object()
        elif line not in _LO_FRAME and not _BETWEEN.match(line):
            raise DamagedError("Cannot read the archive", f"unknown line among the large objects: {_text(line[:80])}")

    def _end_large_object(self) -> None:
        if self._large_object is not None:
            oid, digest = self._large_object
            self.gathered.add_large_object(oid, digest.digest())
            self._large_object = None


def column_order(found: bytes, wanted: bytes) -> tuple[int, ...]:
    """Return where in one list of columns those of another one stand; empty for equal lists and for other columns."""
    there, names = _COLUMN.findall(found), _COLUMN.findall(wanted)
    if there == names or sorted(there) != sorted(names):
        return ()
    place = {name: number for number, name in enumerate(there)}
    return tuple(place[name] for name in names)


def bounded_name(name: bytes) -> str:
    """Return a name for results: as it is when short, else its beginning and a digest of the whole."""
    text = _text(name)
    if len(text) <= _NAME_LIMIT:
        return text
    return f"{text[: _NAME_LIMIT - 34]}… {hashlib.blake2b(name, digest_size=16).hexdigest()}"


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import json
import re
import signal
import typing as t
from dataclasses import dataclass, field

from ..child import ChildError
from ..errors import LifeboatError
from .archive import ScriptOptions, script_of_file, script_of_stream
from .connection import Server
from .dump import Dump, DumpOptions
from .feed_pipe import FeedPipe
from .output import ToolOutput
from .rows import RowSums
from .script import Gathered, ScriptReader
from .tools import ClientTools, Tool

_QUOTED = re.compile(r'"(?:[^"]|"")+"\."(?:[^"]|"")+".*', re.DOTALL)  # a long name is shortened


@dataclass(frozen=True)
class TableFingerprint:
    """The rows of one table."""

    rows: int
    size_bytes: int  # in the text form of COPY
    columns: str  # digest of the list of columns, hex
    ordered: str  # digest of the rows in the order in which they lie, hex
    sums: RowSums | None  # of the rows whatever their order; None when not asked for
    names: bytes = b""  # the list of columns itself, as COPY has it


@dataclass(frozen=True)
class ObjectFingerprint:
    """The definition of one schema object (or of all that share a type and a name)."""

    kind: str  # as pg_dump calls it: TABLE, INDEX, ACL, SEQUENCE SET …
    count: int
    digest: str  # hex; order-independent sum when there are several


@dataclass(frozen=True)
class Fingerprint:
    """What a database or an archive of it holds, small enough to compare.

    It answers one question: does a restored database hold what the archive holds? That the archive has not changed
    since it was written is for its SHA-256 to say. Tablespaces and the planner's statistics are not part of it: where
    and how fast is not what.
    """

    tables: t.Mapping[str, TableFingerprint]  # by qualified name
    large_objects: t.Mapping[int, tuple[int, str]]  # by group (oid modulo 1,024): count, sum of digests as hex
    objects: t.Mapping[str, ObjectFingerprint]  # by type and qualified name
    owners: frozenset[str] = field(default_factory=frozenset)  # roles that own something
    server_version: str = ""  # of the server that the data came from, such as `15.18`
    dumped_by: str = ""  # version of pg_dump
    encoding: str = ""  # of the texts, as PostgreSQL calls it
    standard_strings: bool = True  # False: backslashes in texts of definitions are doubled
    size_bytes: int = 0  # of the whole script, which is about that of the plain data

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables.values())

    @property
    def large_object_count(self) -> int:
        return sum(count for count, _digest in self.large_objects.values())

    @property
    def sequence_count(self) -> int:
        return sum(found.count for found in self.objects.values() if found.kind == "SEQUENCE SET")

    @property
    def may_quote_all(self) -> bool:
        """Say whether the names of all tables are quoted, as pg_dump writes them when it is to quote all."""
        return bool(self.tables) and all(_QUOTED.fullmatch(name) for name in self.tables)

    @property
    def digest(self) -> str:
        """Return one digest over everything, rows in their order, as hex: equal for equal archives."""
        return hashlib.blake2b(
            json.dumps(
                {
                    "tables": {
                        name: [table.columns, table.rows, table.size_bytes, table.ordered]
                        for name, table in self.tables.items()
                    },
                    "large_objects": {str(group): found for group, found in self.large_objects.items()},
                    "objects": {name: [found.count, found.digest] for name, found in self.objects.items()},
                },
                sort_keys=True,
            ).encode(),
            digest_size=32,
        ).hexdigest()

    def summary(self) -> dict[str, t.Any]:
        """Return the figures for results and records: small whatever the database holds."""
        return {
            "digest": self.digest,
            "tables": len(self.tables),
            "rows": self.rows,
            "large_objects": self.large_object_count,
            "sequences": self.sequence_count,
            "objects": sum(found.count for found in self.objects.values()),
            "size_bytes": self.size_bytes,
        }


def fingerprint_of_archive(
    path: str, pg_restore: Tool, options: ScriptOptions | None = None, *, with_sums: bool = False
) -> Fingerprint:
    """Read a whole archive and return its fingerprint; this is what proves that pg_restore can read every part of it.

    `with_sums` adds what is needed to compare with a restored database, where rows may lie in another order; it takes
    about twice the time. Raises DamagedError or ChildError for an archive that is cut or cannot be read.
    """
    with script_of_file(path, pg_restore, options or ScriptOptions()) as script:
        return _read(script, with_sums)


def fingerprint_of_chunks(chunks: t.Iterable[bytes], pg_restore: Tool, database: str) -> Fingerprint:
    """Read an archive that comes as chunks, all of them, and return its fingerprint without sums; needs no disk.

    What `chunks` raises comes out as it is. Raises DamagedError or ChildError for an archive that is cut or cannot be
    read.
    """
    with FeedPipe(chunks) as feed:
        try:
            with script_of_stream(feed.descriptor, pg_restore, ScriptOptions(), database) as script:
                feed.release()
                found = _read(script, with_sums=False)
        finally:
            feed.finish()
    return found


def fingerprint_of_script(chunks: t.Iterable[bytes]) -> Fingerprint:
    """Return the fingerprint of a script that pg_dump wrote, with sums. Raises DamagedError for another one."""
    reader = ScriptReader(with_sums=True)
    for chunk in chunks:
        reader.feed(chunk)
    return _final(reader.finish())


def fingerprint_of_database(
    server: Server,
    database: str,
    tools: ClientTools,
    options: ScriptOptions | None = None,
    dump_options: DumpOptions | None = None,
    archive: Fingerprint | None = None,
) -> Fingerprint:
    """Dump a database to nowhere and return its fingerprint, sums included. Raises LifeboatError.

    With `archive`, rows are taken with their columns in its order: those of a child come back behind the ones of its
    parents, wherever they stood.
    """
    columns = {name: table.names for name, table in archive.tables.items()} if archive else None
    with Dump(server, database, tools.pg_dump, dump_options) as dump:
        with script_of_stream(dump.hand_over(), tools.pg_restore, options or ScriptOptions(), database) as script:
            try:
                found = _read(script, with_sums=True, columns=columns)
            except LifeboatError as error:
                script.stop()
                dump.release()
                _blame(dump, error)
        dump.drain()  # pg_restore leaves unread what it does not want; without a reader pg_dump would end by SIGPIPE
        dump.check()
    return found


def _blame(dump: ToolOutput, error: LifeboatError) -> t.NoReturn:
    """Raise the failure of pg_dump if there was one, else `error`: when the first one fails, the second fails for lack
    of data."""
    try:
        dump.check()
    except ChildError as first:
        if first.status != -signal.SIGPIPE:
            raise first from error
    raise error


def _read(script: ToolOutput, with_sums: bool, columns: t.Mapping[str, bytes] | None = None) -> Fingerprint:
    reader = ScriptReader(with_sums, columns)
    for chunk in script:
        reader.feed(chunk)
    return _final(reader.finish())


def _final(gathered: Gathered) -> Fingerprint:
    return Fingerprint(
        tables={
            name: TableFingerprint(rows.rows, rows.size_bytes, _digest(names), rows.ordered, rows.sums, names)
            for name, (names, rows) in gathered.tables.items()
        },
        large_objects={group: (count, f"{total:032x}") for group, (count, total) in gathered.large_objects.items()},
        objects={
            key: ObjectFingerprint(kind, count, f"{total:032x}")
            for key, (kind, count, total) in gathered.objects.items()
        },
        owners=frozenset(gathered.owners),
        server_version=gathered.server_version,
        dumped_by=gathered.dumped_by,
        encoding=gathered.encoding,
        standard_strings=gathered.standard_strings,
        size_bytes=gathered.size_bytes,
    )


def _digest(text: bytes) -> str:
    return hashlib.blake2b(text, digest_size=16).hexdigest()

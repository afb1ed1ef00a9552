# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import re
import typing as t
from dataclasses import dataclass

from ..errors import DamagedError, LifeboatError, UsageError
from ..stream.compression import decompressed
from .connection import Session
from .contents import LARGE_OBJECTS, Contents, is_tar_of_archive
from .description import Description
from .tools import Tool

_ARCHIVE = b"PGDMP"
_HEAD = 512  # bytes: a block of a tar file
# What files of these programs begin with (RFC 1952, RFC 8878 and the manuals).
_COMPRESSIONS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_OTHERS = {b"BZh": "bzip2", b"\xfd7zXZ\0": "xz", b"PK\x03\x04": "zip", b"\x04\x22\x4d\x18": "lz4"}
# The minor releases since which psql can be kept from running commands (`\restrict`, August 2025).
_RESTRICTING = {13: 22, 14: 19, 15: 14, 16: 10, 17: 6}


@dataclass(frozen=True)
class Form:
    """What a dump is, by its first bytes."""

    kind: str  # custom | tar | directory | sql
    compression: str = "none"  # gzip | zstd | none: around the whole

    @property
    def is_archive(self) -> bool:
        return self.kind != "sql"

    def __str__(self) -> str:
        words = {"custom": "an archive", "tar": "an archive in tar format", "sql": "a script"}
        return words.get(self.kind, "an archive in a folder") + (
            f", compressed by {self.compression}" if self.compression != "none" else ""
        )


def form_of(chunks: t.Iterable[bytes], name: str) -> Form:
    """Find out what a dump is by the beginning of its bytes. Raises DamagedError, UsageError for what is no dump."""
    more = iter(chunks)
    head = _first(more)
    compression = next((found for magic, found in _COMPRESSIONS.items() if head.startswith(magic)), "none")
    other = next((found for magic, found in _OTHERS.items() if head.startswith(magic)), "")
    if other:
        raise UsageError(f"Cannot restore {name}", f"it is a file of {other}", "decompress it first")
    if compression != "none":
        head = _first(decompressed(_joined(head, more), compression))
    if head.startswith(_ARCHIVE):
        return Form("custom", compression)
    if is_tar_of_archive(head):
        return Form("tar", compression)
    if head[257:262] == b"ustar":
        raise UsageError(f"Cannot restore {name}", "it is a tar file of something else", "unpack it first")
    if not head.strip() or b"\0" in head:
        raise DamagedError(
            f"Cannot restore {name}",
            "it is empty" if not head.strip() else "it is neither an archive of pg_dump nor SQL",
            "look where it comes from",
        )
    return Form("sql", compression)


def require_whole_tar(path: str, name: str) -> None:
    """Raise DamagedError for a tar file that is cut: pg_restore would look for its end for ever (seen with 15 and 18).

    A member is a block of 512 bytes, with its size as octal digits, and its bytes in whole blocks; a block of zeros is
    behind the last one (POSIX.1-1988, ustar).
    """
    with open(path, "rb") as file:
        size, position = os.fstat(file.fileno()).st_size, 0
        while True:
            file.seek(position)
            header = file.read(_HEAD)
            if len(header) == _HEAD and not header.strip(b"\0"):
                return
            digits = header[124:136].strip(b"\0 ")
            if len(header) < _HEAD or not digits or digits.strip(b"01234567"):
                raise DamagedError(f"Cannot read {name} to its end", "it is cut", "get it again")
            position += _HEAD + -(-int(digits, 8) // _HEAD) * _HEAD
            if position > size:
                raise DamagedError(f"Cannot read {name} to its end", "it is cut", "get it again")


def require_own_files(folder: str, name: str) -> None:
    """Raise DamagedError for a folder with an archive that has links, or lists of large objects with files elsewhere.

    pg_restore would open them wherever they lie, and bring what is in them into the database.
    """
    with os.scandir(folder) as found:
        entries = list(found)
    for entry in entries:
        if not entry.is_file(follow_symlinks=False):
            raise DamagedError(f"Cannot restore {name}", f"its {entry.name!r} is no plain file", "get it again")
        if f"{LARGE_OBJECTS}." in entry.name:  # pg_restore takes it where the plain one is missing
            cause = f"its {entry.name} is a list of large objects, which pg_dump never compresses"
            raise DamagedError(f"Cannot restore {name}", cause, "look where it comes from")
        if entry.name.endswith(LARGE_OBJECTS):
            with open(entry.path, encoding="utf-8", errors="surrogateescape") as file:
                if any("/" in line for line in file):
                    cause = f"its {entry.name} names a file that is not in it"
                    raise DamagedError(f"Cannot restore {name}", cause, "look where it comes from")


def _first(chunks: t.Iterator[bytes]) -> bytes:
    head = b""
    for chunk in chunks:
        head += chunk
        if len(head) >= _HEAD:
            break
    return head


def _joined(head: bytes, rest: t.Iterator[bytes]) -> t.Iterator[bytes]:
    yield head
    yield from rest


def description_of(contents: Contents, size_bytes: int, *, with_owners: bool) -> dict[str, t.Any]:
    """Return what an archive says about its database, in the form of `describe_database`."""
    made = next((entry.definition for entry in contents.entries if entry.kind == "DATABASE"), "")
    encoding = next((entry.definition for entry in contents.entries if entry.kind == "ENCODING"), "")
    locale = _said(made, "LOCALE")
    owners = {entry.owner for entry in contents.entries if entry.owner}
    return {
        "database": contents.database,
        "server_version_number": version_number(contents.server_version),
        "encoding": _said(made, "ENCODING") or _said(encoding, "client_encoding") or "UTF8",
        "collate": _said(made, "LC_COLLATE") or locale,
        "ctype": _said(made, "LC_CTYPE") or locale,
        "locale_provider": _said(made, "LOCALE_PROVIDER") or "libc",
        "locale": _said(made, "ICU_LOCALE") or _said(made, "BUILTIN_LOCALE"),
        "locale_rules": _said(made, "ICU_RULES"),
        "owner": "",
        "tablespace": "pg_default",
        "tablespaces": sorted({entry.tablespace for entry in contents.entries if entry.tablespace}),
        "roles": [{"name": name, "is_superuser": False} for name in sorted(owners)] if with_owners else [],
        "extensions": [
            {"name": entry.name, "version": "", "schema": ""} for entry in contents.entries if entry.kind == "EXTENSION"
        ],
        "settings": [],
        "acl": None,
        "comment": "",
        "connection_limit": -1,
        "size_bytes": size_bytes,
    }


def of_new_database(session: Session, size_bytes: int) -> dict[str, t.Any]:
    """Return the description of a new database as this server would make it, for a script that does not say."""
    rows = session.rows(
        "SELECT pg_encoding_to_char(encoding), datcollate, datctype, to_jsonb(d) FROM pg_database d"
        " WHERE datname = 'template0'"
    )
    encoding, collate, ctype, columns = rows[0]
    provider = {"i": "icu", "b": "builtin"}.get(str(columns.get("datlocprovider", "c")), "libc")
    empty = description_of(Contents("sql", "", "", "", ()), size_bytes, with_owners=False)
    return {
        **empty,
        "server_version_number": session.version_number,
        "encoding": encoding,
        "collate": collate,
        "ctype": ctype,
        "locale_provider": provider,
        "locale": columns.get("datlocale") or columns.get("daticulocale") or "",
        "locale_rules": columns.get("daticurules") or "",
    }


def with_locale_of(source: Description, other: Description) -> dict[str, t.Any]:
    """Return a description with encoding and locale of another one."""
    names = ("encoding", "collate", "ctype", "locale_provider", "locale", "locale_rules")
    return {**source, **{name: other[name] for name in names}}


def _said(statement: str, word: str) -> str:
    match = re.search(rf"\b{word} = (?:E?'((?:[^']|'')*)'|(\w+))", statement)
    return (match.group(1) or match.group(2) or "").replace("''", "'") if match else ""


def version_number(text: str) -> int:
    """Return 150018 for `15.18`, 90600 for `9.6.24`, 0 for what is no version."""
    match = re.match(r"(\d+)(?:\.(\d+))?", text)
    if match is None:
        return 0
    major, minor = int(match.group(1)), int(match.group(2) or 0)
    return major * 10000 + (minor if major >= 10 else minor * 100)


def require_restricting(psql: Tool) -> None:
    """Raise LifeboatError for a psql that cannot be kept from running the commands in a script."""
    minor = int(psql.version.partition(".")[2] or 0)
    if psql.major < min(_RESTRICTING) or minor < _RESTRICTING.get(psql.major, 0):
        wanted = f"{psql.major}.{_RESTRICTING[psql.major]}" if psql.major in _RESTRICTING else "15"
        raise LifeboatError(
            "Cannot load a script from elsewhere",
            f"psql {psql.version} cannot be kept from running the commands in it",
            f"update it to {wanted} or later, or name the folder of a newer one with bin_dir",
        )

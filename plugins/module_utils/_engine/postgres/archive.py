# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import os
import typing as t
from dataclasses import dataclass

from ..errors import DamagedError
from .contents import is_tar_of_archive
from .output import ToolOutput
from .tools import Tool

_MAGIC = b"PGDMP"  # first bytes of pg_dump's custom format (pg_backup_archiver.c, ReadHead)


@dataclass(frozen=True)
class ScriptOptions:
    """Which parts of an archive are looked at or restored."""

    schema_only: bool = False
    no_owner: bool = False
    no_privileges: bool = False
    list_file: str = ""  # path of a list of entries, as option --use-list of pg_restore takes it; empty: all

    @property
    def of_restored(self) -> ScriptOptions:
        """Return the options for a dump of what was restored with these: nothing of that is to be left out."""
        return dataclasses.replace(self, list_file="")

    def arguments(self) -> list[str]:
        """Return the options of pg_restore that mean the same."""
        optional: t.Sequence[tuple[bool, str]] = (
            (self.schema_only, "--schema-only"),
            (self.no_owner, "--no-owner"),
            (self.no_privileges, "--no-privileges"),
            (bool(self.list_file), f"--use-list={self.list_file}"),
        )
        return [argument for is_set, argument in optional if is_set]


def refuse_foreign_format(path: str) -> None:
    """Raise DamagedError unless the file begins like an archive of pg_dump, in custom, tar or directory format."""
    with open(os.path.join(path, "toc.dat") if os.path.isdir(path) else path, "rb") as file:
        head = file.read(512)
    first = head[: len(_MAGIC)]
    if first != _MAGIC and not is_tar_of_archive(head):
        raise DamagedError(
            f"Cannot read {os.path.basename(path)} as a database archive",
            f"it begins with {first!r} instead of {_MAGIC!r}",
            "take another copy or another backup",
        )


def script_of_file(path: str, pg_restore: Tool, options: ScriptOptions) -> ToolOutput:
    """Return the SQL script of an archive, while pg_restore writes it: every byte of the archive is read on the way."""
    refuse_foreign_format(path)
    return ToolOutput(
        pg_restore,
        ["--file=-", *options.arguments()],
        {},
        f"Cannot read {os.path.basename(path)} as a database archive",
        "take another copy or another backup",
        archive=path,
    )


def script_of_stream(descriptor: int, pg_restore: Tool, options: ScriptOptions, database: str) -> ToolOutput:
    """Return the SQL script of an archive that comes in by a file descriptor."""
    return ToolOutput(
        pg_restore,
        ["--file=-", *options.arguments()],
        {},
        f"Cannot take the fingerprint of database {database}",
        stdin=descriptor,
    )

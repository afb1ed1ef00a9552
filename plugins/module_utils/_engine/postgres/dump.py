# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ..child import ChildError
from .connection import Server
from .output import ToolOutput
from .tools import Tool


@dataclass(frozen=True)
class DumpOptions:
    """What to save of a database, and how patiently."""

    lock_timeout_s: int = 300  # give up when a table stays locked longer, instead of queueing everybody behind us
    with_subscriptions: bool = True  # False: leave them out on purpose (only a superuser may read them)
    with_unlogged_data: bool = True  # False on a standby, where unlogged tables cannot be read
    encoding: str = ""  # what texts are written in; empty: the client encoding that is set for the database or role
    bytea_output: str = "hex"  # hex | escape: how binary data are written
    quote_all: bool = False  # names that need no quotes get them, too
    standard_strings: bool = True  # False: backslashes in texts of definitions are doubled


# What pg_dump leaves to the settings of the server, the database and the login role: two dumps of the same data would
# look different. pg_dumpall sets no time limits, and pg_dump only after its first query.
_SESSION = "-c statement_timeout=0 -c lock_timeout=0 -c client_min_messages=warning"

# What a standby says that has to choose between the dump and what its primary sends (PostgreSQL manual, 27.4.2).
_CONFLICT = "conflict with recovery"


class Dump(ToolOutput):
    """A database as an archive in PostgreSQL's custom format, uncompressed, while pg_dump writes it; see ToolOutput for
    the end."""

    def __init__(self, server: Server, database: str, pg_dump: Tool, options: DumpOptions | None = None) -> None:
        chosen = options or DumpOptions()
        super().__init__(
            pg_dump,
            dump_arguments(server, database, chosen),
            _environment(server, *_form(chosen)),
            f"Cannot back up database {database}",
            "see the server's log; the previous backups are untouched",
        )

    def check(self) -> None:
        """Wait for pg_dump and judge its exit code and its words."""
        try:
            super().check()
        except ChildError as error:
            if _CONFLICT not in error.stderr:
                raise
            remedy = (
                "set hot_standby_feedback on, or max_standby_streaming_delay longer than a dump takes, on the standby"
            )
            raise ChildError(error.problem, error.cause, remedy, error.status, error.stderr) from error


class Globals(ToolOutput):
    """Roles, memberships, role settings and tablespaces of a whole server as SQL, without passwords."""

    def __init__(self, server: Server, pg_dumpall: Tool, options: DumpOptions | None = None) -> None:
        timeout_s = (options or DumpOptions()).lock_timeout_s
        super().__init__(
            pg_dumpall,
            [
                "--globals-only",
                "--no-role-passwords",  # else only a superuser could read them, and they would lie in every backup
                "--no-sync",
                f"--lock-wait-timeout={timeout_s * 1000}",
                "--no-password",
                server.option_for(server.maintenance_database),
            ],
            _environment(server),
            f"Cannot back up the roles of {server}",
            "see the server's log",
        )


def _environment(server: Server, *options: str) -> dict[str, str]:
    """Return the variables for a program that dumps."""
    words = (_SESSION, *options, server.session_options)
    return {**server.environment(), "PGOPTIONS": " ".join(word for word in words if word)}


def _form(options: DumpOptions) -> tuple[str, ...]:
    return (
        f"-c bytea_output={options.bytea_output}",
        "-c quote_all_identifiers=off",  # pg_dump itself turns it on when it is to quote all
        f"-c standard_conforming_strings={'on' if options.standard_strings else 'off'}",
    )


def dump_arguments(server: Server, database: str, options: DumpOptions) -> list[str]:
    """Return the arguments of pg_dump; no secret is among them."""
    optional: t.Sequence[tuple[bool, str]] = (
        (not options.with_subscriptions, "--no-subscriptions"),
        (not options.with_unlogged_data, "--no-unlogged-table-data"),
        (options.quote_all, "--quote-all-identifiers"),
    )
    return [
        "--format=custom",
        "--compress=0",  # the stream is compressed later, by all cores and with checksums
        "--no-sync",
        "--no-password",
        f"--lock-wait-timeout={options.lock_timeout_s * 1000}",
        *(argument for is_set, argument in optional if is_set),
        *([f"--encoding={options.encoding}"] if options.encoding else []),
        server.option_for(database),
    ]

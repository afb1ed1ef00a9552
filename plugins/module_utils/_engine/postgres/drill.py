# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from .. import clock
from ..errors import LifeboatError
from .connection import Session, connect
from .contents import read_contents
from .description import Description
from .fingerprint import Fingerprint, fingerprint_of_archive
from .properties import create_statement
from .quoting import identifier
from .restore import RestoreOptions, restore_database
from .scratch import scratch_server
from .target import check_target, restore_tools


@dataclass(frozen=True)
class DrillReport:
    """What a restore into a scratch server showed."""

    server_version: str  # of the scratch server
    fingerprint: Fingerprint  # of the archive, with sums
    differences: tuple[str, ...]  # empty: the restored database holds what the archive holds
    notes: tuple[str, ...]
    load_s: float  # pg_restore alone: the larger part of the time to recover
    total_s: float

    @property
    def is_good(self) -> bool:
        return not self.differences


def restore_and_compare(
    archive_path: str,
    source: Description,
    *,
    bin_dir: str = "",
    parent: str = "",
    user: tuple[int, int] | None = None,
    jobs: int = 1,
) -> DrillReport:
    """Restore an archive into a scratch server, compare every row and object with it, and throw the server away.

    `source` is the description from the time of the dump; for the rest see `scratch_server`. Differences are reported,
    not raised; raises DamagedError or ChildError when the archive cannot be read or the restore itself fails.
    """
    begun = clock.monotonic()
    major = int(source["server_version_number"]) // 10000
    with scratch_server(
        major, bin_dir=bin_dir, parent=parent, user=user, lc_monetary=str(source.get("lc_monetary") or "C")
    ) as server:
        database = str(source["database"])
        # The archive may be of newer programs than those beside the scratch server's.
        programs = dataclasses.replace(server, bin_dir=bin_dir)
        tools = restore_tools(programs, read_contents(archive_path).dumped_by, database)
        archive = fingerprint_of_archive(archive_path, tools.pg_restore, with_sums=True)
        with connect(server, server.maintenance_database) as session:
            version = session.version_number
            _make_roles(session, source, archive)
            fitting, notes = _fitting(session, source)
        check_target(server, "", fitting, archive, with_tablespaces=False).require(f"{database} into a scratch server")
        options = RestoreOptions(jobs=jobs, with_tablespaces=False, with_settings=False, analyze=False)
        restored = restore_database(
            server, archive_path, fitting, tools, options, expected=archive, accept_differences=True
        )
    return DrillReport(
        server_version=f"{version // 10000}.{version % 10000}",
        fingerprint=archive,
        differences=restored.comparison.differences,
        notes=(*notes, *restored.warnings),
        load_s=restored.load_s,
        total_s=clock.monotonic() - begun,
    )


def _make_roles(session: Session, source: Description, archive: Fingerprint) -> None:
    """Create the roles that the archive gives things to; nobody can log in as one of them.

    A role that the description does not know may be the maker of the source's cluster, whose things only a superuser
    can own.
    """
    known = {str(role["name"]): bool(role["is_superuser"]) for role in source["roles"]}
    existing = set(session.names("SELECT rolname FROM pg_roles"))
    for name in sorted((known.keys() | archive.owners) - existing):
        kind = "SUPERUSER" if known.get(name, True) else "NOSUPERUSER"
        session.run(f"CREATE ROLE {identifier(name)} NOLOGIN {kind}")


def _fitting(session: Session, source: Description) -> tuple[Description, tuple[str, ...]]:
    """Return the description with a locale that this host has, and a note when that is another one.

    The order of texts is then another one too; what is stored is the same.
    """
    trial = "lifeboat_locale_trial"
    try:
        session.run(
            create_statement(trial, source, server_version=session.version_number, owner=False, tablespace=False)
        )
    except LifeboatError as error:
        plain = {"collate": "C", "ctype": "C", "locale_provider": "libc", "locale": "", "locale_rules": ""}
        return {**source, **plain}, (f"restored with locale C, because this host lacks the source's: {error.cause}",)
    session.run(f"DROP DATABASE {trial}")
    return source, ()

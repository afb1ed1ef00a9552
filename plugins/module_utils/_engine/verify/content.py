# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import dataclasses
import typing as t

from ..child import ChildError
from ..errors import DamagedError, MissingPartError
from ..minio import server_export
from ..postgres.container import Container
from ..postgres.fingerprint import fingerprint_of_chunks
from ..postgres.output import is_of_host
from ..postgres.tools import Inside, Tool, find_tool, major_of
from ..repository.manifest import Manifest
from ..repository.store import Store
from ..repository.stored_files import NeededFile, plain_chunks
from .outcome import Outcome
from .presence import judged

# Small archives that hold secrets: they are read in memory.
_EXPORTS: t.Mapping[str, t.Callable[[bytes], object]] = {
    server_export.IDENTITIES: server_export.parse_identities,
    server_export.BUCKETS: server_export.parse_buckets,
}
DUMP = "dump"  # role of a stored file in pg_dump's custom format


def check_content(store: Store, manifest: Manifest, bin_dir: str = "", container: Container | None = None) -> Outcome:
    """Read every stored file to its plain bytes, and every archive of a database through pg_restore.

    The archives are streamed: nothing is written to this host's disks. `bin_dir`: where PostgreSQL's programs are;
    `container`: one that has them, for a host that has none.
    Raises MissingPartError when they, or a library for the compression, are not installed.
    """
    figures: dict[str, t.Any] = {"plain_bytes": 0}
    pg_restore = _reader(manifest, bin_dir, container)

    def judge(each: NeededFile) -> str:
        chunks = plain_chunks(store, manifest.job, each.owner, each.file)
        try:
            if each.file.role == DUMP and pg_restore is not None:
                figures.update(fingerprint_of_chunks(chunks, pg_restore, str(manifest.source["database"])).summary())
            elif each.file.role in _EXPORTS:
                _EXPORTS[each.file.role](b"".join(chunks))
            else:
                for _chunk in chunks:
                    pass
        except (DamagedError, ChildError) as error:
            if isinstance(error, ChildError) and is_of_host(error):
                raise
            return error.cause or error.problem
        figures["plain_bytes"] += each.file.facts.plain_size
        return ""

    outcome = judged(store, manifest, "content", judge)
    return dataclasses.replace(outcome, report=figures)


def _reader(manifest: Manifest, bin_dir: str, container: Container | None) -> Tool | None:
    """Return the pg_restore that can read the archives of a backup; None when it has none."""
    if all(file.role != DUMP for file in manifest.files):
        return None
    dumped_by = major_of(str(manifest.versions.get("pg_dump", "")))
    major = max(int(manifest.source["server_version_number"]) // 10000, dumped_by)
    purpose = f"Cannot verify backup {manifest.id} of {manifest.job}"
    tool = _nearest(major, bin_dir, container, purpose)
    if tool.major < major:  # it would refuse the archive, and a good backup would be recorded as a bad one
        raise MissingPartError(
            purpose,
            f"{tool.name} {tool.version} cannot read an archive of pg_dump {major}",
            f"install postgresql-client-{major} or say with bin_dir in which folder the programs lie",
        )
    return tool


def _nearest(major: int, bin_dir: str, container: Container | None, purpose: str) -> Tool:
    """Return the pg_restore of this host if it will do, else that of the container.

    The host's works while the container is stopped, and does not take the database's share of processors and memory.
    """
    if container is None:
        return find_tool("pg_restore", major, bin_dir, purpose)
    with contextlib.suppress(MissingPartError):
        tool = find_tool("pg_restore", major, bin_dir, purpose)
        if tool.major >= major:
            return tool
    return find_tool("pg_restore", major, "", purpose, Inside(container))

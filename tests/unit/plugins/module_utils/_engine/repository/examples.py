# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Manifests, files and records to test with."""

from __future__ import annotations

import datetime as dt
import hashlib
import typing as t

from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.manifest import (
    Manifest,
    StoredFile,
    file_list,
    need_list,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.proof import (
    FileVerdict,
    ProofRecord,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.stream.pipeline import StreamFacts

JOB = "lab"
ID = "20261120T020000Z-0a1b2c"
MOMENT = dt.datetime(2026, 11, 20, 2, 0, tzinfo=dt.timezone.utc)


def stored_file(name: str = "dump", role: str = "dump", data: bytes = b"data") -> StoredFile:
    digest = hashlib.sha256(data).hexdigest()
    return StoredFile(name, role, StreamFacts(len(data), digest, len(data), digest, "none"))


def manifest(backup_id: str = ID, files: t.Sequence[StoredFile] | None = None, **changes: t.Any) -> Manifest:
    """Return a manifest of one dump and the two lists, unless told otherwise."""
    dump = stored_file()
    lists = (
        stored_file("files.jsonl", "files", file_list([dump])),
        stored_file("needs.jsonl", "needs", need_list([])),
    )
    fields: dict[str, t.Any] = {
        "id": backup_id,
        "job": JOB,
        "kind": "pg_database",
        "base": "",
        "started": MOMENT,
        "finished": MOMENT + dt.timedelta(seconds=7),
        "host": "db1",
        "versions": {"pg_dump": "15.18"},
        "source": {"database": "lab"},
        "files": tuple(files) if files is not None else (dump, *lists),
        "statistics": {"plain_bytes": 4},
        "warnings": (),
    }
    return Manifest(**{**fields, **changes})


def record(
    level: str = "content",
    minute: int = 0,
    problem: str = "",
    names: t.Sequence[str] = ("dump", "files.jsonl", "needs.jsonl"),
    backup_id: str = ID,
) -> ProofRecord:
    """Return a record of the files of `manifest()`; with `problem` the dump is bad."""
    promised = {file.name: file.facts.stored_sha256 for file in manifest().files}
    verdicts = [
        FileVerdict(name, promised.get(name, "0" * 64), not (problem and name == "dump"), problem * (name == "dump"))
        for name in names
    ]
    return ProofRecord(JOB, backup_id, level, MOMENT + dt.timedelta(minutes=minute), "db1", tuple(verdicts))

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import typing as t

from .. import clock
from ..errors import DamagedError
from ..stream.pipeline import StreamFacts
from . import json_document, layout, signing
from .keys import Keys

_FACTS = tuple(field.name for field in dataclasses.fields(StreamFacts))
PURPOSE = "manifest"  # of signatures
WARNINGS = "warnings"  # role of the file with the warnings of an encrypted backup: they may name tables or objects
_LEFT_OUT_IF_EMPTY = ("flags", "taken_over", "mac")  # as in manifests that were written before there were such


@dataclasses.dataclass(frozen=True)
class StoredFile:
    """One stored file of a backup."""

    name: str  # below data/<job>/<id>/
    role: str  # what it is for: dump, globals, files, needs …
    facts: StreamFacts  # sizes and digests, plain and stored
    encryption: str = "none"

    def fields(self) -> dict[str, t.Any]:
        return {"name": self.name, "role": self.role, "encryption": self.encryption, **dataclasses.asdict(self.facts)}

    @classmethod
    def from_fields(cls, fields: t.Mapping[str, t.Any]) -> StoredFile:
        facts = {name: fields[name] for name in _FACTS}
        for name in ("plain_size", "stored_size"):
            if not isinstance(facts[name], int) or facts[name] < 0:
                raise ValueError(f"{name} is not a size")
        if not facts["plain_sha256"] and fields["role"] != "pack":
            raise ValueError("it has no plain SHA-256, which only packs may lack")
        name = layout.checked_file_name(fields["name"])
        return cls(name, str(fields["role"]), StreamFacts(**facts), str(fields["encryption"]))


@dataclasses.dataclass(frozen=True)
class TakenFile:
    """A stored file that an earlier backup wrote, and that a later one has as its own; its needs name it, too."""

    owner: str  # id of the backup that wrote it
    number: int  # of its line in the owner's files.jsonl, from 0
    file: StoredFile

    def fields(self) -> dict[str, t.Any]:
        return {"owner": self.owner, "number": self.number, **self.file.fields()}

    @classmethod
    def from_fields(cls, fields: t.Mapping[str, t.Any]) -> TakenFile:
        owner, number = fields["owner"], fields["number"]
        if not isinstance(owner, str) or not clock.is_backup_id(owner):
            raise ValueError(f"{owner!r} is not a backup id")
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise ValueError(f"{number!r} is not the number of a file")
        return cls(owner, number, StoredFile.from_fields(fields))


@dataclasses.dataclass(frozen=True)
class Manifest:
    """The commit mark of a backup: it exists if and only if this does."""

    id: str
    job: str
    kind: str  # pg_database …
    base: str  # id of the backup that this one builds on; empty where there is none
    started: dt.datetime  # the repository's clock
    finished: dt.datetime  # the repository's clock
    host: str  # where the run was
    versions: t.Mapping[str, str]  # of what made the backup: lifeboat, pg_dump …
    source: t.Mapping[str, t.Any]  # identity and description of what was backed up
    files: tuple[StoredFile, ...]  # own stored files but packs, which only files.jsonl lists
    statistics: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()  # why nobody should trust it unseen: "mass_delete: 1,200 of 4,000 objects are gone"
    taken_over: tuple[TakenFile, ...] = ()  # what would have been written once more as it was
    mac: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)  # signature; empty where there is none

    @property
    def roles(self) -> frozenset[str]:
        """Return the roles of the stored files that the backup has, but packs."""
        return frozenset(file.role for file in (*self.files, *(each.file for each in self.taken_over)))

    def figure(self, name: str) -> int:
        """Return a number of the statistics; 0 where there is none, or something else in its place."""
        found = self.statistics.get(name)
        return found if isinstance(found, int) and not isinstance(found, bool) else 0

    def find(self, role: str) -> tuple[str, StoredFile] | None:
        """Return the stored file of a role that a backup has once, with the id of the backup that wrote it."""
        own = ((self.id, file) for file in self.files)
        others = ((each.owner, each.file) for each in self.taken_over)
        return next((found for found in (*own, *others) if found[1].role == role), None)

    def file(self, role: str) -> StoredFile:
        """Return the stored file of a role that a backup has once. Raises DamagedError."""
        for file in self.files:
            if file.role == role:
                return file
        raise DamagedError(f"Cannot use backup {self.id} of {self.job}", f"it has no stored file of role {role}")

    def signed(self, keys: Keys | None) -> Manifest:
        """Return the manifest as somebody with these keys writes it; as it is where there are none."""
        if keys is None:
            return self
        body = {name: value for name, value in self._fields().items() if name != signing.MEMBER}
        return dataclasses.replace(self, mac=keys.signature(PURPOSE, json_document.unsigned(body)))

    def to_bytes(self) -> bytes:
        return json_document.encoded(self._fields())

    def _fields(self) -> dict[str, t.Any]:
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        fields.update(
            started=clock.to_text(self.started),
            finished=clock.to_text(self.finished),
            files=[file.fields() for file in self.files],
            versions=dict(self.versions),
            source=dict(self.source),
            statistics=dict(self.statistics),
            warnings=list(self.warnings),
            flags=list(self.flags),
            taken_over=[each.fields() for each in self.taken_over],
            mac=dict(self.mac),
        )
        for name in _LEFT_OUT_IF_EMPTY:
            if not fields[name]:
                del fields[name]
        return fields

    @classmethod
    def from_bytes(cls, data: bytes, job: str, backup_id: str) -> Manifest:
        """Parse the manifest that lies under the key of `job` and `backup_id`. Raises DamagedError."""
        return cls.from_fields(json_document.decoded(data, _what(job, backup_id)), job, backup_id)

    @classmethod
    def from_fields(cls, fields: json_document.Fields, job: str, backup_id: str) -> Manifest:
        """Return the manifest that a document is. Raises DamagedError."""
        what = _what(job, backup_id)
        try:
            if (fields["job"], fields["id"]) != (job, backup_id):
                raise ValueError(f"it is that of {fields['id']!r} of {fields['job']!r}")
            return cls(
                id=backup_id,
                job=job,
                kind=str(fields["kind"]),
                base=str(fields["base"]),
                started=clock.from_text(fields["started"]),
                finished=clock.from_text(fields["finished"]),
                host=str(fields["host"]),
                versions=dict(fields["versions"]),
                source=dict(fields["source"]),
                files=tuple(StoredFile.from_fields(each) for each in fields["files"]),
                statistics=dict(fields["statistics"]),
                warnings=tuple(str(each) for each in fields["warnings"]),
                flags=tuple(str(each) for each in fields.get("flags", ())),
                taken_over=tuple(TakenFile.from_fields(each) for each in fields.get("taken_over", ())),
                mac=dict(fields.get("mac", {})),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedError(f"Cannot read {what}", f"damaged: {error}", "use another copy of it") from error


def read(data: bytes, job: str, backup_id: str, keys: Keys | None) -> tuple[Manifest, str]:
    """Return a manifest and what its signature is worth (`signing`). Raises DamagedError."""
    fields = json_document.decoded(data, _what(job, backup_id))
    return Manifest.from_fields(fields, job, backup_id), signing.verdict(fields, PURPOSE, keys, data)


def _what(job: str, backup_id: str) -> str:
    return f"the manifest of backup {backup_id} of {job}"


def file_list(files: t.Sequence[StoredFile]) -> bytes:
    """Return `files.jsonl`: a line per own data file; a file's number is that of its line, from 0."""
    return _lines([[f.name, f.role, *(getattr(f.facts, each) for each in _FACTS), f.encryption] for f in files])


def parse_file_list(data: bytes, what: str) -> list[StoredFile]:
    """Parse `files.jsonl`. Raises DamagedError."""
    names = ["name", "role", *_FACTS, "encryption"]
    try:
        rows = [dict(zip(names, json.loads(line))) for line in data.splitlines()]
        return [StoredFile.from_fields(row) for row in rows]
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedError(f"Cannot read {what}", f"damaged: {error}", "use another copy of it") from error


@dataclasses.dataclass(frozen=True)
class Need:
    """Stored files of one earlier backup that a backup needs."""

    owner: str  # id of the backup that wrote them
    files_sha256: str  # of the owner's files.jsonl
    ranges: tuple[tuple[int, int], ...]  # of file numbers in the owner's files.jsonl, first and last included


def need_list(needs: t.Sequence[Need]) -> bytes:
    """Return `needs.jsonl`: a line per owner, identical from backup to backup while nothing changes."""
    return _lines([[n.owner, n.files_sha256, [list(r) for r in n.ranges]] for n in needs])


def parse_need_list(data: bytes, what: str) -> list[Need]:
    """Parse `needs.jsonl`. Raises DamagedError."""
    needs = []
    try:
        for line in data.splitlines():
            owner, digest, ranges = json.loads(line)
            if not clock.is_backup_id(owner):
                raise ValueError(f"{owner!r} is not a backup id")
            pairs = tuple((int(first), int(last)) for first, last in ranges)
            if any(first < 0 or last < first for first, last in pairs):
                raise ValueError(f"{ranges!r} are not ranges")
            needs.append(Need(owner, str(digest), pairs))
    except (TypeError, ValueError) as error:
        raise DamagedError(f"Cannot read {what}", f"damaged: {error}", "use another copy of it") from error
    return needs


def sums(files: t.Sequence[StoredFile]) -> bytes:
    """Return `SHA256SUMS` for `sha256sum --check` in the backup's data folder."""
    return "".join(f"{f.facts.stored_sha256}  {f.name}\n" for f in files).encode()


def _lines(rows: t.Sequence[t.Sequence[t.Any]]) -> bytes:
    return "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows).encode()

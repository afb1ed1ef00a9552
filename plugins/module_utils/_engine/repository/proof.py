# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import datetime as dt
import secrets
import typing as t

from .. import clock
from ..errors import DamagedError
from . import json_document, layout, signing
from .intent import host_name
from .keys import Keys
from .manifest import Manifest
from .store import Store

PURPOSE = "proof record"  # of signatures
LEVELS = ("presence", "checksum", "content", "restore")  # ascending
_FORGOTTEN = "it was deleted, or written again, and not read back since then"
_PROVING = ("content", "restore")
_LAST = dt.datetime(9999, 12, 31, tzinfo=clock.UTC)


@dataclasses.dataclass(frozen=True)
class FileVerdict:
    """What one reading of a stored file showed."""

    name: str
    stored_sha256: str  # as the file list promises it
    is_good: bool
    problem: str = ""

    @classmethod
    def from_fields(cls, fields: t.Mapping[str, t.Any]) -> FileVerdict:
        """Parse a verdict. Raises ValueError, TypeError."""
        found = cls(**fields)
        if not isinstance(found.is_good, bool):
            raise ValueError("a verdict is neither good nor bad")
        if not all(isinstance(each, str) for each in (found.name, found.stored_sha256, found.problem)):
            raise ValueError("a verdict has something else than texts")
        return found


@dataclasses.dataclass(frozen=True)
class ProofRecord:
    """One verification of a backup's own stored files, kept beside them."""

    job: str
    id: str  # of the backup that wrote the files
    level: str
    time: dt.datetime  # the repository's clock
    host: str
    files: tuple[FileVerdict, ...]
    report: t.Mapping[str, t.Any] = dataclasses.field(
        default_factory=dict
    )  # counts, seconds, digests; no names of tables
    signature: str = signing.NOT_CHECKED  # of a record that was read: what its signature is worth

    @property
    def counts(self) -> bool:
        """Say whether it proves anything: it is from who has the keys, as far as that is asked."""
        return signing.counts(self.signature)

    @property
    def is_good(self) -> bool:
        return all(verdict.is_good for verdict in self.files)

    def to_bytes(self, keys: Keys | None = None) -> bytes:
        """Return the document, signed where there are keys."""
        fields = dataclasses.asdict(self)
        del fields["signature"]
        fields.update(time=clock.to_text(self.time), files=[dataclasses.asdict(v) for v in self.files])
        return signing.encoded(fields, PURPOSE, keys)

    @classmethod
    def from_bytes(cls, data: bytes, key: str, keys: Keys | None = None) -> ProofRecord:
        """Parse a record. Raises DamagedError."""
        fields = json_document.decoded(data, key)
        try:
            return cls(
                job=str(fields["job"]),
                id=str(fields["id"]),
                level=str(fields["level"]),
                time=clock.from_text(fields["time"]),
                host=str(fields["host"]),
                files=tuple(map(FileVerdict.from_fields, fields["files"])),
                report=dict(fields["report"]),
                signature=signing.verdict(fields, PURPOSE, keys, data),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedError(f"Cannot read {key}", f"damaged: {error}", "verify the backup again") from error


def write(store: Store, record: ProofRecord, signed_at: dt.datetime | None = None) -> str:
    """Store a record beside the others of its backup, and return its key."""
    name = f"{clock.compact(record.time)}-{secrets.token_hex(2)}-{record.level}.json"
    key = layout.verified(record.job, record.id) + name
    # What somebody else has said is written again as it was: only what was read here is vouched for.
    store.put_new(key, record.to_bytes(store.keys if record.counts else None), signed_at)
    return key


def records(store: Store, job: str, backup_id: str) -> list[ProofRecord]:
    """Return the readable records of a backup, oldest first; a damaged record proves nothing and condemns nothing."""
    return read(store, job, backup_id, [entry.key for entry in store.entries(layout.verified(job, backup_id))])


def read(store: Store, job: str, backup_id: str, keys: t.Iterable[str]) -> list[ProofRecord]:
    """Return the records of a backup that lie under `keys`, as `records` does."""
    found = []
    for key in keys:
        document = store.get(key)
        if document is None:
            continue
        try:
            record = ProofRecord.from_bytes(document.data, key, store.keys)
        except DamagedError:
            continue
        if not record.counts:  # whoever wrote it may have written any time: it is not of the future at least
            record = dataclasses.replace(record, time=min(record.time, document.modified))
        if (record.job, record.id) == (job, backup_id):
            found.append(record)
    # Servers' clocks tell seconds: of two records of the same moment the failed one is taken for the later one.
    return sorted(found, key=lambda record: (record.time, not record.is_good))


def after_known(store: Store, job: str, backup_id: str, moment: dt.datetime) -> dt.datetime:
    """Return the time of a record of what was read at `moment`: later than records that seem to be of the future.

    A clock was wrong when one of them was written, or is now. Records are ordered by their times, and what was read
    last is to count.
    """
    prefix, now = layout.verified(job, backup_id), clock.compact(store.now())
    keys = [entry.key for entry in store.entries(prefix) if entry.key[len(prefix) :] > f"{now}~"]
    times = [record.time for record in read(store, job, backup_id, keys)]
    return max([moment, *(time + dt.timedelta(microseconds=1) for time in times if time < _LAST)])


def forget(
    store: Store, job: str, backup_id: str, names: t.Collection[str], permit: t.Callable[[], dt.datetime]
) -> None:
    """Take stored files that are about to be written again, or deleted, out of the records of their backup.

    What the records say of other files stays: other backups may share them (docs/protocol.md, rules 8 and 10). Who
    has no keys leaves signed records as they are, and writes one that overrides them.
    """
    kept: list[FileVerdict] = []
    for entry in list(store.entries(layout.verified(job, backup_id))):
        document = store.get(entry.key)
        try:
            data = document.data if document else b""
            record = ProofRecord.from_bytes(data, entry.key, store.keys)
            is_signed = signing.MEMBER in json_document.decoded(data, entry.key)
        except DamagedError:
            continue  # it proves nothing
        left = tuple(verdict for verdict in record.files if verdict.name not in names)
        if len(left) == len(record.files):
            continue
        if left and is_signed and store.keys is None:  # what it says of the others would be worth nothing without
            kept += (verdict for verdict in record.files if verdict.name in names and verdict.is_good)
            continue
        if left:
            write(store, dataclasses.replace(record, files=left), permit())
        for version in list(store.versions(entry.key)):
            store.delete(version.entry.key, version.entry.version_id, permit())
    if kept:
        gone = tuple(
            {each.name: dataclasses.replace(each, is_good=False, problem=_FORGOTTEN) for each in kept}.values()
        )
        moment = after_known(store, job, backup_id, store.now())
        write(store, ProofRecord(job, backup_id, "checksum", moment, host_name(), gone), permit())


def verdicts(found: t.Sequence[ProofRecord]) -> dict[str, FileVerdict]:
    """Return the valid verdict of each file that has one.

    The newest one counts, and a failed reading stays until a later reading of the whole content succeeds: that a
    checksum matches does not prove that a file can be used. Of records that do not count only failures are heeded
    (docs/format.md, "Signatures").
    """
    valid: dict[str, FileVerdict] = {}
    for record in found:
        for verdict in record.files:
            if (record.level in _PROVING and record.counts) or not verdict.is_good:
                valid[verdict.name] = verdict
    return valid


@dataclasses.dataclass(frozen=True)
class Standing:
    """What is known about a backup in one repository."""

    is_proved: bool  # every own stored file was read back and found good
    problems: tuple[str, ...]  # of files whose last reading failed
    proved_at: dt.datetime | None  # the newest record at level content or better
    is_vouched: bool = False  # proved, if records that do not count had never been
    is_claimed: bool = False  # proved, if all records counted


def standing(manifest: Manifest, found: t.Sequence[ProofRecord]) -> Standing:
    """Judge a backup by its records, as far as its manifest or they name its files."""
    counting = [record for record in found if record.counts]  # of others the names need not be those of any file
    promised = {verdict.name: verdict.stored_sha256 for verdict in verdicts(counting).values()}
    promised.update((file.name, file.facts.stored_sha256) for file in manifest.files)
    return judged(promised, found)


def judged(promised: t.Mapping[str, str], found: t.Sequence[ProofRecord]) -> Standing:
    """Judge stored files of one backup (their names → stored SHA-256) by its records, oldest first."""
    counting = [record for record in found if record.counts]
    bad = tuple(f"{v.name}: {v.problem}" for v in verdicts(found).values() if not v.is_good and v.name in promised)
    proving = [record.time for record in counting if record.level in _PROVING and record.is_good]
    is_proved = is_vouched = is_claimed = _are_good(promised, found)
    if len(counting) < len(found):
        is_vouched = _are_good(promised, counting)
        is_claimed = _are_good(promised, [dataclasses.replace(each, signature=signing.NOT_CHECKED) for each in found])
    return Standing(is_proved, bad, proving[-1] if proving else None, is_vouched, is_claimed)


def _are_good(promised: t.Mapping[str, str], found: t.Sequence[ProofRecord]) -> bool:
    valid = verdicts(found).values()
    good = {each.name for each in valid if each.is_good and promised.get(each.name) == each.stored_sha256}
    return good >= promised.keys()

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import datetime as dt

from .. import clock
from ..errors import DamagedError, LifeboatError
from . import json_document, layout, signing
from .intent import host_name
from .keys import Keys
from .lease import Permit
from .removal import remove_all
from .store import Store, Version

PURPOSE = "hold"  # of signatures
_UNREADABLE = "a hold that cannot be read"
_UNSIGNED = "a hold that is not signed as it should be"


@dataclasses.dataclass(frozen=True)
class Hold:
    """Somebody's word that a backup stays, whatever retention says."""

    job: str
    id: str
    reason: str
    since: dt.datetime  # the repository's clock
    until: dt.datetime | None = None  # None: until it is released
    host: str = ""  # where it was said

    def to_bytes(self, keys: Keys | None = None) -> bytes:
        """Return the document, signed where there are keys."""
        fields = dataclasses.asdict(self)
        fields.update(since=clock.to_text(self.since), until=clock.to_text(self.until) if self.until else None)
        return signing.encoded(fields, PURPOSE, keys)

    @classmethod
    def from_bytes(cls, data: bytes, key: str) -> Hold:
        """Parse a hold. Raises DamagedError."""
        fields = json_document.decoded(data, key)
        try:
            until = fields["until"]
            return cls(
                job=str(fields["job"]),
                id=str(fields["id"]),
                reason=str(fields["reason"]),
                since=clock.from_text(fields["since"]),
                until=None if until is None else clock.from_text(until),
                host=str(fields["host"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            remedy = "hold the backup again, or release it"
            raise DamagedError(f"Cannot read {key}", f"damaged: {error}", remedy) from error

    def is_in_force(self, now: dt.datetime) -> bool:
        return self.until is None or self.until > now


def read(store: Store, job: str) -> dict[str, Hold]:
    """Return the holds of a job, those that are over too, by the id of the backup.

    One that cannot be read holds for ever, and so does one that is hidden by a delete marker, or that lacks a signature
    where there are keys: who may not delete for good must not be able to let a backup go.
    """
    newest: dict[str, Version] = {}
    for version in store.versions(layout.holds(job)):
        backup_id = layout.id_of(version.entry.key)
        if clock.is_backup_id(backup_id) and not version.is_delete_marker:
            newest.setdefault(backup_id, version)
    return {backup_id: _read(store, job, backup_id, version) for backup_id, version in newest.items()}


def _read(store: Store, job: str, backup_id: str, version: Version) -> Hold:
    key = version.entry.key
    try:
        document = store.get(key, version.entry.version_id)
        if document is not None:
            found = Hold.from_bytes(document.data, key)
            fields = json_document.decoded(document.data, key)
            signature = signing.verdict(fields, PURPOSE, store.keys, document.data)
            if (found.job, found.id) == (job, backup_id):
                is_believed = signing.counts(signature)
                return found if is_believed else dataclasses.replace(found, until=None, reason=_UNSIGNED)
    except DamagedError:
        pass
    return Hold(job, backup_id, _UNREADABLE, version.entry.modified)


def place(store: Store, job: str, backup_id: str, reason: str, until: dt.datetime | None, permit: Permit) -> Hold:
    """Hold a backup; the caller has the maintenance lease, so that no removal is under way.

    An earlier hold of it is replaced. Raises LifeboatError when the backup is not there.
    """
    if store.stat(layout.manifest(job, backup_id)) is None:
        raise LifeboatError(
            f"Cannot hold backup {backup_id} of {job} in {store.name}",
            "it is not there",
            "take an id from the list of backups of this repository",
        )
    key = layout.hold(job, backup_id)
    wanted = Hold(job, backup_id, reason, store.now(), until, host_name())
    document = store.get(key)
    if document is None:
        store.put_new(key, wanted.to_bytes(store.keys), signed_at=permit())
    else:
        store.replace(key, wanted.to_bytes(store.keys), document.etag, signed_at=permit())
    return wanted


def release(store: Store, job: str, backup_id: str, permit: Permit) -> None:
    """End a hold; the caller has the maintenance lease."""
    remove_all(store, layout.hold(job, backup_id), permit)

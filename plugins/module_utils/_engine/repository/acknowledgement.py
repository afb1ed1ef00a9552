# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime as dt
import typing as t

from .. import clock
from ..errors import DamagedError
from . import json_document, layout, signing
from .intent import host_name
from .store import ExistsError, Store

PURPOSE = "acknowledgement"  # of signatures


def acknowledge(store: Store, job: str, backup_id: str) -> bool:
    """Say that somebody looked at a flagged backup, and that it and all earlier ones are as they should be.

    Returns whether that was news. Raises UsageError for what is no job or id.
    """
    key = layout.acknowledgement(layout.checked_job(job), layout.checked_id(backup_id))
    if newest(store, job) >= backup_id:
        return False
    fields = {"job": job, "id": backup_id, "time": clock.to_text(store.now()), "host": host_name()}
    data = signing.encoded(fields, PURPOSE, store.keys)
    try:
        store.put_new(key, data)
    except ExistsError:
        _replace(store, job, backup_id, key, data)
    return True


def _replace(
    store: Store, job: str, backup_id: str, key: str, data: bytes, signed_at: dt.datetime | None = None
) -> None:
    """Write an acknowledgement in the place of one that counts for nothing; of one that counts it is not news."""
    found = store.get(key)
    if found is not None and not _is_of(store, found.data, key, job, backup_id):
        store.replace(key, data, found.etag, signed_at)


def newest(store: Store, job: str) -> str:
    """Return the id up to which the backups of a job are acknowledged, empty when none is.

    A document that cannot be read acknowledges nothing, and where there are keys, neither does one without a signature.
    """
    keys = {layout.id_of(entry.key): entry.key for entry in store.entries(layout.acknowledgements(job))}
    for backup_id in sorted(filter(clock.is_backup_id, keys), reverse=True):
        document = store.get(keys[backup_id])
        if document is not None and _is_of(store, document.data, keys[backup_id], job, backup_id):
            return backup_id
    return ""


def bring(source: Store, target: Store, job: str, permit: t.Callable[[], dt.datetime]) -> None:
    """Copy the newest acknowledgement of a job into another repository, unless that has it or a newer one."""
    backup_id = newest(source, job)
    if backup_id <= newest(target, job):
        return
    key = layout.acknowledgement(job, backup_id)
    document = source.get(key)
    if document is not None:
        try:
            target.put_new(key, document.data, signed_at=permit())
        except ExistsError:
            _replace(target, job, backup_id, key, document.data, permit())


def _is_of(store: Store, data: bytes, key: str, job: str, backup_id: str) -> bool:
    try:
        fields = json_document.decoded(data, key)
    except DamagedError:
        return False
    is_believed = signing.counts(signing.verdict(fields, PURPOSE, store.keys, data))
    return is_believed and (fields.get("job"), fields.get("id")) == (job, backup_id)

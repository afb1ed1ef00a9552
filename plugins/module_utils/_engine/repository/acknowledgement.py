# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import datetime as dt
import typing as t

from .. import clock
from ..errors import DamagedError
from . import json_document, layout
from .intent import host_name
from .store import ExistsError, Store


def acknowledge(store: Store, job: str, backup_id: str) -> bool:
    """Say that somebody looked at a flagged backup, and that it and all earlier ones are as they should be.

    Returns whether that was news. Raises UsageError for what is no job or id.
    """
    key = layout.acknowledgement(layout.checked_job(job), layout.checked_id(backup_id))
    if newest(store, job) >= backup_id:
        return False
    fields = {"job": job, "id": backup_id, "time": clock.to_text(store.now()), "host": host_name()}
    with contextlib.suppress(ExistsError):
        store.put_new(key, json_document.encoded(fields))
    return True


def newest(store: Store, job: str) -> str:
    """Return the id up to which the backups of a job are acknowledged, empty when none is.

    A document that cannot be read acknowledges nothing.
    """
    keys = {layout.id_of(entry.key): entry.key for entry in store.entries(layout.acknowledgements(job))}
    for backup_id in sorted(filter(clock.is_backup_id, keys), reverse=True):
        document = store.get(keys[backup_id])
        if document is not None and _is_of(document.data, keys[backup_id], job, backup_id):
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
        with contextlib.suppress(ExistsError):
            target.put_new(key, document.data, signed_at=permit())


def _is_of(data: bytes, key: str, job: str, backup_id: str) -> bool:
    try:
        fields = json_document.decoded(data, key)
    except DamagedError:
        return False
    return (fields.get("job"), fields.get("id")) == (job, backup_id)

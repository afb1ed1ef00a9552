# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ..errors import DamagedError
from ..repository import layout
from ..repository.intent import Intent, host_name, machine_id
from ..repository.store import Store

# Given the names of the stored files that a killed run finished, returns those that it may have been writing.
Unfinished = t.Callable[[t.Collection[str]], t.Iterable[str]]


def clean_up(store: Store, job: str, unfinished: Unfinished) -> list[str]:
    """Remove what killed runs of a job on this machine left unfinished, and return their ids.

    The caller holds the lock of the job on this host, so that the runs are over. Servers find unfinished uploads by
    their exact keys only, hence `unfinished`. The files that such a run finished are garbage from then on, and a
    manifest that is still on its way finds them there: garbage is deleted a day later at the earliest
    (docs/protocol.md, rule 8).
    """
    store.discard_abandoned(job)
    mine = (host_name(), machine_id())
    found = []
    for entry in list(store.entries(layout.intents(job))):
        document = store.get(entry.key)
        if document is None:
            continue
        try:
            intent = Intent.from_bytes(document.data, entry.key)
        except DamagedError:
            continue
        if not intent.machine or (intent.host, intent.machine) != mine or intent.id != layout.id_of(entry.key):
            continue
        folder = layout.data(job, intent.id)
        for name in unfinished({each.key[len(folder) :] for each in store.entries(folder)}):
            store.discard_unfinished(layout.data(job, intent.id, name))
        store.delete(entry.key)
        found.append(intent.id)
    return found

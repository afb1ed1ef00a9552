# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ..errors import DamagedError
from ..repository import layout
from ..repository.intent import Intent, host_name, machine_id
from ..repository.store import Store


def clean_up(store: Store, job: str, names: t.Sequence[str]) -> list[str]:
    """Remove what killed runs of a job on this machine left unfinished, and return their ids.

    The caller holds the lock of the job on this host, so that the runs are over. `names`: of the stored files that
    such a run may have been writing. Its finished files are garbage from then on, and a manifest that is still on
    its way finds them there: garbage is deleted a day later at the earliest (docs/protocol.md, rule 8).
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
        for name in names:
            store.discard_unfinished(layout.data(job, intent.id, name))
        store.delete(entry.key)
        found.append(intent.id)
    return found

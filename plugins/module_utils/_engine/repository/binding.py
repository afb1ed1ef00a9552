# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ..errors import GuardRefusal
from . import json_document, layout
from .store import ExistsError, Store

Identity = t.Mapping[str, str]


def bind(store: Store, job: str, kind: str, identity: Identity, rebind: bool = False) -> None:
    """Bind a job to its source at its first run, and later make sure that it is still the same source.

    Raises GuardRefusal (`source`) for another one, unless `rebind` says that the job moved to a new source on purpose.
    """
    wanted = json_document.encoded({"job": job, "kind": kind, "source": dict(identity)})
    key = layout.binding(job)
    found = store.get(key)
    if found is None:
        try:
            store.put_new(key, wanted)
            return
        except ExistsError:
            found = store.get(key)
    if found is None or found.data == wanted:
        return
    if rebind:
        store.replace(key, wanted, found.etag)
        return
    fields = json_document.decoded(found.data, key)
    raise GuardRefusal(
        "source",
        f"Cannot back up into job {job} of {store.name}",
        f"the job is bound to {_words(fields['kind'], fields['source'])}, and this is {_words(kind, identity)}",
        "give this source a job of its own, or allow it with rebind when the source was rebuilt on purpose",
    )


def _words(kind: str, identity: Identity) -> str:
    return f"{kind} " + " ".join(f"{name}={identity[name]}" for name in sorted(identity))

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ..errors import DamagedError, GuardRefusal
from . import json_document, layout
from .store import ExistsError, Store

Identity = t.Mapping[str, str]


def bind(store: Store, job: str, kind: str, identity: Identity, rebind: bool = False) -> None:
    """Bind a job to its source at its first run, and later make sure that it is still the same source.

    Raises GuardRefusal (`source`) for another one, unless `rebind` says that the job moved to a new source on purpose.
    """
    wanted = _document(job, kind, identity)
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
    raise _refusal(store, job, found.data, kind, identity)


def check(store: Store, job: str, kind: str, identity: Identity) -> None:
    """Raise GuardRefusal (`source`) when a job is bound to another source; one that never ran is bound to none."""
    found = store.get(layout.binding(job))
    if found is not None and found.data != _document(job, kind, identity):
        raise _refusal(store, job, found.data, kind, identity)


def is_bound(store: Store, job: str) -> bool:
    """Say whether a job ever ran in this repository."""
    return store.get(layout.binding(job)) is not None


def parsed(data: bytes, job: str) -> tuple[str, Identity]:
    """Return kind and source that a job is bound to, by its document. Raises DamagedError."""
    key = layout.binding(job)
    fields = json_document.decoded(data, key)
    kind, source = fields.get("kind"), fields.get("source")
    if not isinstance(kind, str) or not isinstance(source, dict):
        raise DamagedError(f"Cannot read {key}", "damaged: it names no kind or no source", "use another copy of it")
    return kind, source


def _document(job: str, kind: str, identity: Identity) -> bytes:
    return json_document.encoded({"job": job, "kind": kind, "source": dict(identity)})


def _refusal(store: Store, job: str, found: bytes, kind: str, identity: Identity) -> GuardRefusal:
    return GuardRefusal(
        "source",
        f"Cannot back up into job {job} of {store.name}",
        f"the job is bound to {_words(*parsed(found, job))}, and this is {_words(kind, identity)}",
        "give this source a job of its own, or allow it with rebind when the source was rebuilt on purpose",
    )


def _words(kind: str, identity: Identity) -> str:
    return f"{kind} " + " ".join(f"{name}={identity[name]}" for name in sorted(identity))

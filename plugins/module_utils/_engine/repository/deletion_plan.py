# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import datetime as dt
import typing as t

from .. import clock
from ..errors import DamagedError
from . import json_document, layout
from .store import DeniedError, Store


@dataclasses.dataclass(frozen=True)
class DeletionPlan:
    """Stored files that nothing names, listed for deletion when they are still garbage a day later."""

    job: str
    created: dt.datetime  # the repository's clock
    keys: tuple[str, ...]
    is_struck: bool = False  # keys were struck off, so that the document was written anew since

    def to_bytes(self) -> bytes:
        fields: dict[str, t.Any] = {"job": self.job, "created": clock.to_text(self.created), "keys": list(self.keys)}
        return json_document.encoded({**fields, "struck": True} if self.is_struck else fields)

    @classmethod
    def from_bytes(cls, data: bytes, key: str) -> DeletionPlan:
        """Parse a plan. Raises DamagedError."""
        fields = json_document.decoded(data, key)
        try:
            keys = tuple(str(each) for each in fields["keys"])
            return cls(str(fields["job"]), clock.from_text(fields["created"]), keys, fields.get("struck") is True)
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedError(
                f"Cannot read {key}", f"damaged: {error}", "remove this plan; the next prune makes another"
            ) from error


def known_since(plan: DeletionPlan, written: dt.datetime) -> dt.datetime:
    """Return from when on a plan counts: the time that it states, or the later one at which it was written.

    One that was struck from was written anew, and states the later of both as they were before.
    """
    return plan.created if plan.is_struck else max(plan.created, written)


def strike(store: Store, job: str, keys: t.Collection[str] | None, permit: t.Callable[[], dt.datetime]) -> int:
    """Take `keys` (None: all there are) out of all open plans of a job and return how many were in one.

    A plan that cannot be read is removed: nobody knows what it lists, and the next prune lists it anew. The caller
    holds the lease. Raises DamagedError where such a plan cannot be removed.
    """
    wanted = None if keys is None else set(keys)
    struck = 0
    for entry in list(store.entries(layout.plans(job))):
        document = store.get(entry.key)
        if document is None:
            continue
        try:
            plan = DeletionPlan.from_bytes(document.data, entry.key)
        except DamagedError as error:
            _drop(store, entry.key, permit, error)
            continue
        kept = tuple(key for key in plan.keys if wanted is not None and key not in wanted)
        if len(kept) < len(plan.keys):
            struck += len(plan.keys) - len(kept)
            since = known_since(plan, document.modified)
            changed = dataclasses.replace(plan, created=since, keys=kept, is_struck=True)
            store.replace(entry.key, changed.to_bytes(), document.etag, signed_at=permit())
    return struck


def _drop(store: Store, key: str, permit: t.Callable[[], dt.datetime], damage: DamagedError) -> None:
    """Remove a damaged plan. Raises `damage` where that is denied: somebody else may be able to read it."""
    try:
        for version in [version for version in store.versions(key) if version.entry.key == key]:
            store.delete(key, version.entry.version_id, signed_at=permit())
    except DeniedError as error:
        raise damage from error

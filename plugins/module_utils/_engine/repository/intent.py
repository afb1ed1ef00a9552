# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import datetime as dt
import pathlib
import platform

from .. import clock
from ..errors import LifeboatError
from . import json_document, layout
from .store import ChangedError, Store, UnavailableError

RENEWAL = dt.timedelta(hours=24)  # maintenance takes an intent for dead 7 days after its last renewal
RETRY = dt.timedelta(hours=1)
_MACHINE_ID = pathlib.Path("/etc/machine-id")


class IntentLostError(LifeboatError):
    """The run's own intent has gone or changed: maintenance took the run for dead, so it must not publish."""


@dataclasses.dataclass(frozen=True)
class Intent:
    """The sign that a run has begun; maintenance leaves alone what lies under its id."""

    job: str
    id: str
    base: str
    host: str
    machine: str  # /etc/machine-id of the host, empty where there is none

    def to_bytes(self) -> bytes:
        return json_document.encoded(dataclasses.asdict(self))

    @classmethod
    def from_bytes(cls, data: bytes, key: str) -> Intent:
        fields = json_document.decoded(data, key)
        return cls(*(str(fields.get(f.name, "")) for f in dataclasses.fields(cls)))


def host_name() -> str:
    """Return the name of this host."""
    return platform.node() or "unknown"


def machine_id() -> str:
    """Return what tells this machine from others of the same name, or nothing."""
    try:
        return _MACHINE_ID.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


class LiveIntent:
    """The intent of the run in this process: written, renewed daily, checked, removed."""

    def __init__(self, store: Store, intent: Intent) -> None:
        self._store = store
        self._key = layout.intent(intent.job, intent.id)
        self._data = intent.to_bytes()
        self._intent = intent
        self._due = clock.monotonic() + RENEWAL.total_seconds()
        self._etag = store.put_new(self._key, self._data)

    def keep_alive(self) -> None:
        """Renew the intent when a day has passed. Raises IntentLostError; never writes it anew."""
        if clock.monotonic() < self._due:
            return
        began = clock.monotonic()
        self._due = began + RETRY.total_seconds()
        try:
            self._replace()
        except UnavailableError:
            return  # an unreachable repository is the business of the upload; the intent lives for days
        self._due = began + RENEWAL.total_seconds()

    def _replace(self) -> None:
        try:
            self._etag = self._store.replace(self._key, self._data, self._etag)
        except ChangedError:
            self.check()  # an earlier renewal whose answer was lost leaves our bytes under another ETag
            self._etag = self._store.replace(self._key, self._data, self._etag)

    def check(self) -> None:
        """Raise IntentLostError unless the intent is there, unchanged."""
        found = self._store.get(self._key)
        if found is None:
            raise self._lost("it is gone")
        if found.data != self._data:
            raise self._lost("somebody else wrote it")
        self._etag = found.etag

    def remove(self) -> None:
        """Take the intent away; what the run wrote and did not publish is garbage from now on."""
        self._store.delete(self._key)

    def _lost(self, cause: str) -> IntentLostError:
        return IntentLostError(
            f"Cannot go on with backup {self._intent.id} of {self._intent.job}",
            f"its intent in {self._store.name}: {cause}",
            "run the job again; the earlier backups are as they were",
        )

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import json
import re
import typing as t

from .. import clock
from ..errors import DamagedError, UsageError
from . import json_document, layout
from .keys import Keys
from .store import ExistsError, Store

_SEALED = "sealed"  # member of a record that was written with keys
_EMPTY: t.Mapping[str, t.Any] = {"recovered": {}, "checks": [], "deviations": []}  # what stands there in clear then
OUTCOMES = ("recovered", "incomplete", "failed")
_KEY = re.compile(re.escape(layout.RECOVERIES) + r"([^/]+)/([0-9]{8}T[0-9]{6}Z)-([a-z][a-z0-9_]{0,62})\.json")


@dataclasses.dataclass(frozen=True)
class Phase:
    """A part of a recovery, and how long it took."""

    name: str
    seconds: float


@dataclasses.dataclass(frozen=True)
class Check:
    """Something that was looked at once the data was back."""

    name: str
    is_good: bool
    said: str = ""  # what was seen


@dataclasses.dataclass(frozen=True)
class Recovery:
    """What happened in a recovery, as whoever carried it out tells it."""

    job: str
    scenario: str  # such as database_corruption
    host: str
    begun: dt.datetime  # by the clock of whoever carried it out, as all times here
    finished: dt.datetime
    failed_at: dt.datetime | None = None  # when the damage was done; None: nobody knows
    back_at: dt.datetime | None = None  # when the data could be used again; None: it cannot
    recovery_point: dt.datetime | None = None  # how old the data is that is back; None: nothing says so
    phases: tuple[Phase, ...] = ()
    backup_id: str = ""  # from which the data is; empty: from none
    backup_repository: str = ""
    new_backup_id: str = ""  # taken of what is back; empty: none
    new_backup_repositories: tuple[str, ...] = ()
    recovered: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)  # facts of the scenario; no secrets
    checks: tuple[Check, ...] = ()
    deviations: tuple[str, ...] = ()  # what was not as planned
    rpo_hours: float | None = None  # objectives of the job; None: it has none
    rto_hours: float | None = None

    @property
    def damaged_at(self) -> dt.datetime:
        """Return the moment from which loss and outage are measured."""
        return self.failed_at or self.begun

    @property
    def key(self) -> str:
        return layout.recovery(self.job, self.begun, self.scenario)


@dataclasses.dataclass(frozen=True)
class Verdict:
    """How good a recovery was."""

    outcome: str  # one of OUTCOMES
    rpo_s: float | None  # work that is lost: from the recovery point to the damage; None: unknown
    rto_s: float | None  # outage: from the damage until the data could be used again; None: it cannot
    is_rpo_met: bool | None  # None: there is no objective, or no figure
    is_rto_met: bool | None


def judge(told: Recovery) -> Verdict:
    """Measure a recovery against the objectives of its job.

    It failed when the data cannot be used, and it is incomplete when something was not as planned or a check is bad.
    Times before the damage count as none: people and hosts have different clocks.
    """
    is_back = told.back_at is not None
    is_perfect = not told.deviations and all(check.is_good for check in told.checks)
    rpo_s = _seconds(told.recovery_point, told.damaged_at) if is_back else None
    rto_s = _seconds(told.damaged_at, told.back_at)
    return Verdict(
        outcome=OUTCOMES[2] if not is_back else OUTCOMES[0] if is_perfect else OUTCOMES[1],
        rpo_s=rpo_s,
        rto_s=rto_s,
        is_rpo_met=_is_met(rpo_s, told.rpo_hours),
        is_rto_met=_is_met(rto_s, told.rto_hours),
    )


def _seconds(first: dt.datetime | None, last: dt.datetime | None) -> float | None:
    if first is None or last is None:
        return None
    return round(max(0.0, (last - first).total_seconds()), 3)


def _is_met(seconds: float | None, hours: float | None) -> bool | None:
    return None if seconds is None or hours is None else seconds <= hours * 3600


def checked(told: Recovery) -> Recovery:
    """Return `told` if it can be recorded. Raises UsageError for names that cannot be part of a key."""
    layout.checked_job(told.job)
    layout.checked_scenario(told.scenario)
    if told.backup_id:
        layout.checked_id(told.backup_id)
    if told.new_backup_id:
        layout.checked_id(told.new_backup_id)
    if not told.host:
        raise UsageError("Cannot record this recovery", "the host has no name", "say which host was recovered")
    return told


def described(told: Recovery, verdict: Verdict) -> dict[str, t.Any]:
    """Return what a record says (docs/format.md, "Recovery record"), without the time at which it was written."""
    return {
        "job": told.job,
        "scenario": told.scenario,
        "host": told.host,
        **{name: _text(getattr(told, name)) for name in _TIMES},
        "phases": [dataclasses.asdict(phase) for phase in told.phases],
        "backup": {"id": told.backup_id, "repository": told.backup_repository},
        "new_backup": {"id": told.new_backup_id, "repositories": list(told.new_backup_repositories)},
        "recovered": dict(told.recovered),
        "checks": [dataclasses.asdict(check) for check in told.checks],
        "deviations": list(told.deviations),
        "objectives": {"rpo_hours": told.rpo_hours, "rto_hours": told.rto_hours},
        **dataclasses.asdict(verdict),
    }


_TIMES = ("begun", "finished", "failed_at", "back_at", "recovery_point")


def _text(moment: dt.datetime | None) -> str:
    return "" if moment is None else clock.to_text(moment)


@dataclasses.dataclass(frozen=True)
class Stored:
    """A record as it lies in a repository."""

    told: Recovery
    verdict: Verdict  # of whoever wrote it
    time: dt.datetime  # when it was written, by the repository's clock

    def to_bytes(self, keys: Keys | None = None) -> bytes:
        """Return the document; with keys what may name tables or objects is encrypted in it."""
        fields = {**described(self.told, self.verdict), "time": clock.to_text(self.time)}
        return json_document.encoded(fields if keys is None else _sealed(fields, self.told, keys))


def _sealed(fields: json_document.Fields, told: Recovery, keys: Keys) -> json_document.Fields:
    detail = json.dumps({name: fields[name] for name in _EMPTY}).encode("ascii")
    data = b"".join(keys.encrypting(*_place(told.key, told.job))(iter([detail])))
    return {**fields, **_EMPTY, _SEALED: base64.b64encode(data).decode("ascii")}


def _opened(fields: json_document.Fields, key: str, keys: Keys | None) -> json_document.Fields:
    """Return what a document says, as far as that can be read. Raises DamagedError, WrongKeyError."""
    if _SEALED not in fields or keys is None:
        return fields
    data = base64.b64decode(fields[_SEALED], validate=True)
    detail = json.loads(b"".join(keys.decrypting(*_place(key, str(fields["job"])))(iter([data]))))
    return {**fields, **{name: detail[name] for name in _EMPTY}}


def _place(key: str, job: str) -> tuple[str, str, str]:
    """Return what the encrypted part of a record belongs to."""
    return job, layout.RECOVERIES.rstrip("/"), key.rpartition("/")[2]


def write(store: Store, told: Recovery) -> Stored:
    """Record a recovery, once: the same one written again leaves what is there, and returns it.

    Raises StoreError; ExistsError when the record there tells of another recovery.
    """
    record = Stored(told, judge(told), store.now())
    try:
        store.put_new(told.key, record.to_bytes(store.keys))
    except ExistsError:
        found = find(store, told)
        if found is None:
            raise
        return found
    return record


def find(store: Store, told: Recovery) -> Stored | None:
    """Return the record of this very recovery, None when there is none yet.

    Raises StoreError; ExistsError when another one has its place.
    """
    document = store.get(told.key)
    if document is None:
        return None
    try:
        found = from_bytes(document.data, told.key, store.keys)
    except DamagedError as error:
        raise _occupied(store, told, "there is a damaged record in its place") from error
    if found.told != told:
        raise _occupied(store, told, "there is a record of the same second that says something else")
    return found


def _occupied(store: Store, told: Recovery, cause: str) -> ExistsError:
    remedy = f"look at {told.key}, and record the recovery with another second as its begin"
    return ExistsError(f"Cannot record the recovery of {told.job} in {store.name}", cause, remedy)


def from_bytes(data: bytes, key: str, keys: Keys | None = None) -> Stored:
    """Parse a record; without keys what is encrypted in it is left out.

    Raises DamagedError, also when it does not belong under this key; WrongKeyError.
    """
    fields = json_document.decoded(data, key)
    try:
        fields = _opened(fields, key, keys)
        told = _told(fields)
        if told.key != key:
            raise ValueError("it belongs elsewhere")
        verdict = Verdict(**{field.name: fields[field.name] for field in dataclasses.fields(Verdict)})
        return Stored(told, verdict, clock.from_text(fields["time"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamagedError(f"Cannot read {key}", f"damaged: {error}", "use another copy of it") from error


def _told(fields: json_document.Fields) -> Recovery:
    return Recovery(
        job=str(fields["job"]),
        scenario=str(fields["scenario"]),
        host=str(fields["host"]),
        begun=clock.from_text(fields["begun"]),
        finished=clock.from_text(fields["finished"]),
        **{name: clock.from_text(fields[name]) if fields[name] else None for name in _TIMES[2:]},
        phases=tuple(Phase(**phase) for phase in fields["phases"]),
        backup_id=str(fields["backup"]["id"]),
        backup_repository=str(fields["backup"]["repository"]),
        new_backup_id=str(fields["new_backup"]["id"]),
        new_backup_repositories=tuple(fields["new_backup"]["repositories"]),
        recovered=dict(fields["recovered"]),
        checks=tuple(Check(**check) for check in fields["checks"]),
        deviations=tuple(fields["deviations"]),
        rpo_hours=fields["objectives"]["rpo_hours"],
        rto_hours=fields["objectives"]["rto_hours"],
    )


def keys(store: Store, job: str = "", scenario: str = "") -> list[str]:
    """Return the keys of the records of one job and one scenario, or of all, in no useful order."""
    prefix = layout.recoveries(job) if job else layout.RECOVERIES
    found = ((entry.key, _KEY.fullmatch(entry.key)) for entry in store.entries(prefix))
    return [key for key, parts in found if parts is not None and scenario in ("", parts.group(3))]


def begun(key: str) -> str:
    """Return when the recovery began whose record lies under `key`, in a form that sorts by time."""
    return key.rpartition("/")[2].partition("-")[0]

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import datetime as dt
import typing as t

from .. import clock
from ..errors import LifeboatError
from ..repository import hold, proof, signing
from ..repository.catalog import MergedBackup
from ..repository.manifest import Manifest
from ..repository.memory import no_search_for_cycles
from ..repository.store import Store
from ..repository.stored_files import warnings_of
from . import tables
from .candidates import Holdings, candidates, holdings
from .config import Config
from .job_settings import JobSettings
from .listing import described
from .place import Place
from .recalling import of_this_user
from .run_as import Document

_HEAD = ("ID", "AGE", "SIZE", "PROVED", "COPIES")
_WIDTHS = (23, 8, 10, 12, 0)
_COPIES_WIDTH = tables.WIDTH - sum(_WIDTHS) - 2 * len(_WIDTHS[1:])  # columns that are left at least


@no_search_for_cycles()
def listing(config: Config, job: JobSettings) -> Document:
    """Return the backups of a job with their copies, oldest first; repositories that do not answer are named."""
    known = _known(config, job)
    return {
        "job": job.name,
        "kind": job.kind,
        "backups": [described(row) for row in known.merged()],
        "reached": sorted(known.found),
        "unreachable": dict(known.unreachable),
    }


@no_search_for_cycles()
def listing_lines(each: Document, now: dt.datetime) -> list[str]:
    """Return the listing of a job as a table for people; long names of repositories stand below it, with numbers."""
    names = list(dict.fromkeys(copy["repository"] for backup in reversed(each["backups"]) for copy in backup["copies"]))
    rows = [_row(backup, now, {name: name for name in names}) for backup in each["backups"]]
    if not rows:
        return [tables.nothing("backups", each["reached"], each["unreachable"])]
    if max(len(row[-1]) for row in rows) <= _COPIES_WIDTH:
        return tables.table(_HEAD, rows, _WIDTHS)
    numbers = {name: str(number) for number, name in enumerate(names, 1)}
    rows = [_row(backup, now, numbers) for backup in each["backups"]]
    legend = [line for name, number in numbers.items() for line in tables.note(f"{number} is {name}", "")]
    return [line for row in tables.wrapped(_HEAD, rows, _WIDTHS) for line in row] + legend


def description(config: Config, job: JobSettings, wanted: str) -> Document:
    """Return all that is known about one backup: an id, `latest` or `latest_good`. Raises LifeboatError."""
    places, refused = config.usable_places(job)
    known = _joined(holdings(job.name, places, of_this_user), refused)
    first = candidates(known, places, wanted)[0]
    row = next(row for row in known.merged() if row.id == first.backup.id)
    manifest = row.manifest
    if manifest is None:
        raise LifeboatError(f"Cannot show backup {row.id} of {job.name}", "no copy of its manifest can be read")
    having = {name for name, _copy in row.copies}
    reports = {place.name: _reports(place.store, row) for place in places if place.name in having}
    return {
        **described(row),
        "holds": _holds([place for place in places if place.name in having], row),
        "base": manifest.base,
        "versions": dict(manifest.versions),
        "source": dict(manifest.source),
        "statistics": dict(manifest.statistics),
        "files": [file.fields() for file in manifest.files],
        "taken_over": [each.fields() for each in manifest.taken_over],
        "warnings": _warnings(places, row, manifest),
        "reports": reports,
        "unreachable": dict(known.unreachable),
    }


def _warnings(places: t.Sequence[Place], row: MergedBackup, manifest: Manifest) -> list[str]:
    """Return the warnings of a backup; those of an encrypted one from the first copy that can be read."""
    having = {name for name, _copy in row.copies}
    for place in places:
        if place.name in having:
            with contextlib.suppress(LifeboatError):
                return list(warnings_of(place.store, manifest))
    return list(manifest.warnings)


def description_lines(each: Document, now: dt.datetime) -> list[str]:
    """Return what is known about one backup for people."""
    source = each["source"]
    facts = [
        ("backup", each["id"]),
        ("job", f"{each['job']} ({each['kind']})"),
        ("source", _source(each["kind"], source)),
        ("host", each["host"]),
        ("began", f"{_moment(each['started'])}, {_age(each['started'], now)} ago"),
        ("finished", f"{_moment(each['finished'])}, after {_age(each['started'], clock.from_text(each['finished']))}"),
        ("size", f"{_size(each['plain_bytes'])}, stored {_size(each['stored_bytes'])}"),
    ]
    shown = [f"{name:<10}{tables.printable(str(value))}" for name, value in facts]
    for copy in each["copies"]:
        shown.append(f"{'copy':<10}{tables.printable(copy['repository'])}: {_standing(copy, now)}")
        for problem in (*copy["problems"], *copy["alarms"], signing.words(copy["signature"])):
            shown += tables.note(problem) if problem else []
    for held in each["holds"]:
        until = f" until {_moment(held['until'])}" if held["until"] else ""
        shown += tables.note(f"{held['repository']}{until}: {held['reason'] or 'no reason given'}", "held in ")
    for file in each["files"]:
        shown.append(f"{'file':<10}{file['name']}, {tables.size(file['stored_size'])}")
        shown.append(f"{'':<10}sha256 {file['stored_sha256']}")
    for file in each["taken_over"]:
        shown.append(f"{'file':<10}{file['name']} of {file['owner']}, {tables.size(file['stored_size'])}")
    for words in each["flags"]:
        shown += tables.note(words, "flag: " if each["flagged"] else "flag, acknowledged: ")
    for words in each["warnings"]:
        shown += tables.note(words, "warning: ")
    return shown


def _source(kind: str, source: Document) -> str:
    if kind == "minio":
        return f"identities and bucket settings of {source.get('endpoint', '')}"
    if kind not in ("bucket", "files"):
        return f"{source.get('database', '')} on PostgreSQL {source.get('server_version', '')}"
    names, count = list(source.get("collections", ()))[:5], int(source.get("collection_count", 0))
    more = f" and {count - len(names)} more" if count > len(names) else ""
    where = source.get("endpoint", "") or source.get("host", "")
    return f"{', '.join(map(str, names))}{more} of {where}"


def remarks(unreachable: t.Mapping[str, str]) -> list[str]:
    """Return a line for each repository that could not be looked into."""
    return [f"{name} cannot be used: {why}" for name, why in unreachable.items()]


def _known(config: Config, job: JobSettings) -> Holdings:
    places, refused = config.usable_places(job)
    return _joined(holdings(job.name, places, of_this_user), refused)


def _joined(known: Holdings, refused: t.Mapping[str, str]) -> Holdings:
    return Holdings(known.job, known.found, {**known.unreachable, **refused})


def _reports(store: Store, row: MergedBackup) -> list[Document]:
    return [
        {"time": clock.to_text(each.time), "level": each.level, "good": each.is_good, **dict(each.report)}
        for each in proof.records(store, row.job, row.id)
    ]


def _holds(places: t.Sequence[Place], row: MergedBackup) -> list[Document]:
    """Return who wants a backup to stay; retention says the rest (`lifeboat prune --dry-run`)."""
    found = [(place.name, hold.read(place.store, row.job).get(row.id)) for place in places]
    return [
        {"repository": name, "reason": each.reason, "until": clock.to_text(each.until) if each.until else None}
        for name, each in found
        if each is not None
    ]


def _row(backup: Document, now: dt.datetime, shown_as: t.Mapping[str, str]) -> list[str]:
    copies = backup["copies"]
    times = [copy["proved_at"] for copy in copies if copy["proved"] and copy["proved_at"]]
    is_damaged = any(copy["problems"] or copy["alarms"] for copy in copies)
    proved = f"{_age(max(times), now)} ago" if times else ("DAMAGED" if is_damaged else "no")
    if backup["flagged"]:
        proved = "FLAGGED"
    names = [shown_as[copy["repository"]] + _mark(copy, backup["proved"]) for copy in copies]
    return [
        backup["id"],
        _age(backup["started"], now) if backup["started"] else "?",
        _size(backup["stored_bytes"]),
        proved,
        ", ".join(names),
    ]


def _mark(copy: Document, is_proved_somewhere: bool) -> str:
    if copy["problems"] or copy["alarms"]:
        return " (damaged)"
    return " (unproved)" if is_proved_somewhere and not copy["proved"] else ""


def _standing(copy: Document, now: dt.datetime) -> str:
    if copy["problems"] or copy["alarms"]:
        return "DAMAGED"
    if not copy["proved"] or not copy["proved_at"]:
        return "not proved"
    return f"proved {_moment(copy['proved_at'])}, {_age(copy['proved_at'], now)} ago"


def _size(count: int | None) -> str:
    return "?" if count is None else tables.size(count)


def _moment(text: str) -> str:
    """Return a time for people: to the second."""
    return f"{clock.from_text(text):%Y-%m-%d %H:%M:%S} UTC"


def _age(moment: str, now: dt.datetime) -> str:
    return tables.duration((now - clock.from_text(moment)).total_seconds())

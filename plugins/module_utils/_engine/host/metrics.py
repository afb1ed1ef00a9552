# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What monitoring can ask of this host, in the text format of Prometheus; docs/monitoring.md explains each name."""

from __future__ import annotations

import dataclasses
import os
import re
import typing as t

from ..errors import LifeboatError
from .notify_event import FLAGGED
from .report_files import replaced_whole
from .run_history import History
from .version import VERSION

Labels = t.Mapping[str, str]
# The label `job` is Prometheus' own: a scrape would rename ours.
JOB, MIRROR = "lifeboat_job", "lifeboat_mirror"
_LABELS = {"job": JOB, "mirror": MIRROR}
FAMILIES: t.Mapping[str, str] = {
    "lifeboat_info": "Which version wrote this.",
    "lifeboat_metrics_timestamp_seconds": "When these metrics were written.",
    "lifeboat_objective_seconds": "How old the newest backup, or the last success of a mirror, may be.",
    "lifeboat_last_success_timestamp_seconds": "When the command last ended with 0; 0 if it never did.",
    "lifeboat_last_failure_timestamp_seconds": "When the command last ended otherwise; 0 if it never did.",
    "lifeboat_last_exit_code": "What the command ended with the last time.",
    "lifeboat_last_flagged": "1 if the command ended with 3 because the backup that it made is flagged.",
    "lifeboat_last_duration_seconds": "How long the command took the last time.",
    "lifeboat_backup_timestamp_seconds": "When the newest backup began; 0 if there is none.",
    "lifeboat_backup_proved_timestamp_seconds": "When the newest proved backup was last read back; 0 if none was.",
    "lifeboat_backup_flagged": "1 if a guard doubts the newest backup, and nobody has acknowledged it.",
    "lifeboat_backup_source_bytes": "Bytes of all that the newest backup holds.",
    "lifeboat_backup_stored_bytes": "Bytes that were written for the newest backup.",
    "lifeboat_backup_copies": "Repositories that have the newest backup.",
    "lifeboat_backup_copies_wanted": "Repositories that are to have it.",
    "lifeboat_copies": "Good copies of the newest backup, the media that they are on, and how many are off site.",
    "lifeboat_copies_objective": "How many of these there are to be at least.",
    "lifeboat_problems": "How many things were wrong when status last looked.",
    "lifeboat_next_run_timestamp_seconds": "When the schedule comes next.",
    "lifeboat_repository_reachable": "1 if the repository could be read when status last looked.",
    "lifeboat_repository_stored_bytes": "Bytes that the backups of the job take there.",
    "lifeboat_repository_size_bytes": "Size of the file system of a directory.",
    "lifeboat_repository_free_bytes": "Bytes that the user of the job can still write there.",
    "lifeboat_notification_failures_total": "Messages that a channel did not take.",
}
_COUNTERS = frozenset(("lifeboat_notification_failures_total",))


@dataclasses.dataclass(frozen=True)
class Sample:
    """One value of a metric."""

    name: str  # one of FAMILIES
    labels: Labels
    value: float


@dataclasses.dataclass(frozen=True)
class Subject:
    """What the metrics of one file are about."""

    section: str  # job | mirror
    name: str
    commands: tuple[str, ...]  # whose ends are shown even if they never came
    kind: str = ""
    objective_s: float | None = None
    next_run: float | None = None  # seconds since 1970
    channels: tuple[str, ...] = ()  # whose failures are counted from 0 on: an increase from nothing is none
    copies: t.Mapping[str, int] = dataclasses.field(default_factory=dict)  # objective for copies: what → how many


def samples(subject: Subject, history: History, moment: float) -> list[Sample]:
    """Return the metrics of a job or mirror as its history knows it at a moment (seconds since 1970)."""
    label = {_LABELS[subject.section]: subject.name}
    found = [Sample("lifeboat_metrics_timestamp_seconds", label, moment)]
    if subject.objective_s is not None:
        found.append(Sample("lifeboat_objective_seconds", label, subject.objective_s))
    for what, least in subject.copies.items():
        found.append(Sample("lifeboat_copies_objective", {**label, "of": what}, float(least)))
    if subject.next_run is not None:
        found.append(Sample("lifeboat_next_run_timestamp_seconds", label, subject.next_run))
    found += _of_ends(label, subject, history)
    if subject.section == "job":
        found += _of_backup({**label, "kind": subject.kind}, history)
    for each in history.repositories:
        found += _of_repository({**label, "repository": each.name}, dataclasses.asdict(each))
    for name in sorted({*subject.channels, *history.channels}):
        failures = history.channels[name].failures if name in history.channels else 0
        found.append(Sample("lifeboat_notification_failures_total", {**label, "channel": name}, float(failures)))
    return found


def _of_ends(label: Labels, subject: Subject, history: History) -> t.Iterator[Sample]:
    for command in sorted({*subject.commands, *history.ends}):
        labels, end = {**label, "command": command}, history.ends.get(command)
        yield Sample("lifeboat_last_success_timestamp_seconds", labels, end.succeeded if end else 0.0)
        yield Sample("lifeboat_last_failure_timestamp_seconds", labels, end.failed if end else 0.0)
        if end is not None:
            yield Sample("lifeboat_last_exit_code", labels, float(end.exit_code))
            yield Sample("lifeboat_last_flagged", labels, float(end.outcome == FLAGGED))
            yield Sample("lifeboat_last_duration_seconds", labels, end.seconds)


def _of_backup(label: Labels, history: History) -> t.Iterator[Sample]:
    found = history.backup
    yield Sample("lifeboat_backup_timestamp_seconds", label, found.time if found else 0.0)
    yield Sample("lifeboat_backup_proved_timestamp_seconds", label, found.proved if found else 0.0)
    if found is None:
        return
    values = {
        "flagged": float(found.is_flagged),
        "source_bytes": found.source_bytes,
        "stored_bytes": found.stored_bytes,
        "copies": float(found.copies),
        "copies_wanted": float(found.wanted),
    }
    for name, value in values.items():
        if value is not None:
            yield Sample(f"lifeboat_backup_{name}", label, float(value))
    for what, count in (("total", found.good_copies), ("media", found.media), ("offsite", found.offsite)):
        if count is not None:
            yield Sample("lifeboat_copies", {**label, "of": what}, float(count))
    if found.problems is not None:
        yield Sample("lifeboat_problems", label, float(found.problems))


def _of_repository(label: Labels, found: t.Mapping[str, t.Any]) -> t.Iterator[Sample]:
    yield Sample("lifeboat_repository_reachable", label, float(found["is_reachable"]))
    if found["is_reachable"]:
        yield Sample("lifeboat_repository_stored_bytes", label, float(found["stored_bytes"]))
    for name in ("size_bytes", "free_bytes"):
        if found[name] is not None:
            yield Sample(f"lifeboat_repository_{name}", label, float(found[name]))


def text_of(found: t.Iterable[Sample]) -> str:
    """Return samples in the text format, version 0.0.4: those of one name together, in the order of FAMILIES."""
    by_name: dict[str, list[Sample]] = {}
    for each in found:
        by_name.setdefault(each.name, []).append(each)
    lines = []
    for name, words in FAMILIES.items():
        if name in by_name:
            lines += [f"# HELP {name} {words}", f"# TYPE {name} {'counter' if name in _COUNTERS else 'gauge'}"]
            lines += [f"{name}{_labels(each.labels)} {_number(each.value)}" for each in by_name[name]]
    return "".join(f"{line}\n" for line in lines)


def write(folder: str, subject: Subject, history: History, moment: float) -> None:
    """Write the metrics of a job or mirror into the folder of the textfile collector. Raises LifeboatError."""
    _write(folder, _file_of(subject.section, subject.name), text_of(samples(subject, history, moment)))


def write_host(folder: str, moment: float, subjects: t.Iterable[Subject]) -> None:
    """Write what belongs to no job, and remove the files of jobs that are no more. Raises LifeboatError."""
    found = [
        Sample("lifeboat_info", {"version": VERSION}, 1.0),
        Sample("lifeboat_metrics_timestamp_seconds", {}, moment),
    ]
    _write(folder, _HOST, text_of(found))
    wanted = {_HOST, *(_file_of(each.section, each.name) for each in subjects)}
    try:
        for name in os.listdir(folder):
            if _OURS.fullmatch(name) and name not in wanted:
                os.unlink(os.path.join(folder, name))
    except OSError as error:
        raise _refused(folder, error) from error


_HOST = "lifeboat.prom"
_OURS = re.compile(r"lifeboat\.(job|mirror)\..+\.prom")


def _file_of(section: str, name: str) -> str:
    return f"lifeboat.{section}.{name}.prom"


def _write(folder: str, name: str, text: str) -> None:
    try:
        # The collector reads files that end with .prom only, so that a temporary name is none of them.
        replaced_whole(os.path.join(folder, name), text.encode(), 0o644)
    except OSError as error:
        raise _refused(folder, error) from error


def _refused(folder: str, error: OSError) -> LifeboatError:
    words = error.strerror or str(error)
    return LifeboatError(
        f"Cannot write metrics to {folder}", words, "make the folder, writable by the users of all jobs"
    )


def _labels(labels: Labels) -> str:
    inner = ",".join(f'{name}="{_escaped(value)}"' for name, value in sorted(labels.items()))
    return f"{{{inner}}}" if inner else ""


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(round(value, 3))

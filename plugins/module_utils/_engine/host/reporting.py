# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tells and remembers how each run of the command ended, whatever way it ended."""

from __future__ import annotations

import argparse
import dataclasses
import datetime as dt
import typing as t

from .. import clock
from ..errors import FAILED, LifeboatError
from ..repository.intent import host_name
from . import metrics
from .config import Config
from .job_settings import JobSettings
from .mirror_config import MirrorSettings
from .notify_channel import COMMANDS
from .notify_config import Reporting
from .notify_delivery import Delivery, Outbox, begun
from .notify_event import Event, outcome_of, with_result
from .run_history import BackupFacts, History, HistoryFile
from .shown import Shown
from .signals import Interrupted

Complain = t.Callable[[str], None]  # writes one line to standard error
_SHOWN_COMMANDS = {"job": ("run",), "mirror": ("mirror",)}  # in metrics also if they never ended


def watched(config: Config, options: argparse.Namespace, work: t.Callable[[], Shown], complain: Complain) -> Shown:
    """Return what `work` returns, after its end was told and remembered; raises what it raises.

    What cannot be told or remembered is a remark, and never changes the exit code.
    """
    if not _is_reported(options):
        return work()
    report = Report(config, options.command, options.job)
    try:
        shown = work()
    except Interrupted as end:
        problem = f"{options.command} {options.job} was ended by {end.signal.name}"
        _said(complain, report.end(Shown({}, (), end.exit_code, error=LifeboatError(problem))))
        raise
    except BaseException as bug:
        # Its words may hold anything; the traceback goes to standard error only.
        problem = f"{options.command} {options.job} ended by a bug"
        error = LifeboatError(problem, type(bug).__name__, "see the log of the run, and report it")
        _said(complain, report.end(Shown({}, (), FAILED, error=error)))
        raise
    remarks = report.end(shown)
    document = shown.document
    if report.deliveries:
        document = {**document, "notifications": [each.document() for each in report.deliveries]}
    return dataclasses.replace(shown, document=document, remarks=(*shown.remarks, *remarks))


def _is_reported(options: argparse.Namespace) -> bool:
    """Say whether an end matters to others than the person who called: previews and acknowledgements do not."""
    is_preview = getattr(options, "dry_run", False) or getattr(options, "acknowledge", "")
    return options.command in COMMANDS and not is_preview


def _said(complain: Complain, remarks: t.Iterable[str]) -> None:
    for remark in remarks:
        complain(remark)


class Report:
    """What is told and remembered of one run; made before it begins, while root still has its rights."""

    def __init__(self, config: Config, command: str, name: str) -> None:
        self._command = command
        self._name = name
        self._reporting = config.reporting
        found = config.mirrors.get(name) if command == "mirror" else config.find(name)
        self._settings: JobSettings | MirrorSettings | None = found
        self._file = history_file(config, found) if found is not None else None
        self._remarks: list[str] = []
        self._began = clock.now()
        # Secrets of channels are root's as a rule: they are read now, and the run gives up these rights later.
        self._outbox = Outbox(config.reporting.channels_of(found.notify if found is not None else None))
        event = begun(command, name, found.kind if isinstance(found, JobSettings) else "", host_name())
        self._event = event
        self.deliveries: list[Delivery] = []
        self._guarded(lambda: self.deliveries.extend(self._outbox.begin(event)))

    def end(self, shown: Shown) -> list[str]:
        """Tell and remember the end, and return what could not be told or remembered."""
        self._guarded(lambda: self._end(shown))
        return [*self._remarks, *(_remark(each) for each in self.deliveries if not each.is_done)]

    def _end(self, shown: Shown) -> None:
        event = self._ended(shown)
        if self._file is not None:
            event = dataclasses.replace(event, is_recovery=self._file.read().recovers(event))
        # Kept before anybody is told: telling may take a minute, and the host may go down meanwhile.
        self._keep(lambda history: _with_backup(history.with_end(event), event, shown))
        self.deliveries += self._outbox.send(event)
        if self.deliveries:
            self._keep(lambda history: history.with_deliveries(self.deliveries, clock.now()))

    def _ended(self, shown: Shown) -> Event:
        event = dataclasses.replace(
            self._event,
            outcome=outcome_of(shown.exit_code, shown.error),
            finished=max(clock.now(), self._began),
            exit_code=shown.exit_code,
            lines=tuple(shown.lines),
        )
        return with_result(event, shown.document, shown.error)

    def _keep(self, change: t.Callable[[History], History]) -> None:
        if self._file is None or self._settings is None:
            return
        try:
            with self._file.changed() as kept:
                kept.history = change(kept.history)
                if self._reporting.metrics_dir:
                    write_metrics(self._reporting, self._settings, kept.history)
        except LifeboatError as error:
            self._remark(error.summary)
        except Exception as error:  # noqa: BLE001 - whoever is to be told is told all the same
            self._remark(f"Cannot remember the end of {self._command} {self._name}: {type(error).__name__}")

    def _guarded(self, work: t.Callable[[], None]) -> None:
        """Do something that must not cost a backup, not even by a bug."""
        try:
            work()
        except Exception as error:  # noqa: BLE001 - as the line above says
            self._remark(f"Cannot report the end of {self._command} {self._name}: {type(error).__name__}")

    def _remark(self, words: str) -> None:
        if words not in self._remarks:
            self._remarks.append(words)


def history_file(config: Config, settings: JobSettings | MirrorSettings) -> HistoryFile | None:
    """Return where the history of a job or mirror is kept; None when none is."""
    folder = config.reporting.state_dir
    return HistoryFile(folder, section_of(settings), settings.name) if folder else None


def section_of(settings: JobSettings | MirrorSettings) -> str:
    return "job" if isinstance(settings, JobSettings) else "mirror"


def write_metrics(reporting: Reporting, settings: JobSettings | MirrorSettings, history: History) -> None:
    """Write the metrics of a job or mirror. Raises LifeboatError."""
    moment = clock.now()
    metrics.write(reporting.metrics_dir, subject_of(reporting, settings, moment), history, moment.timestamp())


def subject_of(reporting: Reporting, settings: JobSettings | MirrorSettings, moment: dt.datetime) -> metrics.Subject:
    """Return what metrics say about a job or mirror whether it ever ran or not."""
    section = section_of(settings)
    following = settings.schedule.next_after(moment).timestamp() if settings.schedule else None
    return metrics.Subject(
        section,
        settings.name,
        _SHOWN_COMMANDS[section],
        kind=settings.kind if isinstance(settings, JobSettings) else "",
        objective_s=settings.rpo_hours * 3600 if settings.rpo_hours is not None else None,
        copies=_copies_of(settings),
        next_run=following,
        channels=tuple(channel.name for channel in reporting.channels_of(settings.notify)),
    )


def _copies_of(settings: JobSettings | MirrorSettings) -> t.Mapping[str, int]:
    """Return the objective for copies, without what is not asked for."""
    objective = settings.copies if isinstance(settings, JobSettings) else None
    found = dataclasses.asdict(objective) if objective is not None else {}
    return {what: least for what, least in found.items() if least}


def _with_backup(history: History, event: Event, shown: Shown) -> History:
    """Return a history with the backup that a run has written, if it has."""
    if event.command != "run" or not clock.is_backup_id(event.id):
        return history
    before = history.backup or BackupFacts()
    is_proved = any(each.get("proved") for each in event.copies)
    source = shown.document.get("statistics", {}).get("bytes", event.plain_bytes)
    facts = BackupFacts(
        time=clock.from_backup_id(event.id).timestamp(),
        proved=event.finished.timestamp() if is_proved and not event.flags else before.proved,
        is_flagged=bool(event.flags),
        source_bytes=int(source) if source is not None else None,
        stored_bytes=event.stored_bytes,
        copies=sum(bool(each.get("present")) for each in event.copies),
        wanted=len(event.copies),
        problems=before.problems,
        good_copies=before.good_copies,
        media=before.media,
        offsite=before.offsite,
    )
    return dataclasses.replace(history, backup=facts)


def _remark(delivery: Delivery) -> str:
    return f"warning: notification channel {delivery.channel} was not reached: {delivery.problem}"

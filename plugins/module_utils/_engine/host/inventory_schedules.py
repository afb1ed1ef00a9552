# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import datetime as dt
import typing as t

from ..errors import UsageError
from ..repository.layout import checked_job
from .inventory_config import Entry, full_name, job_users
from .schedule_options import KEYS, section_of, words_of
from .timing import Timing, are_same, minutes_to_look, stable_delay, timing_of

LOG_FOLDER = "/var/log/lifeboat"
STATE_FOLDER = "/var/lib/lifeboat/schedules"
_WISHES = ("every", "at", "day", "cron", "timezone", "random_delay", "random_delay_kind", "enabled")
_DELAY_KINDS = ("stable", "random")


@dataclasses.dataclass(frozen=True)
class Settings:
    """What schedules that do not say it themselves have in common."""

    timezone: str = "UTC"
    random_delay_s: int = 0
    random_delay_kind: str = "stable"
    command: str = "/usr/local/bin/lifeboat"


@dataclasses.dataclass(frozen=True)
class Schedule:
    """A subcommand of the host command that runs by itself."""

    name: str  # unique on the host: job, job.verify, job.copy, job.prune, job.lock, mirror.NAME, status, metrics
    words: tuple[str, ...]  # after `lifeboat`
    user: str
    timing: Timing
    delay_s: int = 0  # at most
    wait_s: int | None = None  # what of that it is each time; None: left to chance
    is_enabled: bool = True

    def line(self, settings: Settings, host_zone: str, today: dt.datetime) -> tuple[str, str]:
        """Return when a cron that lives in `host_zone` starts it, and what it starts: all that a line of a crontab
        has, but for the user."""
        timing = self.timing
        if are_same(timing.timezone, host_zone):
            return timing.cron.text, self._shell(settings)
        # Cron knows one time zone. It looks every hour, and `lifeboat scheduled` decides.
        minutes = minutes_to_look(timing.cron, (timing.timezone, host_zone), today)
        return f"{minutes} * * * *", self._shell(settings, "--cron", timing.cron.text, "--timezone", timing.timezone)

    def argv(self, settings: Settings, *more: str) -> tuple[str, ...]:
        """Return the command that does what is scheduled, without any delay of its own."""
        files = ("--log", f"{LOG_FOLDER}/{self.name}.log", "--state", f"{STATE_FOLDER}/{self.name}.json")
        return (settings.command, "scheduled", "--name", self.name, *more, *files, "--", *self.words)

    def exec_start(self, settings: Settings) -> str:
        """Return the same for ExecStart of a unit of systemd."""
        return " ".join(_in_unit(word) for word in self.argv(settings))

    def _shell(self, settings: Settings, *decision: str) -> str:
        wait = ("--wait-up-to", str(self.delay_s)) if self.wait_s is None else ("--wait", str(self.wait_s))
        argv = self.argv(settings, *decision, *(wait if self.delay_s else ()))
        # A percent sign is a line feed to cron, also between quotes (crontab(5)).
        return " ".join(_quoted(word) for word in argv).replace("%", "\\%")


def schedules(
    host: str,
    jobs: t.Sequence[Entry],
    mirrors: t.Sequence[Entry] = (),
    status: t.Any = None,
    run_as: str = "lifeboat",
    settings: Settings | None = None,
    metrics: t.Any = None,
) -> tuple[Schedule, ...]:
    """Return what is scheduled on a host, by `schedule`, `verify`, `copy`, `prune` and `lock` of its inventory.

    `status` is when `lifeboat status` runs, `metrics` when it writes the metrics of all jobs, too. Raises UsageError
    that names the job.
    """
    maker = _Maker(host, run_as, settings or Settings(), job_users(host, jobs, run_as))
    found = [each for job in jobs for each in maker.of_job(job)]
    found += [each for mirror in mirrors for each in maker.of_mirror(mirror)]
    if status:
        found.append(maker.made("status", ("status",), "root", status))
    if metrics:
        found.append(maker.made("metrics", ("status", "--metrics"), "root", metrics))
    return tuple(found)


class _Maker:
    def __init__(self, host: str, run_as: str, settings: Settings, users: t.Mapping[str, str]) -> None:
        self._host = host
        self._users = users  # by the full name of the job
        self._run_as = run_as
        self._settings = settings

    def of_job(self, job: Entry) -> t.Iterator[Schedule]:
        """Yield what is scheduled of a job: runs, verifications, copies, prunes, locks."""
        name = full_name(self._host, job)
        user = self._users[name]
        if job.get("schedule"):
            yield self.made(name, ("run", name), user, job["schedule"])
        for key in KEYS:
            section = section_of(name, key, job.get(key))
            given = words_of(name, str(job.get("kind", "")), key, section)
            if section.get("schedule"):
                yield self.made(f"{name}.{key}", (key, name, *given), user, section["schedule"])

    def of_mirror(self, mirror: Entry) -> t.Iterator[Schedule]:
        """Yield what is scheduled of a mirror: runs and verifications."""
        name, user = checked_job(str(mirror["name"])), str(mirror.get("run_as") or self._run_as)
        if mirror.get("schedule"):
            yield self.made(f"mirror.{name}", ("mirror", name), user, mirror["schedule"])
        section = section_of(f"mirror {name}", "verify", mirror.get("verify"), ())
        if section.get("schedule"):
            yield self.made(f"mirror.{name}.verify", ("mirror", name, "--verify"), user, section["schedule"])

    def made(self, name: str, words: tuple[str, ...], user: str, wanted: t.Any) -> Schedule:
        """Return a schedule by the words of the inventory: an interval, a cron expression, or a dictionary."""
        try:
            return self._made(name, words, user, _wishes(wanted))
        except UsageError as error:
            raise UsageError(f"Cannot schedule {name}", error.summary, error.remedy) from error

    def _made(self, name: str, words: tuple[str, ...], user: str, wishes: Entry) -> Schedule:
        def text(key: str, default: str = "") -> str:
            value = wishes.get(key)
            return default if value is None else str(value)

        seed = f"{self._host} {name}"
        zone = text("timezone") or self._settings.timezone
        timing = timing_of(text("every"), text("at"), text("day"), text("cron"), zone, seed)
        kind = text("random_delay_kind") or self._settings.random_delay_kind
        if kind not in _DELAY_KINDS:
            raise _refusal(f"random_delay_kind is {kind!r}", f"use one of {', '.join(_DELAY_KINDS)}")
        delay_s = _seconds(text("random_delay") or str(self._settings.random_delay_s))
        wait_s = stable_delay(seed, delay_s) if kind == "stable" else None
        is_enabled = text("enabled", "true").lower() not in ("false", "no", "off", "0")
        for word in (*words, user, self._settings.command):
            if not word.isprintable():  # a line break would be the begin of another line for cron
                raise _refusal(f"{word!r} has a line break or another control character", "write it in one line")
        return Schedule(name, words, user, timing, delay_s, wait_s, is_enabled)


def _wishes(wanted: t.Any) -> Entry:
    if not isinstance(wanted, t.Mapping):
        word = str(wanted)
        return {"cron": word} if " " in word.strip() else {"every": word}
    unknown = sorted(str(key) for key in wanted if key not in _WISHES)
    if unknown:
        raise _refusal(f"it has {unknown[0]}", f"known are {', '.join(_WISHES)}")
    return wanted


def _seconds(text: str) -> int:
    if not text.isdigit() or int(text) > 86400:
        raise _refusal(f"random_delay is {text!r}", "give seconds, at most 86400")
    return int(text)


def _is_plain(word: str) -> bool:
    return bool(word) and all(each.isalnum() or each in "-_./:,=" for each in word)


def _quoted(word: str) -> str:
    return word if _is_plain(word) else "'" + word.replace("'", "'\\''") + "'"


def _in_unit(word: str) -> str:
    """Return a word for ExecStart, where a percent sign and a dollar sign mean something (systemd.service(5))."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return word if _is_plain(word) else f'"{escaped}"'


def _refusal(cause: str, remedy: str) -> UsageError:
    return UsageError("Cannot use this schedule", cause, remedy)

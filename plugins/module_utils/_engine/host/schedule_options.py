# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What `verify`, `copy`, `prune` and `lock` of an inventory say beside their schedule."""

from __future__ import annotations

import typing as t

from .. import clock
from ..errors import UsageError
from ..repository.keep import TIERS
from ..verify.sample import parse_sample
from .job_kinds import MINIO, SET

Section = t.Mapping[str, t.Any]

_COPY = ("backup", "tier", "min_age", "max_age")
_OPTIONS = {"verify": ("level", "backup", "sample"), "copy": _COPY, "prune": (), "lock": ()}
KEYS = tuple(_OPTIONS)  # of a job
_OF_VERIFY, _OF_SETS = ("latest", "all"), ("latest", "latest_good")  # backups by other words than their ids


def section_of(name: str, key: str, value: t.Any, options: t.Sequence[str] | None = None) -> Section:
    """Return one of KEYS of a job or mirror as a dictionary, also where nothing but the schedule stands there.

    Raises UsageError for keys that it does not have.
    """
    if not value:
        return {}
    if not isinstance(value, t.Mapping):
        return {"schedule": value}
    known = (*(_OPTIONS[key] if options is None else options), "schedule")
    unknown = sorted(str(each) for each in value if each not in known)
    if unknown:
        raise _refusal(name, key, f"it has {unknown[0]}", f"known are {', '.join(known)}")
    return value


def words_of(name: str, kind: str, key: str, section: Section) -> tuple[str, ...]:
    """Return the options for the subcommand `key` of the host command. Raises UsageError for what it would refuse each
    time that it is due, with the choices that there are."""
    # Not above: Ansible loads what finds out schedules with every filter that a task uses.
    from ..repository.proof import LEVELS
    from .copy_choice import NAMED, narrowing_from

    choices = {"level": LEVELS, "tier": TIERS}
    given = {option: str(section[option]) for option in _OPTIONS[key] if section.get(option)}
    _refuse_impossible(name, kind, key, given, bool(section))
    for option, text in given.items():
        if option in choices and text not in choices[option]:
            raise _refusal(name, key, f"{option} is {text!r}", f"use one of {', '.join(choices[option])}")
    named = NAMED if key == "copy" else _OF_SETS if kind == SET else _OF_VERIFY
    backup = given.get("backup", named[0])
    if backup not in named and not clock.is_backup_id(backup):
        raise _refusal(name, key, f"backup is {backup!r}", f"use one of {', '.join(named)}, or an id")
    try:
        parse_sample(given.get("sample", ""))
        if key == "copy":
            narrowing_from(backup, given.get("tier"), given.get("min_age"), given.get("max_age"), clock.UTC)
    except UsageError as error:
        raise _refusal(name, key, f"{error.problem}: {error.cause}", error.remedy) from error
    return tuple(word for option, text in given.items() for word in (f"--{option.replace('_', '-')}", text))


def _refuse_impossible(name: str, kind: str, key: str, given: Section, is_wanted: bool) -> None:
    """Refuse what a kind of job has not."""
    if kind == MINIO and given.get("level") == "restore":
        raise _refusal(name, key, "a restore on trial would need a server of its own", "use level content")
    if kind == SET and key == "lock" and is_wanted:
        raise _refusal(name, key, "a set has no backups of its own", "schedule it for the members")
    if kind == SET and key == "copy" and given:
        words = f"points go where their backups are, and {', '.join(_COPY)} mean nothing for them"
        raise _refusal(name, key, words, "say that of the members")


def _refusal(name: str, key: str, cause: str, remedy: str) -> UsageError:
    return UsageError(f"Cannot schedule {key} of {name}", cause, remedy)

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime as dt
import re

from .. import clock
from ..errors import UsageError

# Where things lie in a repository: docs/format.md, "Layout".
FORMAT = 1  # the newest format version that this code reads and the one that it writes
IDENTITY = "lifeboat.json"
MANIFESTS = "manifests/"
JOBS = "jobs/"
VERIFIED = "verified/"
RECOVERIES = "recoveries/"
POINTS = "points/"
DATA = "data/"
KEYS = "keys/"
RESCUE = "RESCUE/"
FILES = "files.jsonl"
NEEDS = "needs.jsonl"
SUMS = "SHA256SUMS"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_SCENARIO = re.compile(r"[a-z][a-z0-9_]{0,62}")


def checked_job(job: str) -> str:
    """Return `job` if it can be a job's name.

    1 to 128 letters, digits, dots, dashes and underscores. Raises UsageError.
    """
    if _NAME.fullmatch(job) is None:
        raise UsageError(
            f"Cannot use {job!r} as the name of a job",
            "it becomes part of paths and keys",
            "use 1 to 128 letters, digits, '.', '-' and '_', beginning with a letter or digit",
        )
    return job


def checked_id(backup_id: str) -> str:
    """Return `backup_id` if it has the form of one. Raises UsageError."""
    if backup_id in ("latest", "latest_good"):
        cause = "only its id itself says here which one is meant"
        raise UsageError(f"Cannot use {backup_id}", cause, "take the id from the list of backups")
    if not clock.is_backup_id(backup_id):
        raise UsageError(
            f"Cannot use {backup_id!r} as the id of a backup",
            "ids look like 20261120T020000Z-0a1b2c",
            "take an id from the list of backups, or say latest or latest_good",
        )
    return backup_id


def checked_file_name(name: str) -> str:
    """Return `name` if a stored file can have it: one path component. Raises ValueError."""
    if _NAME.fullmatch(name) is None:
        raise ValueError(f"not the name of a stored file: {name!r}")
    return name


def checked_scenario(scenario: str) -> str:
    """Return `scenario` if it can be the name of one: 1 to 63 small letters, digits and underscores.

    Raises UsageError.
    """
    if _SCENARIO.fullmatch(scenario) is None:
        raise UsageError(
            f"Cannot use {scenario!r} as the name of a scenario",
            "it becomes part of paths and keys",
            "use up to 63 small letters, digits and '_', beginning with a letter, such as database_corruption",
        )
    return scenario


def binding(job: str) -> str:
    return f"{JOBS}{job}.json"


def intents(job: str) -> str:
    return f"intents/{job}/"


def intent(job: str, backup_id: str) -> str:
    return f"{intents(job)}{backup_id}.json"


def manifests(job: str) -> str:
    return f"{MANIFESTS}{job}/"


def manifest(job: str, backup_id: str) -> str:
    return f"{manifests(job)}{backup_id}.json"


def data(job: str, backup_id: str, name: str = "") -> str:
    return f"{DATA}{job}/{backup_id}/{name}"


def verified(job: str, backup_id: str) -> str:
    return f"{VERIFIED}{job}/{backup_id}/"


def acknowledgements(job: str) -> str:
    return f"acknowledged/{job}/"


def acknowledgement(job: str, backup_id: str) -> str:
    return f"{acknowledgements(job)}{backup_id}.json"


def holds(job: str) -> str:
    return f"holds/{job}/"


def hold(job: str, backup_id: str) -> str:
    return f"{holds(job)}{backup_id}.json"


def lease(job: str) -> str:
    return f"maintenance/{job}.json"


def plans(job: str) -> str:
    return f"plans/{job}/"


def recoveries(job: str) -> str:
    return f"{RECOVERIES}{job}/"


def recovery(job: str, begun: dt.datetime, scenario: str) -> str:
    return f"{recoveries(job)}{clock.compact(begun)}-{scenario}.json"


def epoch(name: str) -> str:
    return f"{KEYS}{name}.json"


def recovery_key(number: int, suffix: str = ".json") -> str:
    return f"{RESCUE}recovery_key-{number}{suffix}"


def points(name: str) -> str:
    return f"{POINTS}{name}/"


def point(name: str, point_id: str) -> str:
    return f"{points(name)}{point_id}.json"


def id_of(key: str) -> str:
    """Return the id in the key of a manifest, intent, acknowledgement, hold, epoch or recovery point."""
    return key.rpartition("/")[2][: -len(".json")]

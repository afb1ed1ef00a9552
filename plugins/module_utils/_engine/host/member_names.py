# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the jobs of single databases are called when all databases of a server are backed up as one job, and what may be
said of such a job."""

from __future__ import annotations

import hashlib
import re

from ..errors import UsageError
from ..repository import layout

ON_GONE = ("fail", "warn", "ignore")  # what a run says of a database that is not there any more; first: default
PARALLEL = 2  # databases at once, unless a job says otherwise
MOST_PARALLEL = 64
LONGEST_SERVER_JOB = 60  # characters; the rest of a job's 128 is for the database
_LONGEST = 128  # characters of a job's name
_PLAIN = re.compile(rb"[A-Za-z0-9_-]")
_ESCAPED = re.compile(r"(?:[A-Za-z0-9_-]|\.[0-9a-f]{2})+")
_DIGITS = 32  # hex digits of the hash: 128 bits


def member_job(server_job: str, database: str) -> str:
    """Return the name of the job that holds the backups of one database.

    `<server job>.<database>`, with each byte of the database's name in UTF-8 that is no letter, digit, `_` or `-` as a
    dot and two hex digits. A name that would be too long is cut, and ends with two dots and the first half of the
    SHA-256 of the whole: two dots never follow each other otherwise. So no two databases of a job share a name.
    """
    data = database.encode("utf-8", "surrogateescape")
    escaped = "".join(chr(byte) if _PLAIN.match(bytes((byte,))) else f".{byte:02x}" for byte in data)
    room = _LONGEST - len(server_job) - 1
    if len(escaped) > room:
        # Not through an escape: what is left must be readable by itself.
        kept = re.sub(r"\.[0-9a-f]?$", "", escaped[: room - _DIGITS - 2])
        escaped = f"{kept}..{hashlib.sha256(data).hexdigest()[:_DIGITS]}"
    return f"{server_job}.{escaped}"


def database_of(server_job: str, job: str) -> str | None:
    """Return the database whose backups a job holds; empty when its name was cut, None when it is no such job."""
    if not job.startswith(f"{server_job}."):
        return None
    escaped = job[len(server_job) + 1 :]
    if _ESCAPED.fullmatch(escaped):
        parts = re.findall(r"\.([0-9a-f]{2})|(.)", escaped)
        data = bytes(int(code, 16) if code else ord(plain) for code, plain in parts)
        database = data.decode("utf-8", "surrogateescape")
        return database if member_job(server_job, database) == job else None
    kept, dots, digits = escaped.rpartition("..")
    is_cut = bool(dots) and len(digits) == _DIGITS and _ESCAPED.fullmatch(kept or "-") is not None
    return "" if is_cut else None


def checked_server_job(job: str) -> str:
    """Return the name of a job for all databases of a server if it leaves room for theirs. Raises UsageError."""
    if len(layout.checked_job(job)) > LONGEST_SERVER_JOB:
        raise UsageError(
            f"Cannot use {job} for several databases",
            f"its name has {len(job)} characters, and the names of databases come behind it",
            f"use at most {LONGEST_SERVER_JOB}",
        )
    return job

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What people see of sets: their recovery points, and what sets do not have."""

from __future__ import annotations

import argparse
import datetime as dt
import functools

from .. import clock
from ..errors import DONE, INCOMPLETE, UsageError
from . import set_points, tables
from .config import Config
from .job_settings import JobSettings
from .run_as import Document, as_user
from .set_settings import SetSettings
from .shown import Shown

_HEAD = ("POINT", "AGE", "SPANS", "STATE", "MEMBERS", "REPOSITORIES")
_WIDTHS = (23, 8, 8, 10, 10, 0)


def refuse(job: JobSettings, command: str) -> None:
    """Raise UsageError for a subcommand that sets do not have."""
    if isinstance(job, SetSettings):
        members = ", ".join(job.members)
        raise UsageError(
            f"Cannot {command} set {job.name}", "its backups are those of its members", f"{command} {members}"
        )


def add_restore_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of restores of recovery points."""
    group = parser.add_argument_group("sets", "--backup names a recovery point; --only names members")
    words = "leave this member out; repeatable"
    group.add_argument("--except", dest="leave_out", metavar="JOB", action="append", default=[], help=words)


def listing_lines(each: Document, now: dt.datetime) -> list[str]:
    """Return the points of a set as a table for people."""
    rows = [_row(point, now) for point in each["points"]]
    nothing = tables.nothing("recovery points", each["reached"], each["unreachable"])
    lines = tables.table(_HEAD, rows, _WIDTHS) if rows else [nothing]
    shown = lines[:1]
    for line, point in zip(lines[1:], each["points"]):
        shown.append(line)
        for problem in point["problems"]:
            shown += tables.note(problem)
    return shown if rows else lines


def _row(point: Document, now: dt.datetime) -> list[str]:
    first, last = point["from"], point["until"]
    there = sum(bool(each["present"]) for each in point["members"])
    return [
        point["id"],
        tables.duration((now - clock.from_text(first)).total_seconds()) if first else "?",
        tables.duration((clock.from_text(last) - clock.from_text(first)).total_seconds()) if first else "?",
        _state(point),
        f"{there} of {len(point['members'])}",
        ", ".join(point["repositories"]),
    ]


def _state(point: Document) -> str:
    if not point["whole"]:
        lacking = [each for each in point["members"] if not each["present"]]
        return "UNKNOWN" if lacking and all(each["unknown"] for each in lacking) else "BROKEN"
    if point["problems"]:
        return "WRONG"
    return "good" if point["good"] else "unproved"


def show(config: Config, settings: SetSettings, options: argparse.Namespace) -> Shown:
    """Show all that is known about one point."""
    choose = functools.partial(set_points.choose, config, settings, options.backup)
    point = as_user(settings.reader, settings.name, choose)
    shown = [
        f"{'point':<10}{point['id']} of {settings.name}: {_state(point)}",
        f"{'spans':<10}{point['from']} to {point['until']}",
        f"{'in':<10}{', '.join(point['repositories'])}",
    ]
    for each in point["members"]:
        where = ", ".join(each["present"]) or ("UNKNOWN" if each["unknown"] else "GONE")
        proved = f"proved {each['proved_at']}" if each["proved"] else "not proved"
        shown.append(f"{'member':<10}{each['job']} ({each['kind']}): {each['backup']}")
        shown.append(f"{'':<10}in {where}, {proved}")
    for each in point["references"]:
        words = f"{each['keys']:,} keys, {each['missing']:,} missing" if not each["problem"] else each["problem"]
        shown.append(f"{'reference':<10}{each['name']}: {words}")
    for problem in point["problems"]:
        shown += tables.note(problem)
    remarks = [f"{name} cannot be used: {why}" for name, why in point["unreachable"].items()]
    lines = [tables.printable(line) for line in shown]
    return Shown({"job": settings.name, **point}, lines, INCOMPLETE if remarks else DONE, remarks)

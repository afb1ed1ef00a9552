# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The subcommands `hold` and `delete`."""

from __future__ import annotations

import argparse
import typing as t

from ..errors import DONE, FAILED, INCOMPLETE, LifeboatError, UsageError
from ..repository.keep import VERIFIED_MIN
from . import delete_run, hold_run, tables
from .job_settings import JobSettings
from .place import Place, Say
from .shown import Shown


def add_hold_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `hold`, but for the repositories."""
    parser.add_argument("backup", metavar="ID")
    parser.add_argument("--reason", metavar="TEXT", default="", help="why it is held")
    parser.add_argument("--until", metavar="TIME", default="", help="such as 2027-06-30T00:00:00Z; default: for ever")
    parser.add_argument("--release", action="store_true", help="end the hold instead")
    parser.add_argument("--dry-run", action="store_true", help="only show what would be done")


def add_delete_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `delete`, but for the repositories."""
    parser.add_argument("backup", metavar="ID")
    parser.add_argument("--confirm", metavar="ID", default="", help="the same id once more")
    parser.add_argument("--dry-run", action="store_true", help="only show what would be done; needs no --confirm")


def hold(job: JobSettings, chosen: t.Sequence[Place], options: argparse.Namespace, say: Say) -> Shown:
    """Hold a backup in the chosen repositories that have it, or release it there."""
    if options.release and (options.reason or options.until):
        raise UsageError("Cannot release a backup like this", "--reason and --until are for holds", "leave them out")
    reason = "" if options.release else hold_run.required_reason(options.reason)

    def one(place: Place) -> dict[str, t.Any]:
        planned = hold_run.plan(place, job.name, options.backup, reason, options.until)
        if planned.changed and not options.dry_run:
            hold_run.run(planned, say=say)
        shown = hold_run.described(planned.reason, planned.until)
        return {"repository": place.name, "changed": planned.changed, **shown}

    verbs = ("released", "would be released") if options.release else ("held", "would be held")
    return _shown(job, options, _each(chosen, one), verbs, "it is as it is to be already")


def delete(job: JobSettings, chosen: t.Sequence[Place], options: argparse.Namespace, say: Say) -> Shown:
    """Delete a backup from the chosen repositories; with several repositories they are to be named."""
    if not options.repository and len(job.repositories) > 1:
        known = ", ".join(job.repositories)
        raise UsageError(
            f"Cannot delete {options.backup}",
            f"job {job.name} has several repositories: {known}",
            "name each one to delete it from with --repository",
        )

    def one(place: Place) -> dict[str, t.Any]:
        keep = job.keep.get(place.name)
        least = keep.verified_min if keep is not None else VERIFIED_MIN
        planned = delete_run.plan(place, job.name, options.backup, options.confirm, least, options.dry_run)
        if planned.is_there and not options.dry_run:
            delete_run.run(planned, say=say)
        return {"repository": place.name, "changed": planned.is_there}

    return _shown(job, options, _each(chosen, one), ("deleted", "would be deleted"), "it is not there")


_Outcome = t.Union[dict[str, t.Any], LifeboatError]


def _each(chosen: t.Sequence[Place], work: t.Callable[[Place], dict[str, t.Any]]) -> dict[str, _Outcome]:
    """Do something in each repository; one that fails does not keep the others from it."""
    found: dict[str, _Outcome] = {}
    for place in chosen:
        try:
            found[place.name] = work(place)
        except UsageError:
            raise
        except LifeboatError as error:
            found[place.name] = error
    return found


def _shown(
    job: JobSettings,
    options: argparse.Namespace,
    found: t.Mapping[str, _Outcome],
    verbs: tuple[str, str],
    otherwise: str,
) -> Shown:
    errors = [each for each in found.values() if isinstance(each, LifeboatError)]
    rows, lines = [], []
    for name, each in found.items():
        if isinstance(each, LifeboatError):
            lines += tables.note(f"{name}: {each.cause or each.problem}")
            continue
        rows.append(each)
        words = verbs[options.dry_run] if each["changed"] else otherwise
        lines.append(tables.printable(f"{job.name}: {options.backup} in {name}: {words}"))
    document = {"job": job.name, "id": options.backup, "dry_run": options.dry_run, "repositories": rows}
    codes = {error.exit_code for error in errors}
    code = DONE if not errors else INCOMPLETE if rows else codes.pop() if len(codes) == 1 else FAILED
    return Shown(document, lines, code, error=errors[0] if errors else None)

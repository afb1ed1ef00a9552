# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The subcommands `restore` and `history` for buckets and folders."""

from __future__ import annotations

import argparse
import dataclasses
import typing as t

from .. import clock
from ..errors import DONE, FAILED, REFUSED, GuardRefusal, IncompleteError, UsageError
from ..objects.restore_plan import ACTIONS, CONFLICTS, KEEP, printable
from ..objects.selection import Selection
from . import objects_history, objects_restore, tables
from .job_settings import JobSettings
from .objects_choice import Choice, parse_time
from .objects_destination import Destination, Folder, Server
from .objects_job_settings import ObjectsSettings
from .objects_nothing import refuse_nothing
from .objects_restore import Quarantine, RestorePlan, RestoreRequest, RestoreResult
from .place import Place, Say
from .shown import Shown

_SHOWN = 20  # objects of a plan


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of restores of buckets and folders."""
    group = parser.add_argument_group("buckets and folders")
    group.add_argument("--as-of", metavar="TIME", default="", help="the newest backup that began not later than this")
    words = "this bucket or root, or this member of a set; repeatable"
    group.add_argument("--only", metavar="NAME", action="append", default=[], help=words)
    group.add_argument("--prefix", metavar="TEXT", default="", help="only what begins with this")
    group.add_argument("--key", metavar="KEY", default="", help="only this object or file")
    group.add_argument("--to", metavar="FOLDER", default="", help="below this folder; default: where it was")
    group.add_argument(
        "--map", metavar="FROM=TO", action="append", default=[], help="a bucket or root, to another place"
    )
    group.add_argument("--what", choices=objects_restore.WHAT, default="data", help="default: data")
    words = "what becomes of what differs; default: overwrite_if_different"
    group.add_argument("--conflicts", choices=CONFLICTS, default=CONFLICTS[0], help=words)
    group.add_argument("--exact", action="store_true", help="remove what the backup does not have")
    words = "save what is overwritten or removed there first: a folder, or s3://BUCKET/PREFIX"
    group.add_argument("--quarantine", metavar="PLACE", default="", help=words)
    words = "by what to compare; default: listing"
    group.add_argument("--compare", choices=("listing", "content"), default="listing", help=words)
    group.add_argument("--plan-file", metavar="FILE", default="", help="gets the whole plan, as lines of JSON")
    group.add_argument("--remarks-file", metavar="FILE", default="", help="gets all remarks, as lines of JSON")


def add_history_options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `history`."""
    parser.add_argument("collection", metavar="BUCKET", help="or the root of a job that backs folders up")
    parser.add_argument("key", metavar="KEY", help="of the object, or the path of the file below the root")
    words = "of states and versions, the newest; default: 50"
    parser.add_argument("--limit", metavar="N", type=int, default=50, help=words)


def refuse_foreign(job: JobSettings, options: argparse.Namespace) -> None:
    """Raise UsageError for options that mean nothing for a job of this kind."""
    foreign = _OF_OTHERS[job.kind]
    for name, default in foreign.items():
        if getattr(options, name) != default:
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"Cannot use {option}", f"job {job.name} is of kind {job.kind}", f"leave {option} out")


def foreign_to_sets(known: t.Collection[str]) -> dict[str, t.Any]:
    """Return the options that mean something for one kind of jobs only, but for those `known`, with their defaults."""
    return {
        name: default for name, default in {**_OF_DATABASES, **_OF_OBJECTS, **_OF_SERVERS}.items() if name not in known
    }


def single(names: t.Sequence[str]) -> str:
    """Return the name that was confirmed where there can be one. Raises UsageError."""
    if len(names) > 1:
        raise UsageError("Cannot use --confirm", f"it is there {len(names)} times", "name the one database")
    return names[0] if names else ""


_OF_DATABASES: dict[str, t.Any] = {
    "database": "",
    "drop_previous": False,
    "schema_only": False,
    "no_owner": False,
    "no_privileges": False,
    "jobs": 1,
    **dict.fromkeys(("dump", "owner", "login_host", "login_port", "login_user", "login_password_file"), ""),
    **dict.fromkeys(("safety_backup", "no_tablespaces", "trusted"), False),
    "on_conflict": "replace",
    "globals": "none",
    "tablespace": [],
}
_OF_OBJECTS: dict[str, t.Any] = {
    **dict.fromkeys(("as_of", "prefix", "key", "to", "quarantine", "plan_file", "remarks_file"), ""),
    **{name: [] for name in ("only", "map")},
    "what": "data",
    "conflicts": CONFLICTS[0],
    "exact": False,
    "compare": "listing",
}
_OF_SERVERS: dict[str, t.Any] = {"part": "all", "user": []}
# By the kind of a job, what means nothing for it.
_OF_OTHERS: dict[str, dict[str, t.Any]] = {
    "pg_database": {**_OF_OBJECTS, **_OF_SERVERS},
    "minio": {**_OF_DATABASES, **{name: each for name, each in _OF_OBJECTS.items() if name != "only"}},
    **dict.fromkeys(("bucket", "files"), {**_OF_DATABASES, **_OF_SERVERS}),
}


def restore(
    job: ObjectsSettings, places: tuple[Place, ...], notes: t.Sequence[str], options: argparse.Namespace, say: Say
) -> Shown:
    """Bring buckets or folders back, or show what that would do."""
    planned = objects_restore.plan(_request(job, places, options), say)
    planned = dataclasses.replace(planned, notes=(*planned.notes, *notes))
    if planned.work is not None and not options.exact:
        refuse_nothing(planned.tally, planned.request.selection, planned.manifest)
    if options.dry_run:
        return _planned(planned)
    try:
        return _restored(planned, objects_restore.restore(planned, say))
    except IncompleteError as error:
        shown = _restored(planned, error.result)
        return dataclasses.replace(shown, exit_code=error.exit_code, error=error)


def history(job: ObjectsSettings, places: tuple[Place, ...], options: argparse.Namespace) -> Shown:
    """Show the states of one object over all backups, and what its server has now."""
    question = objects_history.Question(job.name, options.collection, options.key, places, options.limit)
    found = objects_history.history(question)
    document: dict[str, t.Any] = {
        "job": job.name,
        "collection": printable(options.collection),
        "key": printable(options.key),
        "states": list(found.states),
        "complete": found.is_complete,
        "backups": found.backups,
        "problems": list(found.problems),
    }
    shown = tables.table(_HISTORY, [_state_row(each) for each in found.states], _WIDTHS) if found.states else ["none"]
    if job.login is not None:
        versions = objects_history.live_versions(job.login.client(), options.collection, options.key, options.limit)
        document["versions"] = versions
        shown += ["", "on the server now:"]
        shown += (
            tables.table(_VERSIONS, [_version_row(each) for each in versions], _WIDTHS) if versions else ["nothing"]
        )
    return Shown(document, shown, DONE, found.problems)


_HISTORY = ("FROM", "UNTIL", "SIZE", "SHA-256", "BACKUPS")
_VERSIONS = ("WRITTEN", "", "SIZE", "ETAG", "VERSION")
_WIDTHS = (20, 20, 10, 18, 0)


def _state_row(state: t.Mapping[str, t.Any]) -> list[str]:
    moments = [state["first_seen"][:19] + "Z", state["last_seen"][:19] + "Z"]
    newest = f"{state['backup_count']}, newest {state['backups'][0]}"
    if not state["present"]:
        return [*moments, "-", "not there", newest]
    return [*moments, tables.size(state["size"]), state["sha256"][:16], newest]


def _version_row(version: t.Mapping[str, t.Any]) -> list[str]:
    what = "deleted" if version["delete_marker"] else ("current" if version["latest"] else "")
    return [version["modified"][:19] + "Z", what, tables.size(version["size"]), version["etag"], version["version_id"]]


def _request(job: ObjectsSettings, places: tuple[Place, ...], options: argparse.Namespace) -> RestoreRequest:
    as_of = parse_time(options.as_of) if options.as_of else None
    keys = (options.key,) if options.key else ()
    return RestoreRequest(
        choice=Choice(job.name, options.backup, as_of),
        places=places,
        destination=_destination(job, options),
        collections=tuple(options.only),
        map=pairs("--map", options.map),
        selection=Selection(options.prefix, keys, tuple(options.include), tuple(options.exclude)),
        what=options.what,
        conflicts=options.conflicts,
        exact=options.exact,
        confirm=tuple(options.confirm),
        quarantine=_quarantine(job, options.quarantine),
        by_content=options.compare == "content",
        plan_file=options.plan_file,
        remarks_file=options.remarks_file,
    )


def _destination(job: ObjectsSettings, options: argparse.Namespace) -> Destination:
    if options.to or job.login is None:
        return Folder(options.to)
    return Server(job.login.client())


def pairs(option: str, texts: t.Sequence[str]) -> dict[str, str]:
    """Return what an option of the form FROM=TO says. Raises UsageError."""
    found = {}
    for pair in texts:
        name, equals, place = pair.partition("=")
        if not (name and equals and place):
            raise UsageError(f"Cannot use {option} {pair}", "it is no pair", "write it as FROM=TO")
        found[name] = place
    return found


def _quarantine(job: ObjectsSettings, text: str) -> Quarantine | None:
    if not text:
        return None
    if text.startswith("/"):
        return Quarantine(Folder(text), text)
    bucket, _slash, prefix = text[len("s3://") :].partition("/")
    if not text.startswith("s3://") or not bucket or job.login is None:
        remedy = "name a folder from / on" + (", or s3://BUCKET/PREFIX" if job.login is not None else "")
        raise UsageError(f"Cannot use --quarantine {text}", "it is no place of this job", remedy)
    return Quarantine(Server(job.login.client()), bucket, prefix)


def _planned(planned: RestorePlan) -> Shown:
    manifest, tally = planned.manifest, planned.tally
    refusal = _refusal(planned)
    document = {
        "dry_run": True,
        "job": manifest.job,
        "id": manifest.id,
        "time": clock.to_text(manifest.started),
        "repository": planned.candidates[0].place.name,
        "target": planned.request.destination.name,
        "counts": dict(tally.counts),
        "bytes": tally.bytes_written,
        "sample": [dict(each) for each in tally.sample],
        "settings": list(planned.settings.shown),
        "destroyed": list(planned.destroyed),
        "refused": str(refusal) if refusal else None,
        "notes": list(planned.notes),
    }
    shown = [
        f"would restore {manifest.id} of {clock.to_text(manifest.started)} from {planned.candidates[0].place.name}",
        f"to {planned.request.destination.name}: {_counted(tally.counts)}; {tables.size(tally.bytes_written)} to write",
    ]
    shown += [_step_line(each) for each in tally.sample[:_SHOWN]]
    shown += [f"  settings    {each}" for each in planned.settings.shown[:_SHOWN]]
    shown = [tables.printable(line) for line in shown]
    for words in planned.notes:
        shown += tables.note(words, "note: ")
    return Shown(document, shown, REFUSED if refusal else DONE, error=refusal)


def _refusal(planned: RestorePlan) -> GuardRefusal | None:
    try:
        objects_restore.check(planned)
    except GuardRefusal as error:
        return error
    return None


def _counted(counts: t.Mapping[str, int]) -> str:
    words = [f"{counts[action]:,} {action}" for action in ACTIONS if counts[action] and action != KEEP]
    return ", ".join([*words, f"{counts[KEEP]:,} are there already"])


def _step_line(step: t.Mapping[str, t.Any]) -> str:
    return f"  {step['action']:<11} {step['collection']}/{step['key']}  {tables.size(step['size'])}"


def _restored(planned: RestorePlan, result: RestoreResult) -> Shown:
    done = result.done
    document = {**dataclasses.asdict(result), "target": planned.request.destination.name}
    shown = [
        f"{result.job}: restored {result.id} from {result.repository} to {planned.request.destination.name}, "
        f"{tables.duration(result.seconds)}",
        f"  {done.written:,} written ({tables.size(done.written_bytes)}), {done.described:,} got properties, "
        f"{done.removed:,} removed, {done.kept:,} were there already",
    ]
    if result.settings:
        shown.append(f"  {result.settings} settings of buckets written")
    if result.quarantine:
        shown.append(f"  {result.saved.objects:,} saved first to {result.quarantine}")
    shown = [tables.printable(line) for line in shown]
    for words in result.remarks_sample[:_SHOWN]:
        shown += tables.note(words)
    if result.remarks > _SHOWN:
        shown += tables.note(f"and {result.remarks - _SHOWN:,} more remarks")
    for words in result.notes:
        shown += tables.note(words, "note: ")
    return Shown(document, shown, DONE if result.is_complete else FAILED)

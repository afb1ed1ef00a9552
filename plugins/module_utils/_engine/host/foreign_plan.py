# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import dataclasses
import typing as t

from ..errors import UsageError
from ..postgres.archive import ScriptOptions
from ..postgres.connection import Server, connect
from ..postgres.container_server import entered
from ..postgres.contents import Contents, contents_of_chunks, read_contents
from ..postgres.foreign_dump import (
    Form,
    description_of,
    form_of,
    of_new_database,
    require_own_files,
    require_restricting,
    with_locale_of,
)
from ..postgres.loading_role import loader_problems
from ..postgres.restore import RestoreOptions
from ..postgres.selection import Pattern, Selection, select
from ..postgres.tablespaces import mapped
from ..postgres.target import TargetCheck, check_target, other_than
from ..postgres.tools import Tool, find_tool
from ..stream.compression import decompressed
from .dump_place import DumpPlace
from .restore_request import guard_name, name_on_server


@dataclasses.dataclass(frozen=True)
class DumpRequest:
    """Which dump of another program to restore, and as which database."""

    dump: DumpPlace
    server: Server
    database: str
    confirm: str = ""  # the name of the database that is to be replaced
    keep_previous: bool = True
    options: RestoreOptions = dataclasses.field(default_factory=RestoreOptions)
    folder: str = ""  # for what is fetched or decompressed; empty: that for temporary files
    include: tuple[Pattern, ...] = ()
    exclude: tuple[Pattern, ...] = ()
    on_conflict: str = "replace"
    owner: str = ""  # role that the database shall belong to; empty: the login role
    is_trusted: bool = False  # True: loaded by the login role with all its rights

    @property
    def is_partial(self) -> bool:
        return bool(self.include or self.exclude)


@dataclasses.dataclass(frozen=True)
class DumpPlan:
    """What a restore of a dump would do."""

    request: DumpRequest
    form: Form
    database: str
    target: TargetCheck
    size_bytes: int  # of the dump as it lies there; -1: unknown
    digest: str  # SHA-256 that lies beside it; empty: none
    contents: Contents | None  # of an archive in custom format or in a folder
    selection: Selection | None
    notes: tuple[str, ...]

    def source(self, session_source: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
        """Return the description of the database to make."""
        return _source(self.request, self.contents, self.size_bytes, session_source)


def plan(request: DumpRequest) -> DumpPlan:
    """Look at the dump and at the target; changes nothing. Raises LifeboatError when it could not work."""
    place = request.dump
    place.require()
    _refuse_options(request)
    form = Form("directory") if place.is_folder else form_of(place.chunks(), place.name)
    contents = _contents(place, form)
    size_bytes, digest = place.size_bytes(), place.sidecar()
    if not form.is_archive:
        _refuse_for_scripts(request)
        require_restricting(find_psql(request.server))
    selection = selection_of(request, contents) if contents else None
    database = name_on_server(request.server, request.database, request.on_conflict)
    target = _target(request, database, contents, selection, size_bytes)
    notes = list(_notes(request, form, digest))
    return DumpPlan(request, form, database, target, size_bytes, digest, contents, selection, (*target.notes, *notes))


def _refuse_options(request: DumpRequest) -> None:
    name = request.dump.name
    if request.server.container is not None and request.dump.is_folder:
        raise UsageError(
            f"Cannot restore {name} into a container",
            "it is a folder, and the programs there get what they read as one stream",
            "make a dump in custom format, or name the server by login_host and login_port, without container",
        )
    if not request.database:
        raise UsageError(f"Cannot restore {name}", "no database is named", "say as which database")


def _refuse_for_scripts(request: DumpRequest) -> None:
    options = request.options
    for is_set, option in (
        (request.is_partial, "include or exclude"),
        (options.script.schema_only, "schema_only"),
        (bool(options.tablespaces), "tablespaces"),
    ):
        if is_set:
            raise UsageError(
                f"Cannot use {option} with {request.dump.name}",
                "it is a script, which has no table of contents",
                "take a dump in custom format (pg_dump --format=custom)",
            )


def _contents(place: DumpPlace, form: Form) -> Contents | None:
    if place.is_folder:
        require_own_files(place.text, place.name)
    if place.is_folder or (form == Form("tar") and not place.is_url):
        return read_contents(place.text)
    if form.kind != "custom":
        return None
    chunks = decompressed(place.chunks(), form.compression)
    with contextlib.closing(t.cast("t.Generator[bytes, None, None]", chunks)):
        return contents_of_chunks(chunks, place.name)


def selection_of(request: DumpRequest, contents: Contents) -> Selection:
    """Choose the entries; without trust, comments on extensions of the server are left to it."""
    chosen = select(contents, request.include, request.exclude)
    if request.is_trusted:
        return chosen
    wanted = tuple(e for e in chosen.wanted if not (e.kind == "COMMENT" and e.name == "EXTENSION plpgsql"))
    return dataclasses.replace(chosen, wanted=wanted)


def _target(
    request: DumpRequest,
    database: str,
    contents: Contents | None,
    selection: Selection | None,
    size_bytes: int,
) -> TargetCheck:
    script = script_options(request)
    with connect(request.server, other_than(request.server, database)) as session:
        fallback = of_new_database(session, max(size_bytes, 0))
        known = set(session.names("SELECT rolname FROM pg_roles"))
        of_loader = list(loader_problems(session, request.owner)) if not request.is_trusted else []
    source = _source(request, contents, size_bytes, fallback)
    if selection is not None and request.is_partial:
        source = {**selection.narrowed(source), "size_bytes": source["size_bytes"]}
    target = check_target(
        request.server,
        database,
        source,
        None,
        script,
        replace=True,
        with_tablespaces=request.options.with_tablespaces,
    )
    problems = [*(selection.problems if selection else ()), *of_loader]
    if request.owner and request.owner not in known:
        problems.append(f"the server lacks the role {request.owner} (make it, with pg_login_role)")
    return dataclasses.replace(target, problems=(*problems, *target.problems))


def _source(
    request: DumpRequest, contents: Contents | None, size_bytes: int, fallback: t.Mapping[str, t.Any]
) -> dict[str, t.Any]:
    if contents is None:
        return dict(fallback)
    found = description_of(contents, max(size_bytes, 0), with_owners=request.is_trusted)
    return dict(mapped(found if found["collate"] else with_locale_of(found, fallback), request.options.tablespaces))


def script_options(request: DumpRequest) -> ScriptOptions:
    """Return the options for the programs: whoever loads without rights owns everything, and grants nothing."""
    script = request.options.script
    if request.is_trusted:
        return script
    return dataclasses.replace(script, no_owner=True, no_privileges=True)


def _notes(request: DumpRequest, form: Form, digest: str) -> t.Iterator[str]:
    if not digest:
        yield "there is no SHA-256 beside the dump: whether it is the one that was written cannot be said"
    if not request.is_trusted:
        yield "owners and privileges are left out: the dump is loaded by a role without rights"
    if request.options.jobs > 1 and (form.kind == "sql" or form.kind == "tar"):
        yield f"{form} is loaded by one connection instead of {request.options.jobs}"


def check(planned: DumpPlan) -> None:
    """Refuse a plan that may not or cannot be carried out. Raises GuardRefusal, LifeboatError."""
    guard_name(planned.database, planned.target.exists, planned.request.confirm, planned.request.on_conflict)
    planned.target.require(planned.database)


def find_psql(server: Server) -> Tool:
    with connect(server, server.maintenance_database) as session:
        major = session.version_number // 10000
    purpose = "Cannot load a script"
    return find_tool("psql", major, server.bin_dir, purpose, entered(server, purpose))

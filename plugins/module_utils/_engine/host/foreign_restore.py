# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import dataclasses
import secrets
import typing as t

from .. import clock
from ..child import ChildError
from ..errors import DamagedError, LifeboatError
from ..postgres.archive import ScriptOptions
from ..postgres.connection import connect
from ..postgres.container_server import require_login_inside
from ..postgres.contents import read_contents
from ..postgres.fingerprint import Fingerprint, fingerprint_of_archive
from ..postgres.foreign_dump import of_new_database, require_whole_tar, with_locale_of
from ..postgres.loading_role import hand_over, loading_role
from ..postgres.properties import create_statement
from ..postgres.quoting import identifier
from ..postgres.restore import Restored, RestoreOptions, drop_database, restore_database, restoring
from ..postgres.script_load import check_script, restore_script
from ..postgres.swap import swap
from ..postgres.target import restore_tools
from ..postgres.tools import Tool
from ..stream.compression import decompressed
from ..verify.spool import scratch_file
from .dump_place import DumpPlace, with_digest
from .foreign_plan import DumpPlan, check, find_psql, script_options, selection_of
from .place import Say, silent
from .restore_parts import entry_list
from .restore_request import guard_newcomer


@dataclasses.dataclass(frozen=True)
class DumpResult:
    """What a restore of a dump did."""

    dump: str
    database: str
    previous: str
    figures: t.Mapping[str, t.Any]
    fetch_seconds: float  # bringing it here and reading all of it
    load_seconds: float
    compare_seconds: float
    seconds: float
    left_out: tuple[str, ...]
    notes: tuple[str, ...]


def restore(planned: DumpPlan, say: Say = silent) -> DumpResult:
    """Restore a dump: fetch it, read all of it, load it into a new database, compare, then swap that in.

    Nothing that existed is touched before. Raises DamagedError for a dump that is cut or is not what the SHA-256 beside
    it says.
    """
    check(planned)
    request, begun = planned.request, clock.monotonic()
    with restoring(request.server), contextlib.ExitStack() as stack:
        say(f"{request.dump.name}: reading all of it")
        work = _Work(planned, stack)
        fetch_s = clock.seconds_since(begun)
        say(f"{request.dump.name}: loading it into a new database")
        restored = work.restored()
        try:
            say(f"{request.dump.name}: swapping in {planned.database}")
            guard_newcomer(
                request.server, planned.database, planned.target.exists, request.confirm, request.on_conflict
            )
            swapped = swap(request.server, planned.database, restored.name, keep_previous=request.keep_previous)
        except BaseException:
            with contextlib.suppress(LifeboatError):
                drop_database(request.server, restored.name)
            raise
    return DumpResult(
        dump=request.dump.name,
        database=planned.database,
        previous=swapped.previous,
        figures=restored.fingerprint.summary(),
        fetch_seconds=fetch_s,
        load_seconds=round(restored.load_s, 3),
        compare_seconds=round(restored.compare_s, 3),
        seconds=clock.seconds_since(begun),
        left_out=work.left_out,
        notes=(*planned.notes, *work.notes, *restored.warnings, *swapped.remarks),
    )


class _Work:
    """A dump on this host that was read to its end, and how it is loaded."""

    def __init__(self, planned: DumpPlan, stack: contextlib.ExitStack) -> None:
        self._planned = planned
        self._stack = stack
        self._request = planned.request
        self.left_out: tuple[str, ...] = ()
        self.notes: list[str] = []
        options = dataclasses.replace(self._request.options, script=script_options(self._request))
        self._options = options
        self._load = self._archive() if planned.form.is_archive else self._script_of_sql()

    def restored(self) -> Restored:
        """Load the dump into a new database, and give that to its owner. On any failure nothing is left."""
        request, owner = self._request, self._request.owner
        if request.is_trusted:
            return self._load(self._options, self._described(owner or self._login()))
        with loading_role(request.server) as loader:
            require_login_inside(loader, "Cannot load a dump from elsewhere as a role without rights")
            restored = self._load(dataclasses.replace(self._options, loader=loader), self._described(loader.user))
            try:
                hand_over(request.server, restored.name, loader.user, owner or self._login())
            except BaseException:
                with contextlib.suppress(LifeboatError):
                    drop_database(request.server, restored.name)
                raise
            return restored

    def _login(self) -> str:
        with connect(self._request.server, self._request.server.maintenance_database) as session:
            return str(session.value("SELECT current_user"))

    def _described(self, owner: str) -> dict[str, t.Any]:
        """Return the description of the database to make, with a locale that the server has."""
        with connect(self._request.server, self._request.server.maintenance_database) as session:
            fallback = of_new_database(session, 0)
            source = {**self._planned.source(fallback), "owner": owner}
            trial = f"lifeboat_restore_{secrets.token_hex(4)}"
            try:
                session.run(
                    create_statement(
                        trial, source, server_version=session.version_number, owner=False, tablespace=False
                    )
                )
            except LifeboatError as error:
                self.notes.append(f"made with the locale of this server, as it lacks that of the dump: {error.cause}")
                return with_locale_of(source, fallback)
            session.run(f"DROP DATABASE {identifier(trial)}")
            return source

    def _archive(self) -> t.Callable[[RestoreOptions, dict[str, t.Any]], Restored]:
        request, planned = self._request, self._planned
        path = self._on_this_host()
        if planned.form.kind == "tar":
            require_whole_tar(path, request.dump.name)
            self._options = dataclasses.replace(self._options, jobs=1)
        contents = read_contents(path)
        tools = restore_tools(request.server, contents.dumped_by, request.database)
        selection = selection_of(request, contents)
        selection.require(request.dump.name)
        self.left_out = selection.left_out
        list_path = self._stack.enter_context(entry_list(request.server, selection, request.folder))
        script = dataclasses.replace(self._options.script, list_file=list_path)
        self._options = dataclasses.replace(self._options, script=script)
        archive = _whole(path, tools.pg_restore, script, request.dump.name)
        self._planned = dataclasses.replace(planned, contents=contents)
        return lambda options, source: restore_database(request.server, path, source, tools, options, expected=archive)

    def _on_this_host(self) -> str:
        """Return the path of the archive, decompressed; its bytes are those that the SHA-256 beside it speaks of."""
        place, form = self._request.dump, self._planned.form
        stored = with_digest(place.chunks(), self._planned.digest, place.name) if not place.is_folder else iter(())
        if not place.is_url and form.compression == "none":
            for _chunk in stored:
                pass
            return place.text
        path, file = self._stack.enter_context(scratch_file(self._request.folder))
        try:
            for chunk in decompressed(stored, form.compression):
                file.write(chunk)
            file.flush()
        except OSError as error:
            raise LifeboatError(f"Cannot fetch {place.name}", error.strerror or str(error), "make room") from error
        return path

    def _script_of_sql(self) -> t.Callable[[RestoreOptions, dict[str, t.Any]], Restored]:
        request, planned = self._request, self._planned
        place, form = request.dump, planned.form
        if place.is_url:
            path, file = self._stack.enter_context(scratch_file(request.folder))
            for chunk in place.chunks():
                file.write(chunk)
            file.flush()
            place = DumpPlace(path)

        def chunks() -> t.Iterator[bytes]:
            return decompressed(with_digest(place.chunks(), planned.digest, request.dump.name), form.compression)

        found = check_script(chunks, self._options.script)
        if not found.is_complete and not planned.digest:
            raise DamagedError(
                f"Cannot restore {request.dump.name}",
                "the mark is missing that pg_dump writes last, and there is no SHA-256 beside it: it may be cut",
                f"get it again, or vouch for it by {request.dump.name}.sha256",
            )
        if found.fingerprint is None:
            self.notes.append("rows were not compared: the script does not have them as pg_dump writes them")
        if found.left_out:
            self.notes.append(f"{found.left_out} statements about owners and privileges are left out")
        tools = restore_tools(request.server, "", request.database)
        psql = find_psql(request.server)
        return lambda options, source: restore_script(request.server, chunks, source, psql, tools, options, found)


def _whole(path: str, pg_restore: Tool, script: ScriptOptions, name: str) -> Fingerprint:
    """Read all of an archive. Raises DamagedError."""
    try:
        return fingerprint_of_archive(path, pg_restore, script, with_sums=True)
    except ChildError as error:
        raise DamagedError(f"Cannot read {name} to its end", error.cause, "get it again") from error

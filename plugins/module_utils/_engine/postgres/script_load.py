# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import secrets
import typing as t

from .. import clock
from ..child import ChildError
from ..errors import DamagedError, LifeboatError
from ..steps import reached
from .archive import ScriptOptions
from .comparison import Comparison, compare
from .connection import Server, connect
from .description import Description
from .dump import DumpOptions
from .feed_pipe import FeedPipe
from .fingerprint import Fingerprint, fingerprint_of_database, fingerprint_of_script
from .prepared import refuse_prepared
from .refused_settings import refused_statements
from .restore import Restored, RestoreOptions, compared_in_any_form, loading_environment, loading_tool, restored_by
from .script_filter import ScriptFilter, filtered
from .statistics import analyze
from .tools import ClientTools, Tool

Chunks = t.Callable[[], t.Iterable[bytes]]  # the plain bytes of a script, from the beginning each time


@dataclasses.dataclass(frozen=True)
class ScriptCheck:
    """What a script was found to hold when it was read to its end."""

    fingerprint: Fingerprint | None  # of its tables; None: pg_dump did not write it, or wrote INSERT statements
    is_complete: bool  # ends with the mark that pg_dump writes last
    left_out: int  # statements that will not be loaded


def check_script(chunks: Chunks, options: ScriptOptions) -> ScriptCheck:
    """Read a script to its end; nothing is loaded. Raises DamagedError when it is cut, UsageError for commands."""
    script = ScriptFilter(no_owner=options.no_owner, no_privileges=options.no_privileges)
    for _piece in filtered(chunks(), script):
        pass
    found = None
    if script.is_complete:
        try:
            found = fingerprint_of_script(chunks())
        except DamagedError:
            found = None  # the mark of pg_dump, and nothing else of it
    return ScriptCheck(found if found and found.tables else None, script.is_complete, script.left_out)


def restore_script(
    server: Server,
    chunks: Chunks,
    source: Description,
    psql: Tool,
    tools: ClientTools,
    options: RestoreOptions,
    check: ScriptCheck,
) -> Restored:
    """Load a script into a new database with a temporary name, and compare the rows with it where it has them.

    On any failure the new database is dropped and nothing else was touched.
    """

    def fill(name: str) -> tuple[tuple[str, ...], float]:
        with connect(server, name) as session:
            refused = refused_statements(session.version_number)
        script = ScriptFilter(
            no_owner=options.script.no_owner, no_privileges=options.script.no_privileges, refused=refused
        )
        begun = clock.monotonic()
        _run_psql(options.loader or server, name, filtered(chunks(), script), loading_tool(psql, options.loader))
        load_s = clock.monotonic() - begun
        reached("restore.loaded")
        with connect(server, name) as session:
            refuse_prepared(session)
            return (analyze(session) if options.analyze else ()), load_s

    def judge(name: str, _version: int) -> tuple[Fingerprint, Comparison]:
        plain = ScriptOptions(no_owner=True, no_privileges=True)
        kept = check.fingerprint
        found: list[Fingerprint] = []

        def compared(dump: DumpOptions) -> Comparison:
            found.append(fingerprint_of_database(server, name, tools, plain, dump, kept))
            reached("restore.compared")
            if kept is None:
                return Comparison()
            return compare(_rows_only(kept), _rows_only(found[-1]), same_major=True)

        comparison = compared_in_any_form(compared, DumpOptions(encoding=kept.encoding if kept else ""), kept)
        return found[-1], comparison

    return restored_by(server, source, options, fill, judge)


def _rows_only(found: Fingerprint) -> Fingerprint:
    """Leave the definitions out: their wording tells of owners and of the server's major."""
    return dataclasses.replace(found, objects={})


def _run_psql(loader: Server, name: str, chunks: t.Iterable[bytes], psql: Tool) -> None:
    arguments = ["--no-psqlrc", "--single-transaction", "--quiet", "--set=ON_ERROR_STOP=1", "--no-password", "--file=-"]
    problem, remedy = "Cannot load the script", "nothing that existed was touched; see what the server says"
    with (
        FeedPipe(_restricted(chunks)) as feed,
        psql.start(
            [*arguments, loader.option_for(name)], environment=loading_environment(loader), stdin=feed.descriptor
        ) as child,
    ):
        feed.release()
        try:
            child.check(problem, remedy)
        except ChildError as error:
            raise _explained(error) from error
        finally:
            feed.finish()


def _restricted(chunks: t.Iterable[bytes]) -> t.Iterator[bytes]:
    """Have psql heed no command but the end of this, whose word nobody else knows (manual of psql, `\\restrict`)."""
    yield f"\\restrict {secrets.token_hex(32)}\n".encode()
    yield from chunks


def _explained(error: ChildError) -> LifeboatError:
    words = error.cause
    if "permission denied" in words or "must be" in words:
        remedy = "it was loaded by a role without rights; if you trust it as you trust your own SQL, say so (trusted)"
        return LifeboatError(error.problem, words, remedy)
    return error

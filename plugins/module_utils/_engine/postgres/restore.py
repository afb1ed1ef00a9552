# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import dataclasses
import secrets
import typing as t
from dataclasses import dataclass, field

from .. import clock
from ..errors import DamagedError, LifeboatError
from ..steps import reached
from .archive import ScriptOptions, refuse_foreign_format
from .comparison import Comparison, compare
from .connection import Server, Session, connect
from .contents import read_contents
from .description import Description
from .dump import DumpOptions
from .fingerprint import Fingerprint, fingerprint_of_archive, fingerprint_of_database
from .output import judge_words
from .prepared import refuse_prepared, roll_back_prepared
from .properties import apply, create_statement, property_statements, reading_settings
from .quoting import identifier, literal
from .refused_settings import check_but_refused, is_refused
from .statistics import analyze
from .subscriptions import drop_subscriptions
from .tablespaces import moves
from .tools import ClientTools, Tool

_SHOWN = 5  # differences in an error's text
_TEMPORARY = "lifeboat_restore_"
_RESTORING = 0x6C696665626F6174  # advisory lock, in the maintenance database: "lifeboat"
_IN_PROGRESS = "lifeboat: restore in progress"  # comment of a database that may be dropped when nobody is connected

# Settings of the login role must not stop a restore.
_SESSION = "-c default_transaction_read_only=off -c statement_timeout=0 -c lock_timeout=0"


@dataclass(frozen=True)
class RestoreOptions:
    """What to restore and how."""

    script: ScriptOptions = field(default_factory=ScriptOptions)
    jobs: int = 1  # connections that load tables and build indexes at once
    with_tablespaces: bool = True  # False: everything into the default tablespace
    tablespaces: t.Mapping[str, str] = field(default_factory=dict)  # of the source → to be used instead
    with_settings: bool = True  # settings, limits, privileges and comment of the database itself
    loader: Server | None = None  # how who loads logs in, the owner of the new database; None: as who restores
    analyze: bool = True  # gather statistics, without which the first queries are slow


@dataclass(frozen=True)
class Restored:
    """A database that was restored under a temporary name and found equal to its archive."""

    name: str  # temporary
    fingerprint: Fingerprint  # of the archive, with sums
    comparison: Comparison
    load_s: float  # pg_restore alone
    compare_s: float  # both fingerprints
    total_s: float
    warnings: tuple[str, ...]


def restore_database(
    server: Server,
    archive_path: str,
    source: Description,
    tools: ClientTools,
    options: RestoreOptions | None = None,
    *,
    expected: Fingerprint | None = None,
    accept_differences: bool = False,
) -> Restored:
    """Restore an archive into a new database with a temporary name and compare it with the archive.

    `source` is what `describe_database` returned when the archive was written; `expected` the archive's fingerprint
    with sums, read from the archive when None. On any failure the new database is dropped and nothing else was touched.
    Raises DamagedError when the restored data are not those of the archive, unless `accept_differences`.
    """
    chosen = options or RestoreOptions()
    refuse_foreign_format(archive_path)

    def fill(name: str) -> tuple[tuple[str, ...], float]:
        return _fill(server, name, archive_path, source, tools, chosen)

    def judge(name: str, version: int) -> tuple[Fingerprint, Comparison]:
        archive = expected or fingerprint_of_archive(archive_path, tools.pg_restore, chosen.script, with_sums=True)
        return archive, _compared(server, name, archive, source, tools, chosen, version)

    return restored_by(server, source, chosen, fill, judge, accept_differences=accept_differences)


def restored_by(
    server: Server,
    source: Description,
    options: RestoreOptions,
    fill: t.Callable[[str], tuple[tuple[str, ...], float]],
    judge: t.Callable[[str, int], tuple[Fingerprint, Comparison]],
    *,
    accept_differences: bool = False,
) -> Restored:
    """Make a database with a temporary name, and let it be filled and judged.

    `fill` gets the name and returns warnings and seconds, `judge` the name and the server's version. On any failure the
    new database is dropped. Raises DamagedError for differences.
    """
    name = _TEMPORARY + secrets.token_hex(4)
    begun = clock.monotonic()
    drop_abandoned(server)
    try:
        with _new_database(server, name, source, options) as version:
            warnings, load_s = fill(name)
            compare_begun = clock.monotonic()
            archive, comparison = judge(name, version)
            compare_s = clock.monotonic() - compare_begun
            if not (comparison.is_equal or accept_differences):
                _refuse(comparison)
            _finish(server, name, source, options)
    except BaseException:
        with contextlib.suppress(LifeboatError):
            drop_database(server, name)
        raise
    total_s = clock.monotonic() - begun
    return Restored(name, archive, comparison, load_s, compare_s, total_s, (*warnings, *_by_hand(source)))


def _by_hand(source: Description) -> t.Iterator[str]:
    """Yield what a database has lost that would be in the way of its swap, and of the next one."""
    if source.get("is_template"):
        yield "it was a template, and is none now (ALTER DATABASE … IS_TEMPLATE true)"


@contextlib.contextmanager
def _new_database(server: Server, name: str, source: Description, options: RestoreOptions) -> t.Iterator[int]:
    """Create the database and stay connected to it, so that others see that it is being worked on; give the version."""
    with connect(server, server.maintenance_database) as session:
        version = session.version_number
        owner, tablespace = not options.script.no_owner or options.loader is not None, options.with_tablespaces
        session.run(create_statement(name, source, server_version=version, owner=owner, tablespace=tablespace))
        session.run(f"COMMENT ON DATABASE {identifier(name)} IS {literal(_IN_PROGRESS)}")
        _set_event_triggers(session, name, "SET event_triggers TO off")
    reached("restore.created")
    with connect(server, name) as watch:
        if version >= 140000:
            watch.run("SET idle_session_timeout = 0")
        try:
            yield version
        except BaseException:
            with contextlib.suppress(LifeboatError):
                roll_back_prepared(watch)
            raise


def _set_event_triggers(session: Session, name: str, change: str) -> None:
    """Keep triggers from what they do at each login, ours included, before the rows were compared, or let them again.

    Only a superuser may, and without one no dump brings such a trigger.
    """
    if session.version_number >= 170000:
        with contextlib.suppress(LifeboatError):
            session.run(f"ALTER DATABASE {identifier(name)} {change}")


def drop_abandoned(server: Server) -> list[str]:
    """Drop the databases of restores that were killed, and return their names; those that somebody works on stay."""
    with connect(server, server.maintenance_database) as session:
        found = session.names(
            "SELECT datname FROM pg_database"
            " WHERE starts_with(datname, %s) AND shobj_description(oid, 'pg_database') = %s",
            _TEMPORARY,
            _IN_PROGRESS,
        )
        dropped = []
        for name in found:
            with contextlib.suppress(LifeboatError):  # somebody is connected, as a living restore always is
                _drop_unused(session, name)
                dropped.append(name)
        return dropped


def _drop_unused(session: Session, name: str) -> None:
    """Drop a database to which nobody is connected. Raises LifeboatError."""
    is_used = session.rows("SELECT FROM pg_stat_activity WHERE datname = %s", name)
    if not is_used and session.rows("SELECT FROM pg_prepared_xacts WHERE database = %s", name):
        with connect(session.server, name) as inside:
            roll_back_prepared(inside)
    # Without FORCE: the server refuses while anybody is connected.
    _make_ordinary(session, name)
    if not is_used:
        drop_subscriptions(session, name)
    session.run(f"DROP DATABASE {identifier(name)}")


def _make_ordinary(session: Session, name: str) -> None:
    """Let a database be dropped that has become a template, as its owner, and so what is loaded, may make it."""
    if session.rows("SELECT FROM pg_database WHERE datname = %s AND datistemplate", name):
        session.run(f"ALTER DATABASE {identifier(name)} IS_TEMPLATE false")


@contextlib.contextmanager
def restoring(server: Server) -> t.Iterator[None]:
    """Let other restores know for the duration of the block that a finished database of ours may wait for its swap.

    Such a database cannot be told from one whose restore was killed before its swap. Where nobody else is restoring,
    all that wait were left by killed restores, and are dropped first.
    """
    with connect(server, server.maintenance_database) as session:
        if session.version_number >= 140000:
            session.run("SET idle_session_timeout = 0")
        is_alone = bool(session.value("SELECT pg_try_advisory_lock(%s)", _RESTORING))
        if is_alone:
            waiting = session.names(
                "SELECT datname FROM pg_database WHERE datname ~ %s", f"^{_TEMPORARY}[0-9a-f]{{8}}$"
            )
            for name in waiting:
                with contextlib.suppress(LifeboatError):  # somebody is connected
                    _drop_unused(session, name)
        session.rows("SELECT pg_advisory_lock_shared(%s)", _RESTORING)
        if is_alone:
            session.rows("SELECT pg_advisory_unlock(%s)", _RESTORING)
        yield


def drop_database(server: Server, name: str) -> None:
    """Drop a restored database and end whatever is connected to it; does nothing when it is not there."""
    with connect(server, server.maintenance_database) as session:
        _make_ordinary(session, name)
        drop_subscriptions(session, name)
        session.run(f"DROP DATABASE IF EXISTS {identifier(name)} WITH (FORCE)")
    reached("restore.dropped")


def _fill(
    server: Server, name: str, archive_path: str, source: Description, tools: ClientTools, options: RestoreOptions
) -> tuple[tuple[str, ...], float]:
    with connect(server, server.maintenance_database) as session:
        apply(session, reading_settings(name, source))
    begun = clock.monotonic()
    if options.tablespaces and options.with_tablespaces:
        warnings = _run_in_tablespaces(server, name, archive_path, tools, options)
    else:
        warnings = _run_pg_restore(server, name, archive_path, tools, options)
    load_s = clock.monotonic() - begun
    reached("restore.loaded")
    with connect(server, name) as session:
        refuse_prepared(session)
        if options.analyze and not options.script.schema_only:
            warnings = (*warnings, *analyze(session))
    return warnings, load_s


def _finish(server: Server, name: str, source: Description, options: RestoreOptions) -> None:
    """Give the database what would have disturbed the restore (a limit of connections, read-only by default)."""
    with connect(server, server.maintenance_database) as session:
        session.run(f"COMMENT ON DATABASE {identifier(name)} IS NULL")
        _set_event_triggers(session, name, "RESET event_triggers")
        if options.with_settings:
            fitting = {**source, "settings": _of_known_roles(session, source["settings"])}
            apply(session, property_statements(name, fitting, privileges=not options.script.no_privileges))
    reached("restore.finished")


def _of_known_roles(session: Session, settings: t.Sequence[t.Mapping[str, str]]) -> list[t.Mapping[str, str]]:
    """Leave out the settings of roles that the server does not have, as it may without owners and privileges."""
    known = {"", *session.names("SELECT rolname FROM pg_roles")}
    return [entry for entry in settings if entry["role"] in known]


def _run_in_tablespaces(
    server: Server, name: str, archive_path: str, tools: ClientTools, options: RestoreOptions
) -> tuple[str, ...]:
    """Restore with other tablespaces than the archive names, which pg_restore cannot do: tables are put in place while
    they are empty, indexes after they were built."""
    contents = read_contents(archive_path)
    plain = dataclasses.replace(options, with_tablespaces=False)
    warnings = _run_pg_restore(server, name, archive_path, tools, plain, "pre-data")
    with connect(server, name) as session:
        apply(session, moves(contents, options.tablespaces, ("TABLE", "MATERIALIZED VIEW")))
    reached("restore.tables_moved")
    warnings += _run_pg_restore(server, name, archive_path, tools, plain, "data", "post-data")
    with connect(server, name) as session:
        apply(session, moves(contents, options.tablespaces, ("INDEX", "CONSTRAINT")))
    return warnings


def _run_pg_restore(
    server: Server, name: str, archive_path: str, tools: ClientTools, options: RestoreOptions, *sections: str
) -> tuple[str, ...]:
    # Not in a single transaction: the database is new and dropped on failure anyway, and thousands of tables at once
    # would exhaust the server's lock table.
    loader = options.loader or server
    with connect(server, name) as session:
        goes_on = is_refused(tools.pg_restore, session.version_number)
    arguments = ["--no-password", loader.option_for(name), *options.script.arguments()]
    arguments += [] if goes_on else ["--exit-on-error"]
    arguments += [f"--section={section}" for section in sections]
    notes: tuple[str, ...] = ()
    if options.jobs > 1 and tools.pg_restore.inside is not None:
        notes = (f"loaded by one connection instead of {options.jobs}: into a container the archive comes as a stream",)
    elif options.jobs > 1:
        arguments.append(f"--jobs={options.jobs}")
    if not options.with_tablespaces:
        arguments.append("--no-tablespaces")
    problem = "Cannot restore the archive"
    remedy = (
        "nothing that existed was touched; mend what the server says and start again, or, where that is in the backup "
        "itself, load it by hand: docs/restore_manual.md, section What does not load as it is"
    )
    environment = loading_environment(loader)
    pg_restore = loading_tool(tools.pg_restore, options.loader)
    with pg_restore.start(arguments, archive=archive_path, environment=environment) as child:
        if goes_on:
            return (*notes, *check_but_refused(child, problem, remedy))
        child.check(problem, remedy)
        return (*notes, *judge_words(child.stderr(), problem))


def loading_tool(tool: Tool, loader: Server | None) -> Tool:
    """Return a program as it logs in as the role that loads (None: as the login role)."""
    return tool if loader is None else tool.logged_in_as(loader.user, loader.password)


def loading_environment(server: Server) -> dict[str, str]:
    """Return the variables for a program that loads data."""
    environment = {**server.environment(), "PGOPTIONS": f"{_SESSION} {server.session_options}".rstrip()}
    del environment["PGTZ"]  # constraints may depend on the time zone that the database is set to
    return environment


def _compared(
    server: Server,
    name: str,
    archive: Fingerprint,
    source: Description,
    tools: ClientTools,
    options: RestoreOptions,
    version: int,
) -> Comparison:
    # What the archive of a standby lacks, empty tables and sequences that never counted, is new here.
    dump = DumpOptions(
        with_unlogged_data=not source.get("is_standby", False),
        encoding=archive.encoding,
        standard_strings=archive.standard_strings,
    )
    same_major = int(source["server_version_number"]) // 10000 == version // 10000

    def compared(dump: DumpOptions) -> Comparison:
        restored = fingerprint_of_database(server, name, tools, options.script.of_restored, dump, archive)
        reached("restore.compared")
        return compare(archive, restored, same_major=same_major)

    return compared_in_any_form(compared, dump, archive)


def compared_in_any_form(
    compared: t.Callable[[DumpOptions], Comparison], dump: DumpOptions, archive: Fingerprint | None
) -> Comparison:
    """Compare, and where that shows differences once more with other forms of binary data and names: an archive from
    elsewhere does not say which ones it has."""
    comparison = compared(dump)
    for quote_all in (True, False) if archive is not None and archive.may_quote_all else (False,):
        for bytea_output in ("hex", "escape"):
            form = dataclasses.replace(dump, bytea_output=bytea_output, quote_all=quote_all)
            if comparison.is_equal or form == dump:
                continue
            other = compared(form)
            comparison = other if other.is_equal else comparison
    return comparison


def _refuse(comparison: Comparison) -> t.NoReturn:
    shown = "; ".join(comparison.differences[:_SHOWN])
    raise DamagedError(
        "Cannot accept the restored database",
        f"it differs from its archive: {shown}",
        "take another backup, and keep this archive for the search",
    )

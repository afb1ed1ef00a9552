# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import typing as t
from dataclasses import dataclass

from .. import clock
from ..errors import GuardRefusal, LifeboatError
from ..steps import reached
from .connection import Server, Session, connect
from .quoting import NAME_LIMIT, identifier
from .target import obstacles, other_than

_LEAVING_S = 30.0  # sessions that were ended get this long to go


@dataclass(frozen=True)
class Swapped:
    """A database that stands where another one stood."""

    name: str
    previous: str  # name under which the former one is kept, closed to connections; empty: there is none
    remarks: tuple[str, ...] = ()  # what follows the former one, and why it was not dropped although that was wanted


def previous_name(name: str, moment: str) -> str:
    """Return `<name>_before_<moment>`, the name cut between characters so that the whole fits in 63 bytes."""
    return _timed_name(name, "before", moment)


def restored_name(name: str, moment: str) -> str:
    """Return `<name>_restored_<moment>`, in the same way: for a database that comes beside another one."""
    return _timed_name(name, "restored", moment)


def _timed_name(name: str, word: str, moment: str) -> str:
    suffix = f"_{word}_{moment}"
    kept = name.encode()[: NAME_LIMIT - len(suffix)].decode("utf-8", "ignore")
    return kept + suffix


def swap(server: Server, name: str, new: str, *, keep_previous: bool = True) -> Swapped:
    """Give the database `new` the name `name`; one that has it already is closed, emptied of sessions and renamed.

    The new one is closed until it has its name. Both renames are one transaction. On failure both have their names and
    are open again. The former one stays under `previous` until somebody drops it. Without `keep_previous` it is dropped
    at once, unless something follows it that came while the restore ran: a logical replication slot would go with it,
    and what its reader has not got yet. Where the server refuses to drop it, it stays. Raises GuardRefusal for a
    database that holds the server together, LifeboatError when sessions do not end.
    """
    if name in ("template0", "template1"):
        raise GuardRefusal("template_database", f"Cannot replace database {name}", "new databases are made from it")
    with connect(server, other_than(server, name)) as session:
        if not session.rows("SELECT FROM pg_database WHERE datname = %s", name):
            with _closed(session, new):
                _rename_and_open(session, new, name)
            return Swapped(name, "")
        previous = _free_name(session, name)
        _exchange(session, name, new, previous)
        # The new one is in its place: a failure from here on would make the restore take roles back that it needs.
        try:
            return _with_former(session, name, previous, keep_previous)
        except LifeboatError as error:
            words = f"the former database may still be there as {previous}: {error.summary}"
            return Swapped(name, previous, (words,))


def _with_former(session: Session, name: str, previous: str, keep_previous: bool) -> Swapped:
    """Drop the former database, which is closed, if nothing follows it and it is not to be kept."""
    followers = tuple(obstacles(session, previous))
    if followers:
        return Swapped(name, previous, (f"the former database is {previous} now: {'; '.join(followers)}",))
    if keep_previous:
        return Swapped(name, previous)
    session.run(f"DROP DATABASE {identifier(previous)} WITH (FORCE)")
    reached("swap.dropped")
    return Swapped(name, "")


def _exchange(session: Session, name: str, new: str, previous: str) -> None:
    with _closed(session, name, new):
        session.run(f"ALTER DATABASE {identifier(name)} RENAME TO {identifier(previous)}")
        reached("swap.first_rename")
        _rename_and_open(session, new, name)


@contextlib.contextmanager
def _closed(session: Session, *names: str) -> t.Iterator[None]:
    """Run the block as one transaction while the databases are closed and empty; when it fails, open those again that
    were.

    A database that somebody is in gets no other name, and monitoring enters whatever it finds.
    """
    were_open = session.names("SELECT datname FROM pg_database WHERE datallowconn AND datname = ANY (%s)", list(names))
    try:
        for name in names:
            _set_open(session, name, False)
        reached("swap.closed")
        for name in names:
            _end_sessions(session, name)
        reached("swap.emptied")
        with session.transaction():
            yield
        reached("swap.renamed")
    except BaseException:
        # By a new connection: the failure may be that of the old one.
        with contextlib.suppress(LifeboatError), connect(session.server, session.database) as another:
            for name in were_open:
                with contextlib.suppress(LifeboatError):
                    _set_open(another, name, True)
        raise


def _rename_and_open(session: Session, new: str, name: str) -> None:
    session.run(f"ALTER DATABASE {identifier(new)} RENAME TO {identifier(name)}")
    _set_open(session, name, True)


def _set_open(session: Session, name: str, is_open: bool) -> None:
    session.run(f"ALTER DATABASE {identifier(name)} ALLOW_CONNECTIONS {'true' if is_open else 'false'}")


def _end_sessions(session: Session, database: str) -> None:
    deadline = clock.monotonic() + _LEAVING_S
    while True:
        left = session.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()",
            database,
        )
        if not left:
            return
        if clock.monotonic() > deadline:
            raise LifeboatError(
                f"Cannot swap database {database}",
                f"{len(left)} sessions do not end",
                "stop the applications and start again",
            )
        clock.sleep(0.05)


def _free_name(session: Session, name: str) -> str:
    return first_free(name, previous_name, session.names("SELECT datname FROM pg_database"))


def first_free(name: str, form: t.Callable[[str, str], str], taken: t.Collection[str]) -> str:
    """Return the first name of a form (`previous_name`, `restored_name`) at this moment that no database has."""
    moment, number = clock.compact(clock.now()), 1
    while True:
        candidate = form(name, moment if number == 1 else f"{moment}_{number}")
        if candidate not in taken:
            return candidate
        number += 1

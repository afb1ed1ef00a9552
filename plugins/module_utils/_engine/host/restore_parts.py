# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a restore looks at before: which entries of the archive, and which roles."""

from __future__ import annotations

import contextlib
import dataclasses
import typing as t

from ..errors import DamagedError
from ..postgres.connection import Server, connect
from ..postgres.container_file import file_inside
from ..postgres.contents import Contents, contents_of_chunks, read_contents
from ..postgres.description import Description
from ..postgres.globals_script import read_globals
from ..postgres.restore import RestoreOptions
from ..postgres.roles import RolesPlan, plan_on_server, role_problems
from ..postgres.selection import Selection, select
from ..repository.store import StoreError
from ..repository.stored_files import plain_chunks
from ..verify.spool import scratch_file
from .candidates import Candidate
from .restore_request import RestoreRequest

_MOST_GLOBALS = 64 * 1024 * 1024  # bytes of a script of roles


def planned_selection(request: RestoreRequest, copies: t.Sequence[Candidate]) -> Selection | None:
    """Choose by the beginning of the archive, which says all that is in it; None: everything is wanted.

    Raises DamagedError when no copy can be read.
    """
    if not request.is_partial:
        return None
    contents = _first_good(copies, "dump", contents_of_chunks)
    return select(contents, request.include, request.exclude)


def planned_roles(
    request: RestoreRequest, copies: t.Sequence[Candidate], source: Description
) -> tuple[RolesPlan | None, list[str]]:
    """Choose the roles to make, and say why they cannot be made; None: none are wanted."""
    if request.globals == "none":
        return None, []
    found = read_globals(_first_good(copies, "globals", _text))
    script = request.options.script
    needed = set() if script.no_owner and script.no_privileges else {str(role["name"]) for role in source["roles"]}
    with connect(request.server, request.server.maintenance_database) as session:
        planned = plan_on_server(session, found, needed if request.globals == "needed" else None)
        return planned, list(role_problems(session, planned))


T = t.TypeVar("T")


def _first_good(copies: t.Sequence[Candidate], role: str, read: t.Callable[[t.Iterable[bytes], str], T]) -> T:
    """Read a stored file from the first copy of a backup that has it whole."""
    failures = []
    for candidate in copies:
        manifest = candidate.backup.manifest
        if manifest is None:
            continue
        file = manifest.file(role)
        chunks = plain_chunks(candidate.place.store, manifest.job, manifest.id, file)
        try:
            with contextlib.closing(t.cast("t.Generator[bytes, None, None]", chunks)):
                return read(chunks, file.name)
        except (DamagedError, StoreError) as error:
            failures.append(f"{candidate.place.name}: {error.cause or error.problem}")
    raise DamagedError(
        "Cannot look into the backup", "; ".join(failures), "verify the other backups of the job, and restore one"
    )


def _text(chunks: t.Iterable[bytes], name: str) -> str:
    found = bytearray()
    for chunk in chunks:
        found += chunk
        if len(found) > _MOST_GLOBALS:
            raise DamagedError(f"Cannot read {name}", f"it is larger than {_MOST_GLOBALS} bytes")
    return found.decode("utf-8", "replace")


@contextlib.contextmanager
def listed(request: RestoreRequest, path: str) -> t.Iterator[tuple[RestoreOptions, Selection | None]]:
    """Yield the options for an archive that was fetched, with a list of its wanted entries when not all are.

    Raises LifeboatError when those cannot be restored alone.
    """
    if not request.is_partial:
        yield request.options, None
        return
    selection = chosen(request, read_contents(path))
    with contextlib.ExitStack() as stack:
        list_path = stack.enter_context(entry_list(request.server, selection, request.folder))
        script = dataclasses.replace(request.options.script, list_file=list_path)
        yield dataclasses.replace(request.options, script=script), selection


@contextlib.contextmanager
def entry_list(server: Server, selection: Selection, folder: str) -> t.Iterator[str]:
    """Yield the path of the list of wanted entries, where the programs for a server can read it: on this host, in
    `folder`, or in its container."""
    data = selection.lines().encode("ascii")
    if server.container is not None:
        with file_inside(server.container, data) as path:
            yield path
        return
    with scratch_file(folder) as (path, file):
        file.write(data)
        file.flush()
        yield path


def chosen(request: RestoreRequest, contents: Contents) -> Selection:
    """Choose from an archive. Raises LifeboatError when what was chosen cannot be restored alone."""
    selection = select(contents, request.include, request.exclude)
    selection.require(request.job)
    return selection

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import dataclasses
import os
import typing as t

from .. import clock
from ..errors import GuardRefusal
from ..s3.failure import S3Error
from . import identity, layout
from .identity import Identity
from .store import Store, StoreError
from .tree import explained, sync_directory

_MODE = 0o750
_ABSENT = {"state": "absent"}


@dataclasses.dataclass(frozen=True)
class InitialisationPlan:
    """A repository that shall be at a place."""

    store: Store
    found: Identity | None  # None: it is to be made
    missing_place: str  # why there is no directory or bucket to make it in, in the other side's words; empty: there is
    directory: str  # to be made first; empty: none

    @property
    def changed(self) -> bool:
        return self.found is None

    def diff(self) -> tuple[dict[str, t.Any], dict[str, t.Any]]:
        """Return the repository before and after."""
        after = {"state": "present", "location": self.store.name}
        if self.found is not None:
            after.update(described(self.found))
            return after, after
        return _ABSENT, {**after, **({"directory": "created"} if self.directory else {})}

    def result(self) -> dict[str, t.Any]:
        """Return who the repository is; nobody knows that of one that is not made yet."""
        warnings = weaknesses(self.found) if self.found else []
        missing = _missing_parent(self.directory) if self.directory else self.missing_place
        if missing:
            warnings.append(f"{self.store.name}: {missing}; it must be there when the repository is made")
        return {
            "location": self.store.name,
            "identity": described(self.found) if self.found else None,
            "warnings": warnings,
        }

    def apply(self) -> dict[str, t.Any]:
        """Make the directory where that was asked for, then the repository. Raises LifeboatError."""
        if self.directory:
            make_directory(self.directory)
        made = identity.initialise(self.store)
        return {"identity": described(made), "warnings": weaknesses(made)}


def plan(store: Store, directory: str = "", repository: str = "") -> InitialisationPlan:
    """Look at the place; changes nothing. `directory` may be made if it is missing, empty: none may.

    With a `repository` (UUID) that one has to be there already: it is never made, for a new one would be another.
    Raises GuardRefusal (`repository`) for another one, for none in that case, and for somebody else's place.
    """
    if repository:
        return InitialisationPlan(store, identity.require(store, repository), "", "")
    try:
        found = identity.find(store)
        if found is None:
            identity.check_free(store)
    except StoreError as error:
        if not is_missing_place(error):
            raise
        return InitialisationPlan(store, None, error.cause, directory)
    return InitialisationPlan(store, found, "", "")


def look(store: Store) -> Identity | None:
    """Return who is at a place; None also where there is no directory or bucket. Raises StoreError, DamagedError."""
    try:
        return identity.find(store)
    except StoreError as error:
        if not is_missing_place(error):
            raise
        return None


def is_missing_place(error: StoreError) -> bool:
    """Say whether there is no directory or bucket where a repository could be."""
    cause = error.__cause__
    return isinstance(cause, FileNotFoundError) or (isinstance(cause, S3Error) and cause.code == "NoSuchBucket")


def described(found: Identity) -> dict[str, t.Any]:
    """Return an identity as results show it."""
    return {
        "id": found.repository,
        "created": clock.to_text(found.created),
        "format": layout.FORMAT,
        "conditional_writes": found.has_conditional_writes,
        "signature_window_s": int(found.signature_window.total_seconds()),
    }


def weaknesses(found: Identity) -> list[str]:
    """Return what an operator should know about the server of a repository."""
    if found.has_conditional_writes:
        return []
    return [
        f"the server of repository {found.repository} ignores conditional writes (If-None-Match): two runs of one job "
        "at the same moment could overwrite each other's documents; use a server that honours them"
    ]


def make_directory(path: str) -> None:
    """Make the root of a repository in a directory that exists; one that is there already is left as it is.

    Raises StoreError, GuardRefusal (`repository`) without a directory to make it in.
    """
    parent = os.path.dirname(os.path.abspath(path))
    problem = f"Cannot make the directory {path}"
    missing = _missing_parent(path)
    if missing:
        raise GuardRefusal("repository", problem, missing, "mount it if it is a mount point, or make it")
    with explained(problem), contextlib.suppress(FileExistsError):
        os.mkdir(path, _MODE)
        os.chmod(path, _MODE)  # whatever the umask
        descriptor = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            sync_directory(descriptor)
        finally:
            os.close(descriptor)


def _missing_parent(path: str) -> str:
    """Return that there is no directory to make another one in; empty if there is."""
    parent = os.path.dirname(os.path.abspath(path))
    return "" if os.path.isdir(parent) else f"there is no directory {parent}"

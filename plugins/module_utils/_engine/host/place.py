# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import typing as t

from ..errors import GuardRefusal, LifeboatError
from ..repository import identity, key_wrapping, keyring, layout
from ..repository.bucket import BucketStore
from ..repository.identity import Identity
from ..repository.keyring import Access
from ..repository.retrieval import Retrieval, RetrievalPolicy
from ..repository.store import Store, StoreError

Say = t.Callable[[str], None]  # shows one line of progress


def silent(_line: str) -> None:
    """Show nothing."""


@dataclasses.dataclass(frozen=True)
class Site:
    """What an operator says of where a repository lies; objectives for copies count by it."""

    media: str = "disk"  # what it is kept on, such as disk, s3, tape; repositories with the same word share it
    is_offsite: bool = False


@dataclasses.dataclass(frozen=True)
class Place:
    """A repository as a job or an operator names it."""

    name: str
    store: Store
    repository: str = ""  # UUID that it must have; empty: any
    access: Access | None = None  # what opens its keyring; None: it is used without keys
    site: Site = dataclasses.field(default_factory=Site)
    archive: RetrievalPolicy | None = None  # how what lies in an archive is brought back; None: it is not

    def identity(self) -> Identity:
        """Return who the repository is, and have its keys ready if somebody opens its keyring.

        Raises GuardRefusal (`repository`) where there is none, or another one; GuardRefusal (`keyring`) where there is
        nothing to open; WrongSecretError; MissingPartError, before anything is read.
        """
        if self.access is not None:
            key_wrapping.library()
        found = identity.require(self.store, self.repository)
        if self.access is not None and self.store.keys is None:
            self.store.keys = keyring.read(self.store, self.access)
            self.store.allow_unsigned = self.access.allow_unsigned
        return found

    def writable_identity(self) -> Identity:
        """Return who the repository is, as `identity` does, before a backup is written to it.

        Raises GuardRefusal (`keyring`) where backups are encrypted, and this one would not be.
        """
        found = self.identity()
        keyring.require_writable(self.store)
        return found

    def receiving_identity(self) -> Identity:
        """Return who the repository is, before a copy comes into it, and with that the keyring if it has none yet."""
        if self.access is not None and not keyring.epoch_names(self.store):
            return identity.require(self.store, self.repository)
        return self.identity()


def closed(name: str, site: Site, why: LifeboatError) -> Place:
    """Return a repository that cannot be opened: to a run it is like one that is away."""
    return Place(name, ClosedStore(name, why), site=site)


class ClosedStore(Store):
    """Answers everything with the reason why nobody has opened it."""

    def __init__(self, name: str, why: LifeboatError) -> None:
        self.name = name
        self._why = why

    def _refuse(self, *_given: t.Any, **_more: t.Any) -> t.NoReturn:
        raise StoreError(f"Cannot open repository {self.name}", self._why.summary, self._why.remedy)

    now = get = stat = entries = versions = put = put_new = refuses_second = replace = delete = _refuse
    upload = discard_unfinished = read = shared_lock = exclusive_lock = _refuse

    @property
    def has_locks(self) -> bool:
        return False


@contextlib.contextmanager
def retrieving(place: Place, say: Say = silent) -> t.Iterator[list[str]]:
    """Let files of a place that lie in an archive be brought back while they are read; yields a list that gets a
    remark on it in the end.
    """
    remarks: list[str] = []
    store = place.store
    if place.archive is None or not isinstance(store, BucketStore):
        yield remarks
        return
    before, store.retrieval = store.retrieval, Retrieval(place.archive, say)
    used = store.retrieval
    try:
        yield remarks
    finally:
        store.retrieval = before
        remarks += [f"{place.name}: {used.words}"] if used.words else []


def twins(places: t.Iterable[Place]) -> dict[str, str]:
    """Return the names of places that are the same repository as one before them, each with the name of that.

    A path and a link to it, or two addresses of a server, show the same file; a clone has one that was written at
    another time, or has another inode. Places that do not answer are left out.
    """
    known: dict[tuple[str, dt.datetime], str] = {}
    found = {}
    for place in places:
        with contextlib.suppress(LifeboatError):
            entry = place.store.stat(layout.IDENTITY)
            if entry is not None and entry.etag:
                first = known.setdefault((entry.etag, entry.modified), place.name)
                if first != place.name:
                    found[place.name] = first
    return found


def twin_words(found: t.Mapping[str, str]) -> list[str]:
    """Say which places are the same repository."""
    return [f"{name} is the same repository as {first}: what it has counts once" for name, first in found.items()]


def require_places(job: str, places: t.Iterable[Place]) -> None:
    """Raise LifeboatError for a job without a repository that is written to."""
    places = tuple(places)
    if all(place.store.copies_only for place in places):
        cause = "all of its repositories are for copies" if places else "it has no repository"
        raise LifeboatError(f"Cannot run job {job}", cause, "give it at least one in a directory or bucket")


def is_unusable(error: Exception) -> bool:
    """Say whether an error means that a repository is not to be had now, so that another one may be used instead."""
    return isinstance(error, StoreError) or (isinstance(error, GuardRefusal) and error.guard == "repository")

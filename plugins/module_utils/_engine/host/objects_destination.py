# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import os
import typing as t

from ..errors import DamagedError, GuardRefusal, LifeboatError, UsageError
from ..objects.bucket_source import BucketSource
from ..objects.bucket_target import BucketTarget
from ..objects.directory_source import DirectorySource
from ..objects.directory_target import DirectoryTarget, places_below
from ..objects.quarantine import ServerCopy
from ..objects.restore_plan import Selected, everything
from ..objects.source import Described, Source
from ..objects.target import Target
from ..repository import identity, layout
from ..repository.bucket import BucketStore
from ..repository.directory import DirectoryStore
from ..repository.store import StoreError
from ..s3.client import S3Client
from ..s3.object_properties import ObjectProperties
from .place import Place

_MOST_COPIED = 5 * 1024**3  # bytes that one CopyObject takes (Amazon S3 API, CopyObject)


class Destination(t.Protocol):
    """Where a backup is restored to, as a whole."""

    @property
    def name(self) -> str:
        """Return how people know it."""

    def names(self, kind: str, collections: t.Sequence[str], given: t.Mapping[str, str]) -> dict[str, str]:
        """Return where each collection of a backup goes; `given` are those for which somebody said so.

        Raises UsageError where nothing says where one is to go, or where two would go to the same place.
        """

    def target(self, kind: str, names: t.Collection[str], origin: str = "") -> Target:
        """Return what writes to the places `names`; `origin` is the URL of the server that was backed up."""

    def reader(self, names: t.Collection[str]) -> Source:
        """Return what reads them."""

    def holds(self, names: t.Collection[str], other: Destination, collection: str, prefix: str, restored: str) -> bool:
        """Say whether keys with `prefix` in a place of `other` lie where keys with `restored` are restored."""

    def server_copy(self, source: Destination, collection: str) -> ServerCopy | None:
        """Return what lets a server copy an object of `source` into `collection` by itself; None where none can."""

    def refuse_repositories(
        self, names: t.Collection[str], places: t.Sequence[Place], selected: Selected = everything
    ) -> None:
        """Raise GuardRefusal (`repository`) when a restore of the selected keys could write into a repository."""


@dataclasses.dataclass(frozen=True)
class Server:
    """Buckets of an S3 server."""

    client: S3Client

    @property
    def name(self) -> str:
        return self.client.endpoint.url

    def names(self, kind: str, collections: t.Sequence[str], given: t.Mapping[str, str]) -> dict[str, str]:
        """A bucket goes to the bucket of its name; for a folder one must be named."""
        found = {each: given.get(each, each if kind == "bucket" else "") for each in collections}
        missing = [each for each, name in found.items() if not name]
        if missing:
            raise UsageError(f"Cannot restore {missing[0]}", "no bucket is named for it", "name one in map")
        return _without_twins(found)

    def target(self, kind: str, names: t.Collection[str], origin: str = "") -> Target:
        return BucketTarget(self.client, origin)

    def reader(self, names: t.Collection[str]) -> Source:
        return BucketSource(self.client, tuple(names))

    def holds(self, names: t.Collection[str], other: Destination, collection: str, prefix: str, restored: str) -> bool:
        is_same_server = isinstance(other, Server) and other.client.endpoint.url == self.client.endpoint.url
        return is_same_server and collection in names and prefix.startswith(restored)

    def server_copy(self, source: Destination, collection: str) -> ServerCopy | None:
        if not isinstance(source, Server) or source.client.endpoint != self.client.endpoint:
            return None

        def copy(name: str, found: Described, key: str) -> bool:
            item, properties = found.item, found.properties
            if item.size > _MOST_COPIED or not item.etag:
                return False
            kept = {member: properties.get(member, {}) for member in ("headers", "metadata", "tags")}
            self.client.copy_object((name, item.key), collection, key, ObjectProperties(**kept), source_etag=item.etag)
            return True

        return copy

    def refuse_repositories(
        self, names: t.Collection[str], places: t.Sequence[Place], selected: Selected = everything
    ) -> None:
        """Refuse every bucket with a repository at its root, and those of `places`: by what lies there, as one server
        can have several names."""
        for name in names:
            if not self.client.bucket_exists(name):
                continue
            for place in places:
                if isinstance(place.store, BucketStore):
                    bucket, key = place.store.place_of(layout.IDENTITY)
                    if bucket == name and selected(key):
                        self._refuse_repository(name, key[: -len(layout.IDENTITY)])
            if selected(layout.IDENTITY):
                self._refuse_repository(name, "")

    def _refuse_repository(self, bucket: str, prefix: str) -> None:
        try:
            found = identity.find(BucketStore(self.client, bucket, prefix))
        except (DamagedError, StoreError) as error:  # of the target: no copy of the backup is to blame
            raise LifeboatError(
                f"Cannot see whether a repository lies in s3://{bucket}",
                f"{prefix}{layout.IDENTITY} cannot be read: {error.cause or error.problem}",
                f"{error.remedy or 'look at it'}; or exclude it from the restore",
            ) from error
        if found is not None:
            raise _refusal(f"s3://{bucket}", f"repository {found.repository} lies there")


@dataclasses.dataclass(frozen=True)
class Folder:
    """A folder of this host below which each collection has one of its own; empty: where each one was."""

    path: str = ""
    devices: bool = False  # write devices, too
    numeric_owners: bool = False  # by number, not by the names of this host

    @property
    def name(self) -> str:
        return self.path or "its own place"

    def names(self, kind: str, collections: t.Sequence[str], given: t.Mapping[str, str]) -> dict[str, str]:
        """A folder of a backup goes to its own path, or below this one with the whole path; a bucket below this one."""
        if not self.path and kind == "bucket" and not set(collections) <= set(given):
            raise UsageError(
                "Cannot restore buckets to their own place on this host", "they have none", "name a folder"
            )
        below = places_below(self.path, collections) if self.path else {each: each for each in collections}
        return _without_twins({each: _absolute(given.get(each, below[each])) for each in collections})

    def target(self, kind: str, names: t.Collection[str], origin: str = "") -> Target:
        return DirectoryTarget(
            {name: name for name in names},
            name=self.path,
            devices=self.devices,
            numeric_owners=self.numeric_owners,
            objects_only=kind == "bucket",
        )

    def reader(self, names: t.Collection[str]) -> Source:
        return DirectorySource(list(names), devices=True)

    def holds(self, names: t.Collection[str], other: Destination, collection: str, prefix: str, restored: str) -> bool:
        place = os.path.realpath(os.path.join(collection, prefix))
        return isinstance(other, Folder) and any(_below(os.path.realpath(name), place) is not None for name in names)

    def server_copy(self, source: Destination, collection: str) -> ServerCopy | None:
        return None

    def refuse_repositories(
        self, names: t.Collection[str], places: t.Sequence[Place], selected: Selected = everything
    ) -> None:
        """Refuse a folder in a repository, and one that has a repository in what is selected of it."""
        for place in places:
            if not isinstance(place.store, DirectoryStore):
                continue
            repository = os.path.realpath(place.store.name)
            for name in names:
                inner = _below(os.path.realpath(name), repository)
                is_reached = inner is not None and selected("/".join(filter(None, (inner, layout.IDENTITY))))
                if is_reached or _below(repository, os.path.realpath(name)) is not None:
                    raise _refusal(name, f"repository {place.name} lies at {repository}")


def _below(folder: str, path: str) -> str | None:
    """Return the way from a folder to a path in it, empty for itself; None for a path elsewhere."""
    if path == folder:
        return ""
    start = folder.rstrip("/") + "/"
    return path[len(start) :] if path.startswith(start) else None


def _absolute(path: str) -> str:
    if not path.startswith("/"):
        raise UsageError(f"Cannot restore to {path!r}", "it is no absolute path", "name the folder from / on")
    return os.path.normpath(path)


def _without_twins(found: dict[str, str]) -> dict[str, str]:
    for each, name in found.items():
        twins = [other for other, there in found.items() if there == name and other != each]
        if twins:
            raise UsageError(
                f"Cannot restore {each} and {twins[0]}", f"both would go to {name}", "name another place for one in map"
            )
    return found


def _refusal(name: str, why: str) -> GuardRefusal:
    return GuardRefusal("repository", f"Cannot restore into {name}", why, "restore somewhere else")

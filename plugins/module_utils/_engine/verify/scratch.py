# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import pathlib
import shutil
import tempfile
import typing as t

from ..errors import GuardRefusal, LifeboatError
from ..objects.bucket_source import BucketSource
from ..objects.bucket_target import BucketTarget
from ..objects.directory_source import DirectorySource
from ..objects.directory_target import DirectoryTarget
from ..objects.source import Source
from ..objects.target import Target
from ..s3.client import S3Client
from ..s3.failure import S3Error

_PREFIX = "lifeboat-drill-"


@dataclasses.dataclass(frozen=True)
class Opened:
    """A scratch place with nothing in it."""

    collection: str  # how target and reader call it
    target: Target
    reader: Source


class Scratch(t.Protocol):
    """Where restores of objects and files are tried out, one bucket or folder of the backup at a time."""

    @property
    def name(self) -> str:
        """Return how people know the place."""

    def opened(self, kind: str, plain_bytes: int) -> contextlib.AbstractContextManager[Opened]:
        """Open an empty place for about `plain_bytes`; all that was written there is gone afterwards."""


@dataclasses.dataclass(frozen=True)
class ScratchFolder:
    """A folder below `parent` (default: that for temporary files) that nobody else may look into."""

    parent: str = ""

    @property
    def name(self) -> str:
        return self.parent or tempfile.gettempdir()

    @contextlib.contextmanager
    def opened(self, kind: str, plain_bytes: int) -> t.Iterator[Opened]:
        _remove_leftovers(self.name)
        _require_space(self.name, plain_bytes)
        try:
            path = os.path.realpath(tempfile.mkdtemp(prefix=_PREFIX, dir=self.name))
        except OSError as error:
            raise _unusable(self.name, error) from error
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # while it is held, nobody takes the folder for a leftover
            target = DirectoryTarget({path: path}, name=path, objects_only=kind == "bucket")
            yield Opened(path, target, DirectorySource([path], devices=True))
        finally:
            _remove(path)
            os.close(descriptor)


@dataclasses.dataclass(frozen=True)
class ScratchBucket:
    """A bucket that is not there, or empty; one that was made for the drill is removed after it."""

    client: S3Client
    bucket: str

    @property
    def name(self) -> str:
        return f"s3://{self.bucket} at {self.client.endpoint.url}"

    @contextlib.contextmanager
    def opened(self, kind: str, plain_bytes: int) -> t.Iterator[Opened]:
        is_ours = not self.client.bucket_exists(self.bucket)
        if is_ours:
            self.client.create_bucket(self.bucket)
        else:
            self._require_fit()
        try:
            yield Opened(self.bucket, BucketTarget(self.client), BucketSource(self.client, (self.bucket,)))
        finally:
            for each in self.client.list_versions(self.bucket):
                self.client.delete(self.bucket, each.key, version_id=each.version_id)
            if is_ours:
                self.client.delete_bucket(self.bucket)

    def _require_fit(self) -> None:
        """Refuse a bucket that somebody uses, and one whose objects could not be removed afterwards."""
        problem = f"Cannot try a restore out in {self.name}"
        remedy = "name a bucket that is not there: it is made, and removed afterwards"
        if next(iter(self.client.list_versions(self.bucket)), None) is not None:
            raise GuardRefusal("scratch", problem, "it is not empty", remedy)
        try:
            self.client.document("GET", self.bucket, "object-lock")
        except S3Error:
            return  # it has no lock; servers differ in how they say so
        raise GuardRefusal("scratch", problem, "it locks objects", remedy)


def _require_space(folder: str, needed: int) -> None:
    try:
        facts = os.statvfs(folder)
    except OSError as error:
        raise _unusable(folder, error) from error
    free = facts.f_bavail * facts.f_frsize
    if free < needed:
        raise LifeboatError(
            f"Cannot try a restore out in {folder}",
            f"it needs {needed} bytes and {free} are free",
            "make room, name a folder on another disk, or a scratch bucket",
        )


def _unusable(folder: str, error: OSError) -> LifeboatError:
    return LifeboatError(f"Cannot use folder {folder}", error.strerror or str(error), "name another one")


def _remove_leftovers(parent: str) -> None:
    """Remove the folders of drills that were killed."""
    for path in pathlib.Path(parent).glob(_PREFIX + "*"):
        with contextlib.suppress(OSError):
            if path.lstat().st_uid != os.geteuid():
                continue
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(str(path))
            finally:
                os.close(descriptor)


def _remove(path: str) -> None:
    """Remove a folder with all in it, also what its modes forbid."""

    def allow(_function: object, name: str, _error: object) -> None:
        with contextlib.suppress(OSError):
            os.chmod(os.path.dirname(name), 0o700)
            if os.path.isdir(name) and not os.path.islink(name):
                os.chmod(name, 0o700)
                shutil.rmtree(name, ignore_errors=True)
            else:
                os.unlink(name)

    shutil.rmtree(path, onerror=allow)

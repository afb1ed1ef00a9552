# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import os
import typing as t

from ..errors import UsageError
from ..repository.bucket import BucketStore
from ..repository.directory import DirectoryStore
from ..repository.layout import checked_job
from ..repository.lock_policy import LockPolicy
from ..repository.rclone import RcloneStore
from ..repository.rclone_program import Rclone
from ..repository.retrieval import RetrievalPolicy
from ..repository.store import Store
from .archive_settings import retrieval_from
from .fields import Fields
from .keyring_settings import KeyringSettings, keyring_from
from .lock_settings import policy_from
from .place import Place, Site
from .s3_login import S3Login, login_from


@dataclasses.dataclass(frozen=True)
class LockSettings:
    """How what a repository keeps is locked, and by whom."""

    policy: LockPolicy
    login: S3Login


@dataclasses.dataclass(frozen=True)
class RepositorySettings:
    """A repository of the configuration; its secrets are read when it is opened, by the user who runs the job."""

    name: str
    id: str = ""  # UUID that it must have; empty: any
    path: str = ""  # a directory; empty: a bucket
    bucket: str = ""
    prefix: str = ""
    rclone: Rclone | None = None  # a remote of rclone, for copies
    login: S3Login | None = None  # of the server of a bucket
    keyring: KeyringSettings | None = None  # None: nothing is encrypted
    media: str = ""  # what it is kept on; empty: as its kind is kept usually
    is_offsite: bool = False
    lock: LockSettings | None = None  # None: nothing is locked
    archive: RetrievalPolicy | None = None  # how archived files are brought back; None: they are not

    @property
    def location(self) -> str:
        """Return where it lies, for comparison with others."""
        if self.rclone is not None:
            return f"rclone {self.rclone.remote.rstrip('/')}"
        if self.login is None:
            return os.path.normpath(self.path)
        return f"{self.login.endpoint.url.rstrip('/')}/{self.bucket}/{self.prefix.strip('/')}"

    @property
    def site(self) -> Site:
        """Return where it lies, for objectives."""
        usual = "remote" if self.rclone is not None else "disk" if self.login is None else "s3"
        return Site(self.media or usual, self.is_offsite)

    def opened(self) -> Place:
        """Return the repository to work with; nothing is sent to it yet. Raises UsageError for its secrets."""
        access = self.keyring.access() if self.keyring else None
        return Place(self.name, self._store(), self.id, access, self.site, self.archive)

    def opened_to_lock(self) -> Place:
        """Return the repository for whoever may lock, which must be so configured. Raises UsageError."""
        if self.lock is None:
            raise UsageError(f"Cannot lock in {self.name}", "it has no section lock", "add it to the configuration")
        store = BucketStore(self.lock.login.client(), self.bucket, self.prefix)
        return Place(self.name, store, self.id, site=self.site)

    def _store(self) -> Store:
        if self.rclone is not None:
            return RcloneStore(self.rclone)
        if self.login is None:
            return DirectoryStore(self.path)
        return BucketStore(self.login.client(), self.bucket, self.prefix)


def repository_from(name: str, fields: Fields) -> RepositorySettings:
    """Return a repository of the configuration. Raises UsageError."""
    check_name(name, "a repository", fields)
    identity = fields.text("id")
    kinds = [key for key in ("path", "bucket", "rclone") if fields.has(key)]
    if len(kinds) != 1:
        words = f"has both {' and '.join(kinds)}" if kinds else "is missing, and so is bucket"
        raise fields.refuse("path", words, "give either path, or bucket with its endpoint_url, or rclone")
    if fields.has("rclone"):
        settings = RepositorySettings(name, identity, rclone=_rclone(fields))
    elif fields.has("path"):
        settings = RepositorySettings(name, identity, path=fields.path("path", None))
    else:
        settings = _bucket(name, identity, fields)
    settings = dataclasses.replace(settings, keyring=keyring_from(fields))
    settings = dataclasses.replace(settings, media=fields.text("media"), is_offsite=fields.flag("offsite", False))
    fields.finish()
    return settings


def check_name(name: str, what: str, fields: Fields) -> None:
    """Raise UsageError for what cannot be the name of a job or repository."""
    try:
        checked_job(name)
    except UsageError as error:
        cause = f"{name!r} cannot be the name of {what}"
        raise UsageError(f"Cannot use {fields.source}", cause, error.remedy) from error


def _bucket(name: str, identity: str, fields: Fields) -> RepositorySettings:
    login = login_from(fields)
    bucket, prefix = fields.text("bucket", None), fields.text("prefix")
    archive = _archive(fields)
    return RepositorySettings(
        name, identity, bucket=bucket, prefix=prefix, login=login, lock=_lock(login, fields), archive=archive
    )


def _rclone(fields: Fields) -> Rclone:
    given = Rclone(fields.text("rclone", None), fields.path("rclone_config"), fields.text("rclone_program", "rclone"))
    try:
        return given.checked()
    except UsageError as error:
        raise fields.refuse("rclone", f"cannot be used: {error.cause}", error.remedy) from error


def _lock(login: S3Login, fields: Fields) -> LockSettings | None:
    """Return the section `lock`; who locks has a key of its own, or that of the repository."""
    if not fields.has("lock"):
        return None
    section = fields.section("lock")
    values = {name: section.text(name) for name in ("mode", "rolling", "most")}
    own = dataclasses.replace(
        login,
        access_key=section.text("access_key"),
        secret_key_file=section.path("secret_key_file"),
        session_token_file="",
    )
    section.finish()
    if bool(own.access_key) != bool(own.secret_key_file):
        raise fields.refuse("lock", "has half a login", "give both access_key and secret_key_file, or neither")
    try:
        return LockSettings(policy_from(values), own if own.access_key else login)
    except UsageError as error:
        raise fields.refuse("lock", f"is wrong: {error.cause}", error.remedy) from error


def _archive(fields: Fields) -> RetrievalPolicy | None:
    """Return the section `archive`."""
    if not fields.has("archive"):
        return None
    section = fields.section("archive")
    values = {"tier": section.text("tier"), "days": section.whole("days", 7, 1, 365), "wait": section.text("wait")}
    section.finish()
    try:
        return retrieval_from(values)
    except UsageError as error:
        raise fields.refuse("archive", f"is wrong: {error.cause}", error.remedy) from error


def refuse_twins(repositories: t.Iterable[RepositorySettings], document: Fields) -> None:
    """Raise UsageError when two repositories are the same place."""
    seen: dict[str, str] = {}
    for each in repositories:
        twin = seen.setdefault(each.location, each.name)
        if twin != each.name:
            words = f"has {twin} and {each.name} at the same place"
            raise document.refuse("repositories", words, "name each place once: a copy onto itself is no copy")

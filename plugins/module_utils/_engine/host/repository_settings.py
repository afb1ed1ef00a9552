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
from ..repository.store import Store
from .fields import Fields
from .place import Place, Site
from .s3_login import S3Login, login_from


@dataclasses.dataclass(frozen=True)
class RepositorySettings:
    """A repository of the configuration; its secrets are read when it is opened, by the user who runs the job."""

    name: str
    id: str = ""  # UUID that it must have; empty: any
    path: str = ""  # a directory; empty: a bucket
    bucket: str = ""
    prefix: str = ""
    login: S3Login | None = None  # of the server of a bucket
    media: str = ""  # what it is kept on; empty: as its kind is kept usually
    is_offsite: bool = False

    @property
    def location(self) -> str:
        """Return where it lies, for comparison with others."""
        if self.login is None:
            return os.path.normpath(self.path)
        return f"{self.login.endpoint.url.rstrip('/')}/{self.bucket}/{self.prefix.strip('/')}"

    @property
    def site(self) -> Site:
        """Return where it lies, for objectives."""
        return Site(self.media or ("disk" if self.login is None else "s3"), self.is_offsite)

    def opened(self) -> Place:
        """Return the repository to work with; nothing is sent to it yet. Raises UsageError for its secrets."""
        return Place(self.name, self._store(), self.id, self.site)

    def _store(self) -> Store:
        if self.login is None:
            return DirectoryStore(self.path)
        return BucketStore(self.login.client(), self.bucket, self.prefix)


def repository_from(name: str, fields: Fields) -> RepositorySettings:
    """Return a repository of the configuration. Raises UsageError."""
    check_name(name, "a repository", fields)
    identity = fields.text("id")
    if fields.has("path") == fields.has("bucket"):
        words = "has both path and bucket" if fields.has("path") else "is missing, and so is bucket"
        raise fields.refuse("path", words, "give either path, or bucket with its endpoint_url")
    if fields.has("path"):
        settings = RepositorySettings(name, identity, path=fields.path("path", None))
    else:
        settings = _bucket(name, identity, fields)
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
    return RepositorySettings(
        name, identity, bucket=fields.text("bucket", None), prefix=fields.text("prefix"), login=login
    )


def refuse_twins(repositories: t.Iterable[RepositorySettings], document: Fields) -> None:
    """Raise UsageError when two repositories are the same place."""
    seen: dict[str, str] = {}
    for each in repositories:
        twin = seen.setdefault(each.location, each.name)
        if twin != each.name:
            words = f"has {twin} and {each.name} at the same place"
            raise document.refuse("repositories", words, "name each place once: a copy onto itself is no copy")

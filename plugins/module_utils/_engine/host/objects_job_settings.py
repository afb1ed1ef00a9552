# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import functools
import typing as t

from ..errors import UsageError
from ..objects import guards
from ..objects.reread import Share
from .fields import Fields
from .job_settings import JobSettings, shared_from
from .object_sources import BucketSelection, FileSelection
from .objects_job import CONCURRENCY, PROOFS, ObjectsJob, Remark
from .place import Place
from .s3_login import S3Login, login_from

_GUARDS = (guards.MASS_DELETE, guards.MASS_REWRITE, guards.ENTROPY_JUMP)


@dataclasses.dataclass(frozen=True)
class ObjectsSettings(JobSettings):
    """A job that backs buckets or folders up."""

    login: S3Login | None = None  # of the server whose buckets they are; None: folders of this host
    buckets: BucketSelection | None = None
    files: FileSelection | None = None
    reread: Share | None = None
    policy: guards.Policy = dataclasses.field(default_factory=dict)  # guard → fail | warn | ignore
    allow_empty: bool = False
    concurrency: int = CONCURRENCY

    def job(self, places: tuple[Place, ...]) -> ObjectsJob:
        """Return what a run works with. Raises UsageError when a secret cannot be read."""
        return ObjectsJob(
            name=self.name,
            kind=self.kind,
            open_source=self.opener(),
            places=places,
            reread=self.reread,
            proof=self.proof,
            compression=self.compression,
            policy=self.policy,
            allow_empty=self.allow_empty,
            allow_partial=self.allow_partial,
            concurrency=self.concurrency,
        )

    def opener(self) -> t.Callable[[Remark], t.Any]:
        """Return what opens the source. Raises UsageError when a secret cannot be read."""
        if self.buckets is not None and self.login is not None:
            return functools.partial(self.buckets.opened, self.login.client())
        if self.files is not None:
            return self.files.opened
        raise UsageError(f"Cannot run job {self.name}", "it has no source", "name buckets or roots")


def bucket_from(name: str, fields: Fields, repositories: t.Collection[str]) -> ObjectsSettings:
    """Return a job of kind bucket. Raises UsageError."""
    source = fields.section("source")
    login = login_from(source)
    source.finish()
    selection = BucketSelection(
        buckets=fields.texts("buckets"),
        exclude_buckets=fields.texts("exclude_buckets", ()),
        prefix=fields.text("prefix"),
    )
    return _objects(name, "bucket", fields, repositories, login=login, buckets=selection)


def files_from(name: str, fields: Fields, repositories: t.Collection[str]) -> ObjectsSettings:
    """Return a job of kind files. Raises UsageError."""
    selection = FileSelection(
        roots=fields.texts("roots"),
        exclude=fields.texts("exclude", ()),
        include=fields.texts("include", ()),
        one_file_system=fields.flag("one_file_system", False),
        devices=fields.flag("devices", False),
    )
    for root in selection.roots:
        if not root.startswith("/"):
            raise fields.refuse("roots", f"has {root!r}", "write absolute paths: the command runs in any folder")
    return _objects(name, "files", fields, repositories, files=selection)


def _objects(name: str, kind: str, fields: Fields, repositories: t.Collection[str], **source: t.Any) -> ObjectsSettings:
    policy = {guard: fields.choice(f"on_{guard}", guards.POLICIES, guards.POLICIES[0]) for guard in _GUARDS}
    return ObjectsSettings(
        **shared_from(name, kind, fields, repositories, PROOFS),
        **source,
        reread=_share(fields),
        policy=policy,
        allow_empty=fields.flag("allow_empty", False),
        concurrency=fields.whole("concurrency", CONCURRENCY, 1, 256),
    )


def _share(fields: Fields) -> Share | None:
    text = fields.text("reread")
    try:
        return Share.parse(text)
    except UsageError as error:
        raise fields.refuse("reread", f"is {text!r}", error.remedy) from error

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import typing as t

from ..errors import UsageError
from ..s3.endpoint import Endpoint
from .fields import Fields
from .job_kinds import MINIO
from .job_settings import JobSettings, shared_from
from .place import Place
from .s3_login import S3Login, login_from

if t.TYPE_CHECKING:
    from .minio_backup import MinioJob

PROOFS = ("none", "content")


@dataclasses.dataclass(frozen=True)
class MinioSettings(JobSettings):
    """A job that backs the identities and bucket settings of a server up."""

    login: S3Login | None = None

    def endpoint(self) -> Endpoint:
        """Return how to reach the server. Raises UsageError when a secret cannot be read."""
        if self.login is None:
            raise UsageError(f"Cannot run job {self.name}", "it has no server", "set source")
        return self.login.client().endpoint

    def job(self, places: tuple[Place, ...]) -> MinioJob:
        """Return what a run works with. Raises UsageError when a secret cannot be read."""
        from .minio_backup import MinioJob  # here: only runs need it, and it brings most of the engine

        return MinioJob(
            name=self.name,
            endpoint=self.endpoint(),
            places=places,
            proof=self.proof,
            compression=self.compression,
            allow_partial=self.allow_partial,
        )


def minio_from(name: str, fields: Fields, repositories: t.Collection[str]) -> MinioSettings:
    """Return a job of kind minio. Raises UsageError."""
    source = fields.section("source")
    login = login_from(source)
    source.finish()
    return MinioSettings(**shared_from(name, MINIO, fields, repositories, PROOFS), login=login)

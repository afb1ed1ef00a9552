# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import typing as t

from ..s3.client import S3Client
from .objects_job import Remark

if t.TYPE_CHECKING:
    from ..objects.bucket_source import BucketSource
    from ..objects.directory_source import DirectorySource


@dataclasses.dataclass(frozen=True)
class BucketSelection:
    """Which objects of an S3 server a job is about."""

    buckets: tuple[str, ...]  # names and patterns; `*` for all
    exclude_buckets: tuple[str, ...] = ()
    prefix: str = ""  # of the keys

    def opened(self, client: S3Client, remark: Remark) -> BucketSource:
        """Return the source; nothing is sent yet."""
        from ..objects.bucket_source import BucketSource  # here: only runs read sources

        return BucketSource(client, self.buckets, self.exclude_buckets, self.prefix, report=remark)


@dataclasses.dataclass(frozen=True)
class FileSelection:
    """Which files of this host a job is about."""

    roots: tuple[str, ...]  # absolute paths of folders
    exclude: tuple[str, ...] = ()  # patterns
    include: tuple[str, ...] = ()
    one_file_system: bool = False
    devices: bool = False

    def opened(self, remark: Remark) -> DirectorySource:
        """Return the source; nothing is read yet. Raises UsageError for what are no patterns."""
        from ..objects.directory_source import DirectorySource
        from ..objects.patterns import Patterns

        patterns = Patterns(self.exclude, self.include)
        return DirectorySource(self.roots, patterns, self.one_file_system, self.devices, report=remark)

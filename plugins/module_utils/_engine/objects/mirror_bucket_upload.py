# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import typing as t

from ..s3.calls import Part, composite_etag
from ..s3.client import S3Client
from ..s3.failure import S3Error
from .mirror_sides import Subject
from .object_errors import for_one_object
from .source import ChangedError

if t.TYPE_CHECKING:
    from .mirror_bucket_target import BucketTarget


def drop_unfinished(client: S3Client, bucket: str, key: str) -> None:
    """Drop what a run that was killed has sent of an object. MinIO lists uploads by their exact key only."""
    try:
        found = client.list_uploads(bucket, key)
    except S3Error as error:
        if error.is_transient or error.status == 0:
            raise
        return
    for name, upload_id in found:
        if name == key:
            client.abort_upload(bucket, key, upload_id)


class BucketUpload:
    """An object on its way to a bucket, in the parts of its source."""

    def __init__(self, target: BucketTarget, subject: Subject) -> None:
        self._target = target
        self._client = target.client
        self._subject = subject
        self._key = target.full(subject.item.key)
        self._is_marked = target.needs_mark(subject)
        self._parts: list[Part] = []
        drop_unfinished(self._client, target.bucket, self._key)
        fields = target.fields(subject, self._is_marked)
        self._upload_id = self._client.create_upload(target.bucket, self._key, fields)

    def write(self, number: int, offset: int, data: bytes) -> None:
        """Send a part."""
        with for_one_object():
            part = self._client.put_part(self._target.bucket, self._key, self._upload_id, number, (data,))
        self._parts.append(part)

    def give_up(self) -> None:
        """Do nothing: no part waits for another one."""

    def finish(self) -> None:
        """Make the object, unless only its parts show that it needs a mark: then it is to be sent once more."""
        parts = sorted(self._parts, key=lambda part: part.number)
        expected = composite_etag(parts)
        is_told = not self._is_marked and self._target.tells_by_etag
        if is_told and expected != self._subject.item.etag:
            self._target.mark_from_now_on(self._subject.item.key)
            raise ChangedError(f"Cannot write {self._subject.item.key}", "its parts are not those that its ETag is of")
        with for_one_object():
            etag = self._completed(parts, expected)
        if is_told and etag != self._subject.item.etag:
            self._target.mark_from_now_on(self._subject.item.key)
            raise ChangedError(f"Cannot write {self._subject.item.key}", "the server gives it an ETag of its own")

    def _completed(self, parts: t.Sequence[Part], expected: str) -> str:
        bucket = self._target.bucket
        try:
            return self._client.complete_upload(bucket, self._key, self._upload_id, parts).etag
        except S3Error as error:
            # The first answer may have been lost: a repetition then finds no upload, but the object.
            if error.code != "NoSuchUpload" and not error.is_transient:
                raise
            found = self._client.head(bucket, self._key)
            if found is None or found.size != self._subject.item.size or found.etag != expected:
                raise
            return found.etag

    def abort(self) -> None:
        """Drop what came."""
        with contextlib.suppress(Exception):
            self._client.abort_upload(self._target.bucket, self._key, self._upload_id)

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from .. import clock
from . import credentials as credential
from . import detailed_listing, failure, flight, integrity, listing, signature
from .archive_calls import ArchiveCalls
from .bucket_calls import BucketCalls
from .calls import Headers, Put, named, version_query
from .connection import Body
from .detailed_listing import DetailedPage
from .download import Download, Stored, stored
from .endpoint import Endpoint
from .property_calls import PropertyCalls
from .transport import Request, SignedAt, Transport
from .upload_calls import UploadCalls


class S3Client(UploadCalls, BucketCalls, PropertyCalls, ArchiveCalls):
    """The requests of the S3 interface that Lifeboat sends. All methods raise S3Error; several threads may use it."""

    def __init__(self, endpoint: Endpoint, source: credential.Source | None = None) -> None:
        self.endpoint = endpoint
        self._source = source or credential.source_for(endpoint)
        self.transport = Transport(endpoint, self._source)

    def close(self) -> None:
        """Close idle connections; the client can be used again."""
        self.transport.close()

    def another(self) -> S3Client:
        """Return a client of the same server and the same identity that shares no connection with this one."""
        return S3Client(self.endpoint, self._source)

    # Objects

    def put_object(
        self,
        bucket: str,
        key: str,
        data: bytes | Body,
        headers: Headers | None = None,
        *,
        only_if_new: bool = False,
        only_if_etag: str = "",
        signed_at: SignedAt = None,
    ) -> Put:
        """Write an object with one request, checked by the server and against its answer.

        With a condition the request is not repeated after a lost answer: then the outcome is unknown (code LostAnswer,
        or a status of 500 and more).
        """
        conditions = {"if-none-match": "*"} if only_if_new else {}
        if only_if_etag:
            conditions["if-match"] = f'"{only_if_etag}"'
        task = self.put_task(
            bucket, key, data, {**(headers or {}), **conditions}, once=bool(conditions), signed_at=signed_at
        )
        return flight.alone(task)

    def put_task(
        self,
        bucket: str,
        key: str,
        data: bytes | Body,
        headers: Headers,
        *,
        once: bool = False,
        signed_at: SignedAt = None,
    ) -> flight.Task[Put]:
        """Write an object, as `put_object` does; with `once` the request is not repeated after a lost answer."""
        body: Body = (data,) if isinstance(data, bytes) else data
        checksum = integrity.crc32(body)
        problem = self.problem("write", bucket, key)
        fields = {**headers, integrity.HEADER: checksum}
        request = Request(
            problem, "PUT", bucket, named(key), (), fields, body, once=once, signed_at=signed_at, step="put"
        )
        answer = yield flight.Ask(self.transport, request)
        integrity.confirm_stored(problem, answer.fields, body, checksum)
        return Put(answer.fields.get("etag", "").strip('"'), answer.fields.get("x-amz-version-id", ""))

    def get_object(
        self, bucket: str, key: str, *, offset: int = 0, length: int | None = None, version_id: str = "", etag: str = ""
    ) -> Download:
        """Begin to read an object or the range [offset, offset + length) of it, which must not be empty; with `etag`
        only if it is that one.
        """
        headers = {"if-match": f'"{etag}"'} if etag else {}
        request = Request(
            self.problem("read", bucket, key), "GET", bucket, named(key), version_query(version_id), headers
        )
        return Download(self.transport, request, offset, length)

    def get_bytes(self, bucket: str, key: str, most_bytes: int, *, version_id: str = "") -> tuple[bytes, Stored]:
        """Read a whole object of at most `most_bytes`, and compare it with the checksum that the server keeps."""
        return flight.alone(self.get_task(bucket, key, most_bytes, version_id=version_id))

    def get_task(
        self, bucket: str, key: str, most_bytes: int, *, version_id: str = ""
    ) -> flight.Task[tuple[bytes, Stored]]:
        """Read a whole object, as `get_bytes` does."""
        problem = self.problem("read", bucket, key)
        headers = {"x-amz-checksum-mode": "ENABLED"}
        request = Request(problem, "GET", bucket, named(key), version_query(version_id), headers)
        answer = yield flight.Ask(self.transport, request, most_bytes)
        integrity.confirm_received(problem, answer.fields, answer.body)
        return answer.body, stored(problem, answer.fields, len(answer.body))

    def head(self, bucket: str, key: str, *, version_id: str = "") -> Stored | None:
        """Return what the server says of an object, or None when there is none in a bucket that is there."""
        return flight.alone(self.head_task(bucket, key, version_id=version_id))

    def head_task(self, bucket: str, key: str, *, version_id: str = "") -> flight.Task[Stored | None]:
        """Look at an object, as `head` does."""
        problem = self.problem("look at", bucket, key)
        request = Request(problem, "HEAD", bucket, named(key), version_query(version_id))
        try:
            answer = yield flight.Ask(self.transport, request)
        except failure.S3Error as error:
            if error.code in ("NoSuchKey", "NoSuchVersion"):
                return None
            if error.status != 404 or error.code:
                raise
        else:
            return stored(problem, answer.fields)
        # A 404 without a body does not tell a missing object from a missing bucket; a GET does.
        try:
            self.transport.begun(request._replace(method="GET", headers={"range": "bytes=0-0"})).end()
        except failure.S3Error as error:
            if error.is_missing_key:
                return None
            raise
        return stored(problem, self.transport.whole(request).fields)

    def delete(self, bucket: str, key: str, *, version_id: str = "", signed_at: SignedAt = None) -> None:
        """Delete an object (where there are versions: put a delete marker), or one version for good.

        With `signed_at` the request is not repeated after a lost answer: its time is a promise of the caller, who must
        look first. Then the outcome is unknown (code LostAnswer, or a status of 500 and more).
        """
        self.transport.whole(
            Request(
                self.problem("delete", bucket, key),
                "DELETE",
                bucket,
                named(key),
                version_query(version_id),
                once=signed_at is not None,
                signed_at=signed_at,
                step="delete",
            )
        )

    def presigned_url(self, method: str, bucket: str, key: str, expires_s: int) -> str:
        """Return a URL with which anybody may GET or PUT this object for `expires_s` seconds (at most 7 days): it is a
        secret.
        """
        hostname, root = self.endpoint.location(bucket)
        host, path = self.endpoint.host_header(hostname), f"{root}/{signature.encoded_key(named(key))}"
        signer = signature.Signer(self.endpoint.region)
        query = signer.presigned_query(self._source(), clock.now(), method, host, path, expires_s)
        return f"{self.endpoint.scheme}://{host}{path}?{query}"

    # Listings

    def list_objects(self, bucket: str, prefix: str = "", start_after: str = "") -> t.Iterator[listing.Listed]:
        """List objects by ListObjectsV2, in the order of their UTF-8 bytes."""
        problem = self.problem("list", bucket, prefix)
        return listing.objects(self.fetch(problem, bucket), problem, prefix, start_after)

    def list_detailed(self, bucket: str, prefix: str = "", start_after: str = "") -> t.Iterator[DetailedPage]:
        """List objects, page by page, with their metadata, tags and locks, which MinIO alone shows; other servers give
        a plain listing.
        """
        problem = self.problem("list", bucket, prefix)
        return detailed_listing.pages(self.fetch(problem, bucket), problem, prefix, start_after)

    def list_plain(self, bucket: str, prefix: str = "", start_after: str = "") -> t.Iterator[DetailedPage]:
        """List objects, page by page, without metadata, tags and locks."""
        problem = self.problem("list", bucket, prefix)
        return detailed_listing.pages(self.fetch(problem, bucket), problem, prefix, start_after, is_plain=True)

    def list_versions(self, bucket: str, prefix: str = "") -> t.Iterator[listing.Listed]:
        """List versions and delete markers by ListObjectVersions: keys in order, of each key the newest first.

        A server that says that it has no such listing has no versions: of it the objects are listed.
        """
        problem = self.problem("list versions of", bucket, prefix)
        has_begun = False
        try:
            for each in listing.versions(self.fetch(problem, bucket), problem, prefix):
                has_begun = True
                yield each
        except failure.S3Error as error:
            if has_begun or error.code != "NotImplemented":
                raise
            yield from self.list_objects(bucket, prefix)

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import datetime as dt
import typing as t
import xml.sax.saxutils

from .. import clock
from ..errors import UsageError
from . import credentials as credential
from . import failure, integrity, listing, signature, whitelist
from .connection import Body
from .download import Download, Stored, stored
from .endpoint import Endpoint
from .transport import MOST_XML, Answer, Request, SignedAt, Transport

Headers = t.Mapping[str, str]  # by lower-case name


@dataclasses.dataclass(frozen=True)
class Put:
    """What the server says of an object that it took."""

    etag: str  # without quotes; opaque
    version_id: str  # empty where there are no versions


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of a multipart upload that the server holds."""

    number: int  # 1 to 10,000
    etag: str  # without quotes
    crc32: str  # base64


class S3Client:
    """The requests of the S3 interface that Lifeboat sends. All methods raise S3Error; several threads may use it."""

    def __init__(self, endpoint: Endpoint, source: credential.Source | None = None) -> None:
        self.endpoint = endpoint
        self._source = source or credential.source_for(endpoint)
        self.transport = Transport(endpoint, self._source)

    def close(self) -> None:
        """Close idle connections; the client can be used again."""
        self.transport.close()

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
        body: Body = (data,) if isinstance(data, bytes) else data
        checksum = integrity.crc32(body)
        fields = {**(headers or {}), integrity.HEADER: checksum}
        if only_if_new:
            fields["if-none-match"] = "*"
        if only_if_etag:
            fields["if-match"] = f'"{only_if_etag}"'
        problem = self._problem("write", bucket, key)
        answer = self.transport.whole(
            Request(
                problem,
                "PUT",
                bucket,
                _named(key),
                (),
                fields,
                body,
                once=only_if_new or bool(only_if_etag),
                signed_at=signed_at,
                step="put",
            )
        )
        integrity.confirm_stored(problem, answer.fields, body, checksum)
        return Put(answer.fields.get("etag", "").strip('"'), answer.fields.get("x-amz-version-id", ""))

    def get_object(
        self, bucket: str, key: str, *, offset: int = 0, length: int | None = None, version_id: str = "", etag: str = ""
    ) -> Download:
        """Begin to read an object or the range [offset, offset + length) of it, which must not be empty; with `etag`
        only if it is that one.
        """
        headers = {"if-match": f'"{etag}"'} if etag else {}
        request = Request(self._problem("read", bucket, key), "GET", bucket, _named(key), _version(version_id), headers)
        return Download(self.transport, request, offset, length)

    def get_bytes(self, bucket: str, key: str, most_bytes: int, *, version_id: str = "") -> tuple[bytes, Stored]:
        """Read a whole object of at most `most_bytes`, and compare it with the checksum that the server keeps."""
        problem = self._problem("read", bucket, key)
        request = Request(problem, "GET", bucket, _named(key), _version(version_id), {"x-amz-checksum-mode": "ENABLED"})
        answer = self.transport.whole(request, most_bytes)
        integrity.confirm_received(problem, answer.fields, answer.body)
        found = stored(problem, {**answer.fields, "content-length": str(len(answer.body))})
        return answer.body, found

    def head(self, bucket: str, key: str, *, version_id: str = "") -> Stored | None:
        """Return what the server says of an object, or None when there is none in a bucket that is there."""
        problem = self._problem("look at", bucket, key)
        request = Request(problem, "HEAD", bucket, _named(key), _version(version_id))
        try:
            return stored(problem, self.transport.whole(request).fields)
        except failure.S3Error as error:
            if error.code in ("NoSuchKey", "NoSuchVersion"):
                return None
            if error.status != 404 or error.code:
                raise
        # A 404 without a body does not tell a missing object from a missing bucket; a GET does.
        try:
            self.transport.begun(dataclasses.replace(request, method="GET", headers={"range": "bytes=0-0"})).end()
        except failure.S3Error as error:
            if error.is_missing_key:
                return None
            raise
        return stored(problem, self.transport.whole(request).fields)

    def delete(self, bucket: str, key: str, *, version_id: str = "", signed_at: SignedAt = None) -> None:
        """Delete an object (where there are versions: put a delete marker), or one version for good."""
        self.transport.whole(
            Request(
                self._problem("delete", bucket, key),
                "DELETE",
                bucket,
                _named(key),
                _version(version_id),
                signed_at=signed_at,
                step="delete",
            )
        )

    def presigned_url(self, method: str, bucket: str, key: str, expires_s: int) -> str:
        """Return a URL with which anybody may GET or PUT this object for `expires_s` seconds (at most 7 days): it is a
        secret.
        """
        hostname, root = self.endpoint.location(bucket)
        host, path = self.endpoint.host_header(hostname), f"{root}/{signature.encoded_key(_named(key))}"
        signer = signature.Signer(self.endpoint.region)
        query = signer.presigned_query(self._source(), clock.now(), method, host, path, expires_s)
        return f"{self.endpoint.scheme}://{host}{path}?{query}"

    # Listings

    def list_objects(self, bucket: str, prefix: str = "", start_after: str = "") -> t.Iterator[listing.Listed]:
        """List objects by ListObjectsV2, in the order of their UTF-8 bytes."""
        problem = self._problem("list", bucket, prefix)
        return listing.objects(self._fetch(problem, bucket), problem, prefix, start_after)

    def list_versions(self, bucket: str, prefix: str = "") -> t.Iterator[listing.Listed]:
        """List versions and delete markers by ListObjectVersions: keys in order, of each key the newest first."""
        problem = self._problem("list versions of", bucket, prefix)
        return listing.versions(self._fetch(problem, bucket), problem, prefix)

    def list_uploads(self, bucket: str, prefix: str = "") -> list[tuple[str, str]]:
        """Return (key, upload id) of the first 1,000 unfinished multipart uploads. MinIO finds them by their exact key
        only.
        """
        problem = self._problem("list uploads of", bucket, prefix)
        page = self._fetch(problem, bucket)([("uploads", ""), ("prefix", prefix)])
        try:
            root = listing.parse_xml(page, "ListMultipartUploadsResult")
        except listing.MalformedPage as error:
            raise failure.S3Error(problem, 200, failure.BAD_ANSWER, str(error)) from error
        return [(item.findtext("Key") or "", item.findtext("UploadId") or "") for item in root.findall("Upload")]

    # Multipart uploads

    def create_upload(
        self, bucket: str, key: str, headers: Headers | None = None, *, signed_at: SignedAt = None
    ) -> str:
        """Begin a multipart upload and return its id."""
        problem = self._problem("begin to write", bucket, key)
        fields = {**(headers or {}), **integrity.ALGORITHM_HEADERS}
        answer = self.transport.whole(
            Request(problem, "POST", bucket, _named(key), (("uploads", ""),), fields, signed_at=signed_at, step="begin")
        )
        upload_id = _xml(problem, answer, "InitiateMultipartUploadResult").get("UploadId")
        if not upload_id:
            raise failure.S3Error(problem, answer.status, failure.BAD_ANSWER, "the answer has no upload id")
        return upload_id

    def put_part(
        self, bucket: str, key: str, upload_id: str, number: int, body: Body, *, signed_at: SignedAt = None
    ) -> Part:
        """Send one part, checked by the server and against its answer."""
        problem = self._problem(f"write part {number} of", bucket, key)
        checksum = integrity.crc32(body)
        query = (("partNumber", str(number)), ("uploadId", upload_id))
        answer = self.transport.whole(
            Request(
                problem,
                "PUT",
                bucket,
                _named(key),
                query,
                {integrity.HEADER: checksum},
                body,
                signed_at=signed_at,
                step="part",
            )
        )
        integrity.confirm_stored(problem, answer.fields, body, checksum)
        return Part(number, answer.fields.get("etag", "").strip('"'), checksum)

    def complete_upload(
        self, bucket: str, key: str, upload_id: str, parts: t.Sequence[Part], *, signed_at: SignedAt = None
    ) -> Put:
        """Make an object of the parts. After a first answer that was lost a repetition fails with NoSuchUpload: look
        whether the object is there.
        """
        problem = self._problem("finish", bucket, key)
        rows = "".join(
            f"<Part><PartNumber>{part.number}</PartNumber><ETag>&quot;{xml.sax.saxutils.escape(part.etag)}&quot;</ETag>"
            f"<ChecksumCRC32>{part.crc32}</ChecksumCRC32></Part>"
            for part in sorted(parts, key=lambda part: part.number)
        )
        document = (
            f'<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{rows}</CompleteMultipartUpload>'
        )
        answer = self.transport.whole(
            Request(
                problem,
                "POST",
                bucket,
                _named(key),
                (("uploadId", upload_id),),
                {"content-type": "application/xml"},
                (document.encode(),),
                signed_at=signed_at,
                step="complete",
            )
        )
        # The status is sent before the work is done: an error can come in an answer with status 200.
        values = _xml(problem, answer, "CompleteMultipartUploadResult")
        return Put(values.get("ETag", "").strip('"'), answer.fields.get("x-amz-version-id", ""))

    def abort_upload(self, bucket: str, key: str, upload_id: str, *, signed_at: SignedAt = None) -> None:
        """Drop a multipart upload and its parts; one that is not there is no error."""
        problem = self._problem("drop the upload of", bucket, key)
        query = (("uploadId", upload_id),)
        try:
            self.transport.whole(
                Request(problem, "DELETE", bucket, _named(key), query, signed_at=signed_at, step="abort")
            )
        except failure.S3Error as error:
            if error.code != "NoSuchUpload":
                raise

    # Buckets

    def document(
        self, method: str, bucket: str, subresource: str, body: bytes = b"", headers: Headers | None = None
    ) -> bytes:
        """GET, PUT or DELETE a bucket's document (policy, lifecycle, versioning …) as the server writes it.

        Raises UsageError for words that some server takes for a deletion or a creation of the bucket (see `whitelist`).
        """
        if method not in ("GET", "PUT", "DELETE") or (method == "GET" and subresource not in whitelist.READABLE):
            raise UsageError(
                f"Refusing to send {method} for the {subresource} of s3://{bucket}", "it is no known document"
            )
        verb = {"GET": "read", "PUT": "set", "DELETE": "remove"}[method]
        problem = f"Cannot {verb} the {subresource} of s3://{bucket} at {self.endpoint.url}"
        fields = dict(headers or {})
        if method == "PUT":
            # MinIO takes some documents only with this header (MissingContentMD5).
            fields["content-md5"] = integrity.base64_md5(body)
        step = "" if method == "GET" else "document"
        request = Request(problem, method, bucket, "", ((subresource, ""),), fields, (body,) if body else (), step=step)
        return self.transport.whole(request).body

    def create_bucket(self, bucket: str, *, object_lock: bool = False) -> None:
        """Create a bucket in the endpoint's region."""
        region = self.endpoint.region
        body = b""
        if region != "us-east-1":
            body = (
                '<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
                f"<LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>"
            ).encode()
        headers = {"x-amz-bucket-object-lock-enabled": "true"} if object_lock else {}
        problem = self._problem("create the bucket", bucket, "")
        self.transport.whole(
            Request(problem, "PUT", bucket, "", (), headers, (body,) if body else (), once=True, step="bucket")
        )

    def delete_bucket(self, bucket: str) -> None:
        """Delete an empty bucket."""
        self.transport.whole(
            Request(self._problem("delete the bucket", bucket, ""), "DELETE", bucket, once=True, step="bucket")
        )

    def bucket_exists(self, bucket: str) -> bool:
        """Say whether a bucket is there; needs the right to list it."""
        try:
            self.transport.whole(Request(self._problem("look at the bucket", bucket, ""), "HEAD", bucket))
        except failure.S3Error as error:
            if error.status == 404:
                return False
            raise
        return True

    def server_time(self, bucket: str, key: str) -> dt.datetime:
        """Return the server's clock (whole seconds), from the answer to a HEAD of `key`, which need not be there nor
        be allowed.
        """
        problem = self._problem("ask the time of the server of", bucket, "")
        try:
            fields = self.transport.whole(Request(problem, "HEAD", bucket, _named(key))).fields
        except failure.S3Error as error:
            if not 400 <= error.status < 500:
                raise
            fields = error.fields
        try:
            return clock.from_http_date(fields.get("date", ""))
        except ValueError as error:
            raise failure.S3Error(problem, 200, failure.BAD_ANSWER, "the answer has no date") from error

    def skew(self, bucket: str, key: str) -> dt.timedelta:
        """Return how far the server's clock is before this host's, to about a second and the time of one request."""
        return self.server_time(bucket, key) - clock.now()

    def _fetch(self, problem: str, bucket: str) -> listing.Fetch:
        return lambda query: self.transport.whole(Request(problem, "GET", bucket, "", tuple(query)), MOST_XML).body

    def _problem(self, verb: str, bucket: str, key: str) -> str:
        return f"Cannot {verb} s3://{bucket}/{key} at {self.endpoint.url}"


def _named(key: str) -> str:
    """Return `key`; an empty one would turn a request for an object into one for its bucket."""
    if not key:
        raise UsageError(
            "Refusing to send a request for an object without a key", "", "this is a bug in the caller: report it"
        )
    return key


def _version(version_id: str) -> tuple[tuple[str, str], ...]:
    return (("versionId", version_id),) if version_id else ()


def _xml(problem: str, answer: Answer, root: str) -> dict[str, str]:
    try:
        return {item.tag: item.text or "" for item in listing.parse_xml(answer.body, root)}
    except listing.MalformedPage as error:
        refusal = failure.from_answer(problem, answer.status, answer.fields, answer.body)
        if b"<Error>" in answer.body and refusal.code:
            raise refusal from error
        raise failure.S3Error(problem, answer.status, failure.BAD_ANSWER, str(error)) from error

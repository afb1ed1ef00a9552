# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime as dt

from .. import clock
from ..errors import UsageError
from . import failure, integrity, listing, whitelist
from .calls import Calls, Headers, named
from .transport import Request


class BucketCalls(Calls):
    """The requests for buckets as a whole. All raise S3Error."""

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
        problem = self.problem("create the bucket", bucket, "")
        self.transport.whole(
            Request(problem, "PUT", bucket, "", (), headers, (body,) if body else (), once=True, step="bucket")
        )

    def delete_bucket(self, bucket: str) -> None:
        """Delete an empty bucket."""
        self.transport.whole(
            Request(self.problem("delete the bucket", bucket, ""), "DELETE", bucket, once=True, step="bucket")
        )

    def list_buckets(self) -> list[str]:
        """Return the names of all buckets that the access key may see, in their order."""
        problem = f"Cannot list the buckets at {self.endpoint.url}"
        answer = self.transport.whole(Request(problem, "GET", ""))
        try:
            root = listing.parse_xml(answer.body, "ListAllMyBucketsResult")
        except listing.MalformedPage as error:
            raise failure.S3Error(problem, answer.status, failure.BAD_ANSWER, str(error)) from error
        return sorted(name.text or "" for name in root.findall("Buckets/Bucket/Name"))

    def bucket_exists(self, bucket: str) -> bool:
        """Say whether a bucket is there; needs the right to list it."""
        try:
            self.transport.whole(Request(self.problem("look at the bucket", bucket, ""), "HEAD", bucket))
        except failure.S3Error as error:
            if error.status == 404:
                return False
            raise
        return True

    def server_time(self, bucket: str, key: str) -> dt.datetime:
        """Return the server's clock (whole seconds), from the answer to a HEAD of `key`, which need not be there nor
        be allowed.
        """
        problem = self.problem("ask the time of the server of", bucket, "")
        try:
            fields = self.transport.whole(Request(problem, "HEAD", bucket, named(key))).fields
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

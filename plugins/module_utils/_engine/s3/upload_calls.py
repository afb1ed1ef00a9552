# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t
import xml.sax.saxutils

from . import failure, integrity, listing
from .calls import Calls, Headers, Part, Put, copy_source, named, xml_values
from .connection import Body
from .transport import Request, SignedAt


class UploadCalls(Calls):
    """The requests of multipart uploads. All raise S3Error."""

    def create_upload(
        self,
        bucket: str,
        key: str,
        headers: Headers | None = None,
        *,
        of_copies: bool = False,
        signed_at: SignedAt = None,
    ) -> str:
        """Begin a multipart upload and return its id; `of_copies`: of parts that the server copies by itself."""
        problem = self.problem("begin to write", bucket, key)
        # MinIO gives copied parts no checksum, and refuses to complete an upload that asks for them.
        fields = {**(headers or {}), **({} if of_copies else integrity.ALGORITHM_HEADERS)}
        answer = self.transport.whole(
            Request(problem, "POST", bucket, named(key), (("uploads", ""),), fields, signed_at=signed_at, step="begin")
        )
        upload_id = xml_values(problem, answer, "InitiateMultipartUploadResult").get("UploadId")
        if not upload_id:
            raise failure.S3Error(problem, answer.status, failure.BAD_ANSWER, "the answer has no upload id")
        return upload_id

    def put_part(
        self, bucket: str, key: str, upload_id: str, number: int, body: Body, *, signed_at: SignedAt = None
    ) -> Part:
        """Send one part, checked by the server and against its answer."""
        problem = self.problem(f"write part {number} of", bucket, key)
        checksum = integrity.crc32(body)
        query = (("partNumber", str(number)), ("uploadId", upload_id))
        answer = self.transport.whole(
            Request(
                problem,
                "PUT",
                bucket,
                named(key),
                query,
                {integrity.HEADER: checksum},
                body,
                signed_at=signed_at,
                step="part",
            )
        )
        integrity.confirm_stored(problem, answer.fields, body, checksum)
        return Part(number, answer.fields.get("etag", "").strip('"'), checksum)

    def copy_part(
        self,
        bucket: str,
        key: str,
        upload_id: str,
        number: int,
        source: tuple[str, str],
        offset: int,
        length: int,
        *,
        source_version_id: str = "",
        source_etag: str = "",
    ) -> Part:
        """Let the server take a range of another object of its own, (bucket, key), as a part."""
        problem = self.problem(f"copy part {number} of", bucket, key)
        headers = copy_source(*source, source_version_id, source_etag)
        headers["x-amz-copy-source-range"] = f"bytes={offset}-{offset + length - 1}"
        query = (("partNumber", str(number)), ("uploadId", upload_id))
        answer = self.transport.whole(Request(problem, "PUT", bucket, named(key), query, headers, step="part"))
        values = xml_values(problem, answer, "CopyPartResult")
        return Part(number, values.get("ETag", "").strip('"'), values.get("ChecksumCRC32", ""))

    def complete_upload(
        self, bucket: str, key: str, upload_id: str, parts: t.Sequence[Part], *, signed_at: SignedAt = None
    ) -> Put:
        """Make an object of the parts. After a first answer that was lost a repetition fails with NoSuchUpload: look
        whether the object is there.
        """
        problem = self.problem("finish", bucket, key)
        rows = "".join(
            f"<Part><PartNumber>{part.number}</PartNumber><ETag>&quot;{xml.sax.saxutils.escape(part.etag)}&quot;</ETag>"
            f"{_checksum(part)}</Part>"
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
                named(key),
                (("uploadId", upload_id),),
                {"content-type": "application/xml"},
                (document.encode(),),
                signed_at=signed_at,
                step="complete",
            )
        )
        # The status is sent before the work is done: an error can come in an answer with status 200.
        values = xml_values(problem, answer, "CompleteMultipartUploadResult")
        return Put(values.get("ETag", "").strip('"'), answer.fields.get("x-amz-version-id", ""))

    def abort_upload(self, bucket: str, key: str, upload_id: str, *, signed_at: SignedAt = None) -> None:
        """Drop a multipart upload and its parts; one that is not there is no error."""
        problem = self.problem("drop the upload of", bucket, key)
        query = (("uploadId", upload_id),)
        try:
            self.transport.whole(
                Request(problem, "DELETE", bucket, named(key), query, signed_at=signed_at, step="abort")
            )
        except failure.S3Error as error:
            if error.code != "NoSuchUpload":
                raise

    def list_uploads(self, bucket: str, prefix: str = "") -> list[tuple[str, str]]:
        """Return (key, upload id) of the first 1,000 unfinished multipart uploads. MinIO finds them by their exact key
        only.
        """
        problem = self.problem("list uploads of", bucket, prefix)
        page = self.fetch(problem, bucket)([("uploads", ""), ("prefix", prefix)])
        try:
            root = listing.parse_xml(page, "ListMultipartUploadsResult")
        except listing.MalformedPage as error:
            raise failure.S3Error(problem, 200, failure.BAD_ANSWER, str(error)) from error
        return [(item.findtext("Key") or "", item.findtext("UploadId") or "") for item in root.findall("Upload")]


def _checksum(part: Part) -> str:
    """Return the element of a part's checksum; a part that the server copied may have none that we know."""
    return f"<ChecksumCRC32>{part.crc32}</ChecksumCRC32>" if part.crc32 else ""

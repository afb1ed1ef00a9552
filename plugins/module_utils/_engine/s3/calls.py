# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import hashlib
import typing as t

from ..errors import UsageError
from . import failure, listing, object_properties, signature
from .endpoint import Endpoint
from .object_properties import ObjectProperties
from .transport import MOST_XML, Answer, Request, Transport

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


def composite_etag(parts: t.Sequence[Part]) -> str:
    """Return the ETag of an object made of `parts`: the MD5 of their MD5s, and their count; empty where the server
    gives parts other ETags than MD5.
    """
    try:
        digests = b"".join(bytes.fromhex(part.etag) for part in parts)
    except ValueError:
        return ""
    return f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(parts)}"


@dataclasses.dataclass(frozen=True)
class PartLayout:
    """How a multipart object is cut; its ETag depends on it. All parts but the last have the same size."""

    part_size: int  # bytes of the first part
    parts: int  # 1 to 10,000

    def fits(self, size: int) -> bool:
        """Say whether an object of `size` bytes can be cut like this; those with unequal parts cannot."""
        return (self.parts - 1) * self.part_size < size <= self.parts * self.part_size


class Calls:
    """What all requests to one endpoint share."""

    endpoint: Endpoint
    transport: Transport

    def fetch(self, problem: str, bucket: str) -> listing.Fetch:
        """Return what fetches a page of a listing of the bucket."""
        return lambda query: self.transport.whole(Request(problem, "GET", bucket, "", tuple(query)), MOST_XML).body

    def property_fields(self, properties: ObjectProperties) -> dict[str, str]:
        """Return the headers with which this server takes an object's properties."""
        return object_properties.to_fields(properties, encodes_metadata=self.endpoint.is_aws)

    def problem(self, verb: str, bucket: str, key: str) -> str:
        """Return what could not be done, for errors."""
        return f"Cannot {verb} s3://{bucket}/{key} at {self.endpoint.url}"


def named(key: str) -> str:
    """Return `key`; an empty one would turn a request for an object into one for its bucket."""
    if not key:
        raise UsageError(
            "Refusing to send a request for an object without a key", "", "this is a bug in the caller: report it"
        )
    return key


def copy_source(bucket: str, key: str, version_id: str = "", etag: str = "") -> dict[str, str]:
    """Return the headers that name what is copied on the server; with `etag` only if it is still that one."""
    source = f"/{bucket}/{signature.encoded_key(named(key))}"
    if version_id:
        source += f"?{signature.encoded_query(version_query(version_id))}"
    condition = {"x-amz-copy-source-if-match": f'"{etag}"'} if etag else {}
    return {"x-amz-copy-source": source, **condition}


def version_query(version_id: str) -> tuple[tuple[str, str], ...]:
    """Return the query that names a version."""
    return (("versionId", version_id),) if version_id else ()


def xml_values(problem: str, answer: Answer, root: str) -> dict[str, str]:
    """Return the texts of an answer's elements by their names. Raises S3Error, also for an error that came with
    success.
    """
    try:
        return {item.tag: item.text or "" for item in listing.parse_xml(answer.body, root)}
    except listing.MalformedPage as error:
        refusal = failure.from_answer(problem, answer.status, answer.fields, answer.body)
        if b"<Error>" in answer.body and refusal.code:
            raise refusal from error
        raise failure.S3Error(problem, answer.status, failure.BAD_ANSWER, str(error)) from error

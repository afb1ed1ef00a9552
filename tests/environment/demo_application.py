# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The application that the demo loses: a database, and a bucket of documents that its rows name."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import hashlib
import importlib
import json
import random
import struct
import typing as t
import urllib.parse
import zlib
from pathlib import Path

import boto3
import boto3.session
import botocore.config
from servers import MinioServer, PostgresServer

DATABASE = "archive"
BUCKET = "documents"
DOCUMENTS = 2400
PREVIEWS = 300
_SEED = 20260101
_WRITERS = 8
_OVERWRITTEN = 60
# The collection's own client: boto3 would take five times as long.
_S3 = "ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3"
_SCHEMA = Path(__file__).with_name("demo_database.sql")


@dataclasses.dataclass(frozen=True)
class Document:
    """An object of the bucket, and the row that names it."""

    key: str
    customer: int
    content_type: str
    data: bytes
    metadata: dict[str, str]
    tags: dict[str, str]

    def row(self) -> str:
        """Return the row of documents.document in COPY's text format; nothing in it needs escapes but backslashes."""
        described = json.dumps({"size": len(self.data), **self.metadata, "tags": self.tags})
        digest = "\\\\x" + hashlib.sha256(self.data).hexdigest()
        return "\t".join([self.key, str(self.customer), self.content_type, str(len(self.data)), digest, described])


def documents(count: int = DOCUMENTS) -> t.Iterator[Document]:
    """Yield small valid PDF and PNG files, the same ones each time."""
    source = random.Random(_SEED)
    for number in range(1, count + 1):
        year = 2019 + number % 8
        is_picture = number % 3 == 0
        content = png(source) if is_picture else pdf(f"Document {number}", source.randbytes(source.randint(500, 9000)))
        yield Document(
            key=f"{year}/{number % 97:02d}/document-{number:05d}.{'png' if is_picture else 'pdf'}",
            customer=1 + number * 13 % 4000,
            content_type="image/png" if is_picture else "application/pdf",
            data=content,
            metadata={"document-id": str(number), "scanned-by": f"device-{number % 5}"},
            tags={"year": str(year), "class": "scan" if is_picture else "letter"},
        )


def png(source: random.Random) -> bytes:
    """Return a picture of 8-bit grey noise (PNG specification, third edition, sections 5 and 11)."""
    width, height = source.randint(16, 96), source.randint(16, 96)
    rows = b"".join(b"\0" + source.randbytes(width) for _row in range(height))
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows, 1)),
        (b"IEND", b""),
    ]
    packed = (struct.pack(">I", len(b)) + n + b + struct.pack(">I", zlib.crc32(n + b)) for n, b in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def pdf(title: str, attached: bytes) -> bytes:
    """Return a page with a title and a stream of data beside it (ISO 32000-1, section 7.5)."""
    shown = f"BT /F1 18 Tf 60 760 Td ({title}) Tj ET".encode()
    bodies = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R"
        b" /Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>",
        b"<< /Length %d >>\nstream\n%b\nendstream" % (len(shown), shown),
        b"<< /Length %d >>\nstream\n%b\nendstream" % (len(attached), attached),
    ]
    written = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    places = []
    for number, body in enumerate(bodies, 1):
        places.append(len(written))
        written += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    head = b"xref\n0 %d\n0000000000 65535 f \n" % (len(bodies) + 1)
    tail = b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(bodies) + 1, len(written))
    return bytes(written) + head + table + tail


def fill_database(postgres: PostgresServer) -> None:
    """Create the database and fill it. Raises SetupError."""
    postgres.sql(f"CREATE DATABASE {DATABASE} TEMPLATE template0 ENCODING 'UTF8'")
    rows = "\n".join(document.row() for document in documents())
    statements = [
        _SCHEMA.read_text(encoding="utf-8"),
        f"COPY documents.document FROM STDIN;\n{rows}\n\\.\n",
        # A preview is a large object of some kilobytes that its row points to.
        f"""INSERT INTO documents.preview SELECT key, lo_from_bytea(0, convert_to(repeat(md5(key), 200), 'UTF8'))
            FROM documents.document ORDER BY key LIMIT {PREVIEWS};""",
        "REFRESH MATERIALIZED VIEW billing.revenue;",
    ]
    postgres.sql("\n".join(statements), DATABASE)


def work_on(postgres: PostgresServer, invoices: int) -> None:
    """Write some invoices, as people do between the last backup and the disaster."""
    postgres.sql(
        f"""WITH new AS (INSERT INTO billing.invoice (contract, issued)
              SELECT g, timestamptz '2026-11-20' FROM generate_series(1, {invoices}) g RETURNING id)
            INSERT INTO billing.invoice_line SELECT id, 0, 'Written after the backup', 1, 9.90 FROM new""",
        DATABASE,
    )


def client(minio: MinioServer) -> t.Any:
    """Return a client that is not the one that Lifeboat uses."""
    return boto3.session.Session().client(
        "s3",
        endpoint_url=minio.endpoint,
        aws_access_key_id=minio.access_key,
        aws_secret_access_key=minio.secret_key,
        region_name="us-east-1",
        config=botocore.config.Config(proxies={}),
    )


def fill_bucket(minio: MinioServer) -> int:
    """Write all documents into the bucket, with their metadata and tags, and return how many bytes they have."""
    endpoint = importlib.import_module(f"{_S3}.endpoint").Endpoint(
        url=minio.endpoint, access_key=minio.access_key, secret_key=minio.secret_key
    )
    s3 = importlib.import_module(f"{_S3}.client").S3Client(endpoint)

    def put(document: Document) -> int:
        headers = {f"x-amz-meta-{name}": value for name, value in document.metadata.items()}
        headers |= {"content-type": document.content_type, "x-amz-tagging": urllib.parse.urlencode(document.tags)}
        s3.put_object(BUCKET, document.key, document.data, headers)
        return len(document.data)

    with contextlib.ExitStack() as stack:
        stack.callback(s3.close)
        pool = concurrent.futures.ThreadPoolExecutor(_WRITERS)
        stack.callback(pool.shutdown, cancel_futures=True)
        return sum(pool.map(put, documents()))


def damage_bucket(minio: MinioServer) -> None:
    """Delete the documents of one year, and overwrite some of another with what nobody can read."""
    s3, source = client(minio), random.Random(_SEED + 1)
    keys = sorted(keys_in_bucket(minio))
    deleted = [key for key in keys if key.startswith("2021/")]
    s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": key} for key in deleted], "Quiet": True})
    for key in [key for key in keys if key.startswith("2024/")][:_OVERWRITTEN]:
        s3.put_object(Bucket=BUCKET, Key=key, Body=source.randbytes(4000))


def keys_in_bucket(minio: MinioServer) -> dict[str, int]:
    """Return the keys of the bucket and their sizes in bytes."""
    pages = client(minio).get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    return {entry["Key"]: int(entry["Size"]) for page in pages for entry in page.get("Contents", [])}

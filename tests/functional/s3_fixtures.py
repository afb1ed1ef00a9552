# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import shutil
import sys
import typing as t
from pathlib import Path

import boto3
import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.client import S3Client
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.endpoint import Endpoint
from ansible_collections.lifeboat.recovery.tests.functional.quick_folder import quick_folder

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "environment"))

import servers

_numbers = itertools.count(1)
KMS = {"MINIO_KMS_SECRET_KEY": "my-key:bEJf9dCnQzrfkUVkFzcrXEuL3UIKdTsWk3gvfCQ6Bjo="}  # variables of a server
KMS_ENCRYPTION = (
    b"<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>aws:kms"
    b"</SSEAlgorithm><KMSMasterKeyID>my-key</KMSMasterKeyID></ApplyServerSideEncryptionByDefault></Rule>"
    b"</ServerSideEncryptionConfiguration>"
)
VERSIONED = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"


def endpoint_of(server: servers.MinioServer | servers.VersityServer, **changes: t.Any) -> Endpoint:
    """Return how the engine reaches a test server as its root user."""
    given = Endpoint(
        server.endpoint,
        access_key=server.access_key,
        secret_key=server.secret_key,
        ca_file=str(server.ca_file or ""),
        max_attempts=3,
    )
    return dataclasses.replace(given, **changes)


def limited(s3: S3Client, *statements: t.Mapping[str, t.Any]) -> S3Client:
    """Return a client whose key has the rights of these statements of a policy alone: those of a session, which any S3
    server of this kind grants.
    """
    given = s3.endpoint
    keys = {"aws_access_key_id": given.access_key, "aws_secret_access_key": given.secret_key}
    sts = boto3.client("sts", endpoint_url=given.url, region_name=given.region, **keys)
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
    role = {"RoleArn": "arn:aws:iam::123456789012:role/any", "RoleSessionName": "test"}
    found = sts.assume_role(**role, Policy=policy)["Credentials"]
    own = {"access_key": found["AccessKeyId"], "secret_key": found["SecretAccessKey"]}
    return S3Client(dataclasses.replace(given, **own, session_token=found["SessionToken"]))


@contextlib.contextmanager
def quick_server(prefix: str, **options: t.Any) -> t.Iterator[servers.MinioServer]:
    """Start a server in a folder of its own, and remove both in the end."""
    folder = quick_folder(prefix)
    try:
        with servers.MinioServer(folder, **options) as running:
            yield running
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def s3_server() -> t.Iterator[servers.MinioServer]:
    with quick_server("lbs-") as running:
        yield running


@pytest.fixture(scope="module")
def s3_tls_server() -> t.Iterator[servers.MinioServer]:
    with quick_server("lbs-", tls=True) as running:
        yield running


@pytest.fixture
def s3(s3_server: servers.MinioServer) -> t.Iterator[S3Client]:
    client = S3Client(endpoint_of(s3_server))
    yield client
    client.close()


@pytest.fixture
def s3_tls(s3_tls_server: servers.MinioServer) -> t.Iterator[S3Client]:
    client = S3Client(endpoint_of(s3_tls_server))
    yield client
    client.close()


@pytest.fixture
def bucket(s3: S3Client) -> str:
    """Return a fresh bucket without versions."""
    name = f"plain-{next(_numbers)}"
    s3.create_bucket(name)
    return name


@pytest.fixture
def versioned_bucket(s3: S3Client, bucket: str) -> str:
    """Return a fresh bucket with versions."""
    s3.document("PUT", bucket, "versioning", VERSIONED)
    return bucket

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import datetime as dt

from .. import clock
from ..errors import LifeboatError, UsageError
from ..repository import catalog, layout
from ..repository.bucket import BucketStore
from ..s3.client import S3Client
from ..stream.encryption import SUFFIX

DEFAULT_S = 3600
MOST_S = 7 * 24 * 3600  # Amazon S3 API, "Authenticating Requests: Using Query Parameters", X-Amz-Expires
METHODS = ("get", "put")


@dataclasses.dataclass(frozen=True)
class PresignedUrl:
    """A URL that lets anybody who has it do one thing for a while: a secret."""

    url: str = dataclasses.field(repr=False)
    bucket: str
    key: str
    expires: dt.datetime


def presigned(client: S3Client, method: str, bucket: str, key: str, expires_s: int = DEFAULT_S) -> PresignedUrl:
    """Return a URL that gets or puts one object; nothing is sent to the server. Raises UsageError."""
    problem = f"Cannot sign a URL for s3://{bucket}/{key}"
    if not 1 <= expires_s <= MOST_S:
        raise UsageError(problem, f"it would be valid for {expires_s} seconds", f"use 1 to {MOST_S}, which is 7 days")
    if not key:
        raise UsageError(problem, "it names no object", "give the key of one")
    # The server counts from the second in which it was signed.
    signed = clock.now().replace(microsecond=0)
    url = client.presigned_url(method.upper(), bucket, key, expires_s)
    return PresignedUrl(url, bucket, key, signed + dt.timedelta(seconds=expires_s))


def is_encrypted(name: str) -> bool:
    """Say whether a stored file is encrypted, as far as its name tells: who gets it cannot read it without the key."""
    return name.endswith(SUFFIX)


def stored_file(store: BucketStore, job: str, backup: str, name: str) -> tuple[str, str]:
    """Return the bucket and the key of a stored file of a backup: an id, `latest` or `latest_good`.

    Raises LifeboatError when there is no such backup or file, UsageError for what cannot be the name of one.
    """
    try:
        layout.checked_file_name(name)
    except ValueError as error:
        raise UsageError(
            f"Cannot find a stored file of {job}", str(error), "give the name that the list shows"
        ) from error
    found = catalog.choose(catalog.backups(store, job), backup, job, store.name, [store])
    key = layout.data(job, found.id, name)
    if store.stat(key) is None:
        raise LifeboatError(
            f"Cannot find {name} of backup {found.id} of {job}", f"{store.name} has no {key}", "look at its files.jsonl"
        )
    return store.place_of(key)

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import concurrent.futures
import itertools
import typing as t

from .. import clock
from ..errors import GuardRefusal, LifeboatError
from ..s3.client import S3Client
from ..s3.failure import S3Error
from ..s3.listing import Listed

_THREADS = 8
_BATCH = 1000  # versions between two looks at what failed
# MinIO lists `p/c` only when `p` is gone, so that each pass may find what the one before uncovered.
_MOST_PASSES = 100
_SHOWN = 5  # keys in a message


def refuse_locked(client: S3Client, bucket: str) -> None:
    """Look at every version of a bucket with object lock. Raises GuardRefusal when one is locked.

    Needs the rights to read retention and legal holds; without them servers leave the locks out of their answers.
    """
    versions = (entry for entry in client.list_versions(bucket) if not entry.is_delete_marker)
    for batch in _batches(versions):
        locked = [words for words in _parallel(lambda entry: _lock_of(client, bucket, entry), batch) if words]
        if locked:
            raise GuardRefusal(
                "object_lock",
                f"Cannot delete bucket {bucket}",
                f"it holds locked versions, such as {_some(locked)}",
                "wait until the locks have ended, or lift them with the rights to do so",
            )


def empty(client: S3Client, bucket: str) -> int:
    """Delete all versions, delete markers and listed uploads of a bucket, and return how many versions there were.

    One request for each: a batch document could not name keys with control characters (XML 1.0, section 2.2). Raises
    LifeboatError.
    """
    for key, upload_id in client.list_uploads(bucket):
        client.abort_upload(bucket, key, upload_id)
    deleted = 0
    for _pass in range(_MOST_PASSES):
        in_this_pass = sum(_delete(client, bucket, batch) for batch in _batches(client.list_versions(bucket)))
        if not in_this_pass:
            return deleted
        deleted += in_this_pass
    raise LifeboatError(
        f"Cannot empty bucket {bucket}",
        f"after {deleted} deletions there are still objects in it: somebody is writing to it",
        "stop what writes to it, then try again",
    )


def _delete(client: S3Client, bucket: str, batch: list[Listed]) -> int:
    def attempt(entry: Listed) -> str:
        try:
            client.delete(bucket, entry.key, version_id=entry.version_id)
        except S3Error as error:
            return f"{_name(entry)} ({error.cause})"
        return ""

    failed = [words for words in _parallel(attempt, batch) if words]
    if failed:
        raise LifeboatError(
            f"Cannot empty bucket {bucket}",
            f"{len(failed)} of {len(batch)} deletions were refused, such as {_some(failed)}",
            "look whether these versions are locked, and whether the access key may delete versions",
        )
    return len(batch)


def _lock_of(client: S3Client, bucket: str, entry: Listed) -> str:
    found = client.head(bucket, entry.key, version_id=entry.version_id)
    if found is None:
        return ""
    if found.fields.get("x-amz-object-lock-legal-hold", "").upper() == "ON":
        return f"{_name(entry)} (legal hold)"
    until = found.fields.get("x-amz-object-lock-retain-until-date", "")
    return f"{_name(entry)} (until {until})" if until and not _is_past(until, found.fields.get("date", "")) else ""


def _is_past(until: str, server_date: str) -> bool:
    # Both times are the server's: this host's clock may be wrong. What cannot be read counts as locked.
    try:
        return clock.from_text(until) <= clock.from_http_date(server_date)
    except ValueError:
        return False


def _name(entry: Listed) -> str:
    return f"{entry.key!r} version {entry.version_id}" if entry.version_id else repr(entry.key)


def _some(words: list[str]) -> str:
    return ", ".join(words[:_SHOWN])


def _batches(entries: t.Iterable[Listed]) -> t.Iterator[list[Listed]]:
    entries = iter(entries)
    while batch := list(itertools.islice(entries, _BATCH)):
        yield batch


def _parallel(work: t.Callable[[Listed], str], batch: list[Listed]) -> list[str]:
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(work, batch))

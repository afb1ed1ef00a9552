# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Small objects of a real server, read in this process and by others."""

from __future__ import annotations

import contextlib
import pathlib
import random

from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.bucket_source import BucketSource
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.changes import Wanted
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.gather import gather
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.pack_reader import member
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.pack_writer import PackWriter
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.reading_processes import (
    ReadingProcesses,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.rows import Item, Row
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.publish import Contents, Run
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.client import S3Client
from ansible_collections.lifeboat.recovery.tests.functional.s3_fixtures import bucket, s3, s3_server

__all__ = ["bucket", "s3", "s3_server"]

GONE = "000/gone"


def fill(s3: S3Client, bucket: str) -> dict[str, bytes]:
    contents = {}
    for number in range(300):
        key, data = f"{number % 7:03d}/{number} ü", random.Random(number).randbytes(number % 5 * 4000)
        headers = {"content-type": "text/plain", "x-amz-meta-number": str(number)}
        if number % 10 == 0:
            headers["x-amz-tagging"] = f"number={number}&empty="
        s3.put_object(bucket, key, data, headers)
        contents[key] = data
    for size in (256 * 1024, 256 * 1024 + 1, 3 * 1024 * 1024):
        contents[f"size/{size}"] = random.Random(size).randbytes(size)
        s3.put_object(bucket, f"size/{size}", contents[f"size/{size}"])
    return contents


def gathered(source: BucketSource, bucket: str, folder: pathlib.Path, is_forked: bool) -> dict[str, tuple[Row, bytes]]:
    folder.mkdir()
    store = DirectoryStore(str(folder))
    run = Run(store, "uploads")
    packs = PackWriter(run)
    steps = [Wanted(item, None, only_properties=False) for item in source.items(bucket)]
    steps.insert(0, Wanted(Item(GONE, 3, "e", "2026-11-21T02:36:20.639906Z"), None, only_properties=False))
    processes = ReadingProcesses(lambda _report: source, packs.compress, 2, 16, print) if is_forked else None
    with processes or contextlib.nullcontext() as readers:
        rows = [row for row in gather(source, bucket, iter(steps), packs, print, 16, readers) if isinstance(row, Row)]
    packs.finish()
    run.publish(Contents("bucket", {}, {}, {}, (), ()), ())
    return {row.key: (row._replace(location=None), b"".join(member(store, "uploads", row))) for row in rows}


def test_processes_and_this_one_read_the_same_of_a_bucket(s3: S3Client, bucket: str, tmp_path: pathlib.Path) -> None:
    contents = fill(s3, bucket)
    source = BucketSource(s3, [bucket])
    alone = gathered(source, bucket, tmp_path / "alone", is_forked=False)
    forked = gathered(source, bucket, tmp_path / "forked", is_forked=True)
    assert {key: data for key, (_row, data) in alone.items()} == contents
    assert forked == alone
    assert alone["000/0 ü"][0].properties == {
        "headers": {"content-type": "text/plain"},
        "metadata": {"number": "0"},
        "tags": {"number": "0", "empty": ""},
    }

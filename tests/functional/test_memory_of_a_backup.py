# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the engine's own process needs of memory for a whole job; pg_dump and pg_restore are not counted."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3 import multipart
from ansible_collections.lifeboat.recovery.tests.functional.fault_fixtures import Driver, Ended, Lab, Order, driver, lab

__all__ = ["driver", "lab"]

LIMIT_MIB = 160
# What allocators and threads make differ from run to run. How many parts are on their way to a bucket at once depends
# on which is slower just then, pg_dump or the server: the smaller database may meet only one part, the larger one all.
GROWTH_MIB = {"directory": 12, "bucket": 12 + multipart.IN_FLIGHT // multipart.MIB}
# Plain bytes as pg_dump writes them. The smaller one has more than the parts of an upload that are in memory at once.
SIZES_MB = (100, 400)

# Rows of 100,000 bytes as they are dumped. A sixth are the hexadecimal digits of random bytes, which come again after
# 100 MB only, beyond the reach of any compression; the rest is text of which every row has its own. Stored as it is, so
# that filling the table costs little.
_ROWS = """
CREATE TABLE scan (id int, image bytea, text text);
ALTER TABLE scan ALTER image SET STORAGE EXTERNAL, ALTER text SET STORAGE EXTERNAL;
CREATE TEMP TABLE noise AS SELECT j, string_agg(decode(md5(random()::text || i), 'hex'), '') AS bytes
  FROM generate_series(0, 1023) j, generate_series(1, 512) i GROUP BY j;
INSERT INTO scan SELECT i, bytes || int4send(i), repeat(md5(i::text), 2612)
  FROM generate_series(1, {rows}) i JOIN noise ON j = i % 1024 ORDER BY i;
"""


@pytest.fixture(scope="module")
def databases(lab: Lab) -> t.Iterator[dict[int, str]]:
    names = {size: f"scans_{size}" for size in SIZES_MB}
    for size, name in names.items():
        lab.postgres.sql(f"CREATE DATABASE {name}")
        lab.postgres.sql(_ROWS.format(rows=size * 10 + 10), name)
    yield names
    for name in names.values():
        lab.postgres.sql(f"DROP DATABASE {name} WITH (FORCE)")


def mebibytes(ended: Ended) -> float:
    assert ended.is_good, ended.error
    return ended.peak_kib / 1024


def assert_bounded(peaks: t.Mapping[int, float], what: str, layout: str) -> None:
    print(f"{what} ({layout}): " + ", ".join(f"{size} MB of data: {peak:.0f} MiB" for size, peak in peaks.items()))
    small, large = (peaks[size] for size in SIZES_MB)
    assert max(peaks.values()) <= LIMIT_MIB, f"{what}: {dict(peaks)}"
    assert large <= small + GROWTH_MIB[layout], f"{what}: {dict(peaks)}"


@pytest.mark.parametrize("layout", ["directory", "bucket"])
def test_the_memory_of_a_job_does_not_grow_with_its_database(
    lab: Lab, driver: Driver, databases: dict[int, str], layout: str
) -> None:
    site = lab.bucket() if layout == "bucket" else lab.directory()
    folder = lab.folder / f"spool-{layout}"
    folder.mkdir()
    peaks: dict[str, dict[int, float]] = {}
    for size, database in databases.items():
        job = lab.job()
        # Without compression both databases have more than the parts that may be on their way to a bucket at once.
        compression = "none" if layout == "bucket" else "zstd"
        options = {"database": database, "proof": "none", "compression": compression}
        order = Order("back_up", job, [site.facts], lab.server, options)
        written = driver.run(order)
        peaks.setdefault("backup", {})[size] = mebibytes(written)
        assert written.one["plain_bytes"] >= size * 1_000_000
        assert written.one["stored_bytes"] >= written.one["plain_bytes"] // 12, "the random part cannot be compressed"
        options = {"backup": "latest", "level": "content"}
        read = driver.run(Order("verify", job, [site.facts], lab.server, options))
        assert read.one["is_good"], read
        peaks.setdefault("verification", {})[size] = mebibytes(read)
        options = {"backup": "latest", "confirm": database, "folder": str(folder)}
        # Up to where the archive was fetched and proved: what pg_restore does then needs no memory of ours.
        fetching = Order("restore", job, [site.facts], lab.server, options, "restoring/child.started#1", "hold")
        held = lab.driver()
        held.begin(fetching)
        peaks.setdefault("fetching", {})[size] = held.wait_until_held() / 1024
        held.close()
    for what, found in peaks.items():
        assert_bounded(found, what, layout)

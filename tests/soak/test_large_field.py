# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One field of 900 MB, near the limit of 1 GB of a field (PostgreSQL manual, appendix K).

Not among the functional tests, because PostgreSQL itself takes some 3 GB of memory and a minute for it.
"""

from __future__ import annotations

from ansible_collections.lifeboat.recovery.tests.functional.crash_driver import Order
from ansible_collections.lifeboat.recovery.tests.functional.fault_fixtures import Driver, Lab, driver, lab

__all__ = ["driver", "lab"]

_SIZE = 900 * 1000 * 1000
_LIMIT_MIB = 160  # of the engine's own process, as for any other database
# Half of the text does not compress, and nothing of it is stored compressed: that would only cost time.
_FIELD = f"""
CREATE TABLE book (id int, page text);
ALTER TABLE book ALTER page SET STORAGE EXTERNAL;
INSERT INTO book SELECT 1, left(repeat(string_agg(md5(i::text), ''), 30), {_SIZE}) FROM generate_series(1, 1000000) i;
INSERT INTO book VALUES (2, 'short');
"""
_DIGEST = "SELECT count(*), max(length(page)), md5(string_agg(md5(page), ',' ORDER BY id)) FROM book"


def test_a_field_of_900_mb_comes_back_and_needs_no_memory_of_its_size(lab: Lab, driver: Driver) -> None:
    lab.postgres.sql("CREATE DATABASE library")
    try:
        lab.postgres.sql(_FIELD, "library")
        before = lab.postgres.sql(_DIGEST, "library")
        assert before.startswith(f"2|{_SIZE}|")
        job, site = lab.job(), lab.directory()
        steps = {
            "back_up": {"database": "library", "proof": "none"},
            "verify": {"backup": "latest", "level": "content"},
            "restore": {"backup": "latest", "confirm": "library"},
        }
        for name, options in steps.items():
            if name == "restore":
                lab.postgres.sql("UPDATE book SET page = 'lost' WHERE id = 1", "library")
            ended = driver.run(Order(name, job, [site.facts], lab.server, options))
            assert ended.is_good, ended.error
            print(f"{name}: {ended.peak_kib / 1024:.0f} MiB")
            assert ended.peak_kib / 1024 <= _LIMIT_MIB, name
        assert lab.postgres.sql(_DIGEST, "library") == before
    finally:
        for name in lab.postgres.sql("SELECT datname FROM pg_database WHERE datname LIKE 'library%'").splitlines():
            lab.postgres.sql(f'DROP DATABASE "{name}" WITH (FORCE)')

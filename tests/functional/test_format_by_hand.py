# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The commands in docs/format.md, "Restoring by hand", on the golden repository: no line of Lifeboat takes part."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import typing as t
from pathlib import Path

import pytest
from ansible_collections.lifeboat.recovery.tests.functional.postgres_fixtures import MAJORS, PostgresServer, postgres

__all__ = ["postgres"]
ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "unit" / "fixtures" / "golden" / "v1"


def commands() -> str:
    page = (ROOT / "docs" / "format.md").read_text(encoding="utf-8")
    section = page.partition("## Restoring by hand")[2].partition("\n## ")[0]
    return "\n".join(re.findall(r"```shell\n(.*?)```", section, re.DOTALL))


def run(server: PostgresServer, folder: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(server.bin_dir), os.environ["PATH"]])
    variables = {"PATH": path, "HOME": str(folder), "LC_ALL": "C.UTF-8"}
    variables.update(PGHOST=str(server.socket_dir), PGPORT=str(server.port), PGUSER=server.user)
    return subprocess.run(
        ["sh", "-e", "-c", commands()], cwd=folder, env=variables, capture_output=True, text=True, check=False
    )


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return Path(shutil.copytree(GOLDEN, tmp_path / "repository"))


@pytest.mark.parametrize("major", MAJORS)
def test_the_commands_on_the_page_restore_the_database(
    postgres: t.Callable[[int], PostgresServer], repository: Path, major: int
) -> None:
    server = postgres(major)
    done = run(server, repository)
    try:
        assert done.returncode == 0, done.stderr
        assert done.stdout.count(": OK\n") == 4
        digest = re.search(r"^([0-9a-f]{64})  -$", done.stdout, re.MULTILINE)
        assert digest is not None
        assert f'"digest": "{digest.group(1)}"' in done.stdout
        assert server.sql("SELECT count(*), min(id), max(id), min(note) FROM sales.orders", "shop") == (
            "40|1|40|order 1\twith a tab, a line\nbreak and an ä"
        )
        assert server.sql("SELECT convert_from(lo_get(4711), 'UTF8')", "shop") == "a large object"
        assert server.sql(
            "SELECT r.rolname, pg_encoding_to_char(d.encoding), d.datcollate FROM pg_database d"
            " JOIN pg_roles r ON r.oid = d.datdba WHERE d.datname = 'shop'"
        ) == ("shop_owner|UTF8|C.UTF-8")
    finally:
        server.sql("DROP DATABASE IF EXISTS shop")
        server.sql("DROP ROLE IF EXISTS shop_owner")


def test_the_commands_on_the_page_stop_at_a_damaged_file(
    postgres: t.Callable[[int], PostgresServer], repository: Path
) -> None:
    (dump,) = repository.glob("data/db1-shop/*/database.dump.zst")
    data = bytearray(dump.read_bytes())
    data[len(data) // 2] ^= 1
    dump.write_bytes(data)
    server = postgres(MAJORS[0])
    done = run(server, repository)
    assert done.returncode != 0
    assert "database.dump.zst: FAILED" in done.stdout
    assert server.sql("SELECT count(*) FROM pg_database WHERE datname = 'shop'") == "0"

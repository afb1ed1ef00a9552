# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import LifeboatError, MissingPartError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres import tools


def install(folder: Path, version: str, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or ("pg_dump", "pg_dumpall", "pg_restore"):
        (folder / name).write_text(f'#!/bin/sh\necho "{name} (PostgreSQL) {version}"\n')
        (folder / name).chmod(0o755)
    return folder


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the usual places lie under a folder of the test."""
    monkeypatch.setattr(tools, "_PACKAGE_FOLDERS", (f"{tmp_path}/pg/{{major}}/bin",))
    monkeypatch.setenv("PATH", f"{tmp_path}/path")
    return tmp_path


def test_the_server_s_own_major_is_preferred(places: Path) -> None:
    for major in (13, 15, 18):
        install(places / "pg" / str(major) / "bin", f"{major}.4 (Debian)")
    install(places / "path", "18.1")
    found = tools.client_tools(150018, "", "Cannot test")
    assert (found.pg_dump.path, found.pg_dump.version, found.warnings) == (f"{places}/pg/15/bin/pg_dump", "15.4", ())


def test_no_other_program_is_asked_once_the_right_one_is_found(places: Path) -> None:
    install(places / "pg" / "15" / "bin", "15.4")
    for folder in (places / "pg" / "16" / "bin", places / "path"):
        install(folder, "")
        (folder / "pg_dump").write_text("#!/bin/sh\nexit 1\n")
    assert tools.find_tool("pg_dump", 15, "", "Cannot test").version == "15.4"


def test_path_comes_before_a_newer_major(places: Path) -> None:
    install(places / "pg" / "18" / "bin", "18.4")
    install(places / "path", "15.2")
    assert tools.client_tools(150018, "", "Cannot test").pg_restore.path == f"{places}/path/pg_restore"


def test_the_next_newer_major_is_better_than_none(places: Path) -> None:
    for major in (13, 16, 18):
        install(places / "pg" / str(major) / "bin", f"{major}.4")
    found = tools.client_tools(150018, "", "Cannot test")
    assert found.pg_dump.major == 16
    assert found.warnings[0].startswith("pg_dump 16.4 is newer than the server (15.18)")


def test_an_older_client_is_refused_with_both_versions(places: Path) -> None:
    install(places / "pg" / "13" / "bin", "13.14")
    with pytest.raises(LifeboatError) as caught:
        tools.client_tools(150018, "", "Cannot back up database lab")
    assert str(caught.value).startswith("Cannot back up database lab: pg_dump 13.14 is older than the server (15.18).")


def test_only_the_given_folder_is_looked_into(places: Path, tmp_path: Path) -> None:
    install(places / "pg" / "15" / "bin", "15.4")
    with pytest.raises(MissingPartError, match="pg_dump was not found in"):
        tools.client_tools(150018, str(tmp_path / "nothing"), "Cannot test")


def test_one_missing_program_of_three_is_named(places: Path) -> None:
    install(places / "pg" / "15" / "bin", "15.4", "pg_dump", "pg_dumpall")
    with pytest.raises(MissingPartError, match="pg_restore was not found"):
        tools.client_tools(150018, "", "Cannot test")


@pytest.mark.parametrize(
    ("text", "major", "version"), [("18beta1", 18, "18"), ("9.6.24", 9, "9.6"), ("17.2 (x)", 17, "17.2")]
)
def test_versions_are_read(places: Path, text: str, major: int, version: str) -> None:
    install(places / "b", text)
    found = tools.find_tool("pg_dump", 15, str(places / "b"), "Cannot test")
    assert (found.major, found.version) == (major, version)


def test_a_program_that_is_something_else_is_refused(places: Path) -> None:
    install(places / "b", "")
    (places / "b" / "pg_dump").write_text("#!/bin/sh\necho hello\n")
    with pytest.raises(LifeboatError, match="it calls itself 'hello'"):
        tools.find_tool("pg_dump", 15, str(places / "b"), "Cannot test")


@pytest.mark.parametrize(
    ("version", "major"), [("16.4", 16), ("18beta1", 18), ("9.6.24", 9), ("17", 17), ("", 0), ("of mine", 0)]
)
def test_the_major_of_a_version_is_its_first_number_also_before_the_release(version: str, major: int) -> None:
    assert tools.major_of(version) == major

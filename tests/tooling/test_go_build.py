# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import go_build
import pytest
from cache import SetupError, build_once

# A stand-in for Go: it says how it was called, and makes a program of what it was to build.
GO = """#!/bin/sh
echo "$*" >> {calls}
case "$1 $GOFLAGS" in
  "install ") echo program > "$GOBIN/tool" ;;
  "build ") for word; do [ "$before" = -o ] && cat main.go go.mod > "$word"; before=$word; done ;;
esac
"""


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    return tmp_path / "calls"


@pytest.fixture
def go(tmp_path: Path, calls: Path) -> str:
    path = tmp_path / "go"
    path.write_text(GO.format(calls=calls))
    path.chmod(0o755)
    return str(path)


def test_a_program_is_installed_without_what_debuggers_read(go: str, calls: Path, tmp_path: Path) -> None:
    def make(part: Path) -> None:
        (part.parent / "bin").mkdir()
        go_build.install(go, "example.org/a/tool@v1", part, "-X a.b=c")

    assert build_once(tmp_path / "made" / "tool-v1", make).read_text() == "program\n"
    said = calls.read_text()
    assert "-gcflags=all=-dwarf=false" in said
    assert "-ldflags -s -w -X a.b=c example.org/a/tool@v1" in said


def test_a_program_of_some_parts_imports_these_and_no_others(go: str, tmp_path: Path) -> None:
    made = build_once(
        tmp_path / "made" / "tool-v1",
        lambda part: go_build.build(go, "example.org/a", "v1", ("cmd", "cmd/copy", "remote/local"), part),
    )
    lines = made.read_text().splitlines()
    assert [line.split('"')[1] for line in lines if '"' in line] == [
        "example.org/a/cmd",
        "example.org/a/cmd/copy",
        "example.org/a/remote/local",
    ]
    assert "require example.org/a v1" in lines
    assert [path.name for path in made.parent.iterdir() if path.suffix != ".lock"] == ["tool-v1"]


def test_what_go_said_last_is_the_cause(go: str, tmp_path: Path) -> None:
    Path(go).write_text("#!/bin/sh\necho first; echo 'no such module' >&2; exit 1\n")
    with pytest.raises(SetupError, match=r"go install example.org/a/tool@v1 ended with 1: first / no such module"):
        go_build.install(go, "example.org/a/tool@v1", tmp_path / "tool")

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A program that stands for `docker`: what it runs "inside" runs on this host, with the variables that were named only,
and as with the real one it outlives the program that asked for it."""

from __future__ import annotations

import json
import sys
import typing as t
from pathlib import Path

_SCRIPT = """#!{python} -IS
import json, os, pathlib, subprocess, sys

if "GIVEN" not in os.environ:
    # Nobody inside sees the variables of the real program, which is outside.
    reader, writer = os.pipe()
    os.write(writer, json.dumps(dict(os.environ)).encode())
    os.close(writer)
    os.set_inheritable(reader, True)
    os.execve(sys.argv[0], sys.argv, {{"GIVEN": str(reader)}})
given = json.loads(os.read(int(os.environ["GIVEN"]), 65536))
folder = pathlib.Path({folder!r})
with open(folder / "calls", "a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
words = sys.argv[1:]
if words[:2] == ["container", "inspect"]:
    answer = folder / (words[2] + ".json")
    if not answer.exists():
        sys.exit("Error: No such container: " + words[2] if not (folder / "refusal").exists()
                 else (folder / "refusal").read_text())
    print("[" + answer.read_text() + "]")
    sys.exit(0)
words = words[1:]
variables = {{"PATH": str(folder / "inside") + ":/usr/bin:/bin"}}
while words[0].startswith("--"):
    option, _, name = words.pop(0).partition("=")
    if option == "--env":
        assert "=" not in name, "a value is in an argument"
        variables[name] = given[name]
    else:
        assert option == "--interactive", option
if (folder / "broken").exists():
    sys.stderr.write("Error response from daemon: it is broken\\n")
    sys.exit(int((folder / "broken").read_text()))
try:
    process = subprocess.Popen(words[1:], env=variables, start_new_session=True)
except OSError as error:
    sys.stderr.write("OCI runtime exec failed: " + str(error) + "\\n")
    sys.exit(127)
status = process.wait()
sys.exit(status if status >= 0 else 128 - status)
"""


class FakeEngine:
    """The program, and what it knows of containers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.inside = folder / "inside"
        self.inside.mkdir()
        (folder / "path").mkdir()
        program = folder / "path" / "docker"
        program.write_text(_SCRIPT.format(python=sys.executable, folder=str(folder)))
        program.chmod(0o755)

    def has(self, name: str, status: str = "running", **more: t.Any) -> None:
        """Let a container be there."""
        document = {"State": {"Status": status}, "NetworkSettings": {}, "HostConfig": {}, **more}
        (self.folder / f"{name}.json").write_text(json.dumps(document))

    def refuses(self, words: str) -> None:
        (self.folder / "refusal").write_text(words)

    def is_broken(self, status: int) -> None:
        (self.folder / "broken").write_text(str(status))

    def installs(self, name: str, script: str) -> None:
        """Put a program into the container."""
        (self.inside / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.inside / name).chmod(0o755)

    def calls(self) -> list[list[str]]:
        return [json.loads(line) for line in (self.folder / "calls").read_text().splitlines()]

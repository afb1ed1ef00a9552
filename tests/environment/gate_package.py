# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Gates on what users get: the collection's archive, built, checked as Galaxy does, installed and used."""

from __future__ import annotations

from pathlib import Path

import collection_root
import virtualenvs
from gate_checks import development
from gate_runner import GateFailure, Workplace
from run import variables

_SMOKE_PLAYBOOK = Path(__file__).resolve().parent / "smoke.yml"


def _build(place: Workplace) -> Path:
    """Build the archive from a copy of the checkout and return it."""
    sources = place.scratch / "sources"
    collection = collection_root.copied(sources)
    folder = place.scratch / "dist"
    env = variables(development(), sources)
    place.run("ansible-galaxy", "collection", "build", "--output-path", folder, ".", cwd=collection, env=env)
    archives = list(folder.glob("lifeboat-recovery-*.tar.gz"))
    if len(archives) != 1:
        raise GateFailure(f"the build wrote {len(archives)} archives")
    return archives[0]


def package(place: Workplace) -> str:
    """The archive can be built, installed where nothing is, and used from there."""
    archive = _build(place)
    root = place.scratch / "installed"
    env = variables(development(), root)
    install = ["ansible-galaxy", "collection", "install", "--offline", "-p", root, archive]
    place.run(*install, cwd=place.scratch, env=env)
    smoke(place, development(), root)
    return f"{archive.name}, {archive.stat().st_size // 1024} KiB"


def smoke(place: Workplace, environment: Path, root: Path) -> None:
    """Run the smoke playbook with the collection below `root`, and only that one. Raises GateFailure."""
    env = variables(environment, root)
    env["PYTHONPATH"] = ""
    folder = place.scratch / "smoke"
    folder.mkdir()
    # A local inventory without it would look for an interpreter, and may find one that lacks the libraries.
    python = "ansible_python_interpreter={{ ansible_playbook_python }}"
    options = ["-i", "localhost,", "-c", "local", "-e", python, "-e", f"smoke_folder={folder}"]
    place.run("ansible-playbook", *options, _SMOKE_PLAYBOOK, cwd=folder, env=env)


def importer(place: Workplace) -> str:
    """Ansible Galaxy's importer accepts the archive."""
    archive = _build(place)
    environment = virtualenvs.ensure(virtualenvs.IMPORTER)
    # ansible-lint has a gate of its own, with more files and a stricter profile.
    env = {**virtualenvs.variables(environment), "GALAXY_IMPORTER_RUN_ANSIBLE_LINT": "no"}
    said = place.run(environment / "bin" / "python", "-m", "galaxy_importer.main", archive, cwd=place.scratch, env=env)
    complaints = [line for line in said.splitlines() if line.startswith(("ERROR", "WARNING"))]
    if complaints:
        raise GateFailure(f"galaxy-importer complains: {complaints[0]}")
    return ""

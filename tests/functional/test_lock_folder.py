# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever the tests start locks jobs in a folder of these tests, so that no other process on this machine is met."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import cli, job_lock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import identity
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.tests.functional import warm_python
from ansible_collections.lifeboat.recovery.tests.functional.command_file import command_for
from ansible_collections.lifeboat.recovery.tests.functional.lock_folder import lock_folder
from ansible_collections.lifeboat.recovery.tests.functional.plays import ran


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a repository, and something to be backed up."""
    for name in ("repository", "data"):
        (tmp_path / name).mkdir()
    identity.initialise(DirectoryStore(str(tmp_path / "repository")))
    (tmp_path / "data" / "file").write_text("something")
    return tmp_path


def command_words(folder: Path, job: str) -> list[str]:
    """Write a configuration with the job, and return the words for the host command that run it."""
    settings = {"kind": "files", "roots": [str(folder / "data")], "repositories": ["local"]}
    document = {"repositories": {"local": {"path": str(folder / "repository")}}, "jobs": {job: settings}}
    file = folder / "config.json"
    file.write_text(json.dumps(document))
    file.chmod(0o600)
    return ["--config", str(file), "run", job]


def locked_at(job: str) -> list[Path]:
    """Return the files by which a job was locked, in the folder of these tests and in that of this machine."""
    return [path for place in (lock_folder(), "/run/lock") if (path := Path(place, f"lifeboat-{job}.lock")).exists()]


@pytest.mark.parametrize("way", ["here", "fork", "file", "module"])
def test_a_job_is_locked_in_the_folder_of_these_tests(folder: Path, way: str) -> None:
    job = f"locks-{os.getpid()}-{way}"
    words = command_words(folder, job)
    environment = {"HOME": str(folder), "PATH": "/usr/bin:/bin"}
    if way == "here":
        assert cli.main(words) == 0
    elif way == "fork":
        assert warm_python.host_command(["lifeboat", *words], environment).returncode == 0
    elif way == "file":
        file = folder / "lifeboat"
        file.write_bytes(command_for(sys.executable))
        subprocess.run([sys.executable, file, *words], check=True, env=environment, capture_output=True)
    else:
        place = {"name": "local", "path": str(folder / "repository")}
        options = {"job": job, "repositories": [place], "roots": [str(folder / "data")]}
        task = {"name": "Back up", "lifeboat.recovery.files_backup": options}
        play = {"hosts": "localhost", "gather_facts": False, "tasks": [task]}
        (folder / "play.yml").write_text(json.dumps([play]))
        done = ran("-i", "localhost,", str(folder / "play.yml"))
        assert done.returncode == 0, done.stdout
    assert locked_at(job) == [Path(lock_folder(), f"lifeboat-{job}.lock")]


def test_every_user_may_lock_there_and_nobody_may_remove_the_locks_of_others() -> None:
    (folder,) = job_lock._FOLDERS
    assert folder == lock_folder()
    assert os.stat(lock_folder()).st_mode & 0o7777 == 0o1777

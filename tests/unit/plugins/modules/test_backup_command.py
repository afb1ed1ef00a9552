# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import functools
import os
import stat
import types

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge import zipapp
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import LifeboatError, UsageError
from ansible_collections.lifeboat.recovery.plugins.modules import backup_command

BUILD = functools.cache(zipapp.build)  # the same bytes each time, and seconds to make: tested with zipapp
DATA = BUILD("/usr/bin/env python3")


class Module:
    """Stands for AnsibleModule, as far as files are concerned."""

    def __init__(self, folder, check_mode=False):
        self.params = {"path": str(folder / "lifeboat"), "interpreter": "/usr/bin/env python3", "mode": "0755"}
        self.check_mode = check_mode
        self.tmpdir = str(folder / "tmp")
        os.mkdir(self.tmpdir)
        self.set_modes = []

    def load_file_common_arguments(self, params, path):
        return {"path": path, "mode": int(params["mode"], 8)}

    def set_fs_attributes_if_different(self, wanted, changed, diff=None):
        path, mode = wanted["path"], wanted["mode"]
        if not os.path.exists(path):
            return True
        found = stat.S_IMODE(os.stat(path).st_mode)
        if diff is not None and found != mode:
            diff["before"]["mode"], diff["after"]["mode"] = f"{found:04o}", f"{mode:04o}"
        if not self.check_mode and found != mode:
            os.chmod(path, mode)
            self.set_modes.append(mode)
        return changed or found != mode

    def atomic_move(self, source, target):
        os.replace(source, target)


@pytest.fixture(autouse=True)
def built_once(monkeypatch):
    monkeypatch.setattr(zipapp, "build", BUILD)


@pytest.fixture
def module(tmp_path):
    return Module(tmp_path)


def planned(module):
    return backup_command.Installation(module).plan(module.params)


def install(module):
    installation = backup_command.Installation(module)
    plan = installation.plan(module.params)
    installation.apply(plan)
    return plan


def test_a_missing_file_is_planned_and_nothing_is_written(module, tmp_path):
    plan = planned(module)
    assert plan.changed
    before, after = plan.diff()
    assert before == {"state": "absent"}
    assert after == {"version": zipapp.current_version(), "sha256": zipapp.digest(DATA)}
    assert not (tmp_path / "lifeboat").exists()


def test_the_file_is_written_with_its_mode(module, tmp_path):
    install(module)
    path = tmp_path / "lifeboat"
    assert path.read_bytes() == DATA
    assert stat.S_IMODE(path.stat().st_mode) == 0o755


def test_a_second_run_changes_nothing(module):
    install(module)
    plan = planned(module)
    assert not plan.changed
    assert plan.diff()[0] == plan.diff()[1]
    assert plan.result()["previous_version"] == zipapp.current_version()


def test_another_mode_alone_is_a_change_that_planning_does_not_make(module, tmp_path):
    install(module)
    (tmp_path / "lifeboat").chmod(0o600)
    module.set_modes.clear()
    plan = planned(module)
    assert (plan.is_new, plan.changed, module.set_modes) == (False, True, [])
    before, after = plan.diff()
    assert (before["mode"], after["mode"]) == ("0600", "0755")
    assert module.check_mode is False
    inode = (tmp_path / "lifeboat").stat().st_ino
    install(module)
    assert (tmp_path / "lifeboat").stat().st_ino == inode  # not written anew


def test_another_file_is_replaced_and_what_it_was_is_said(module, tmp_path):
    (tmp_path / "lifeboat").write_text("#!/bin/sh\n")
    plan = install(module)
    before, after = plan.diff()
    assert before["version"] == ""
    assert before["sha256"] != after["sha256"]
    assert (tmp_path / "lifeboat").read_bytes() == DATA


def test_an_older_version_is_named(module, tmp_path, monkeypatch):
    old = DATA.replace(b'VERSION = "1.0.0"', b'VERSION = "0.9.0"')
    monkeypatch.setattr(zipapp.zipfile.ZipExtFile, "_update_crc", lambda *_: None)  # the sum is of the true version
    (tmp_path / "lifeboat").write_bytes(old)
    assert planned(module).result()["previous_version"] == "0.9.0"


def test_planning_in_check_mode_stays_in_check_mode(tmp_path):
    module = Module(tmp_path, check_mode=True)
    planned(module)
    assert module.check_mode is True


@pytest.mark.parametrize("interpreter", ["python3", "", "/usr/bin/python3\nrm"])
def test_an_interpreter_that_the_system_could_not_start_is_refused(module, interpreter):
    module.params["interpreter"] = interpreter
    with pytest.raises(UsageError, match="Cannot use the interpreter"):
        planned(module)


def test_a_missing_folder_is_not_made(module, tmp_path):
    module.params["path"] = str(tmp_path / "away" / "lifeboat")
    with pytest.raises(LifeboatError, match="there is no folder"):
        planned(module)


def test_a_folder_is_not_replaced(module, tmp_path):
    (tmp_path / "lifeboat").mkdir()
    with pytest.raises(LifeboatError, match="Is a directory"):
        planned(module)


def test_the_options_are_as_documented(monkeypatch):
    seen = {}

    def take(**words):
        seen.update(words)
        return types.SimpleNamespace()

    monkeypatch.setattr(backup_command, "AnsibleModule", take)
    monkeypatch.setattr(backup_command.bridge, "run", lambda *_: None)
    backup_command.main()
    assert seen["add_file_common_args"]
    assert seen["supports_check_mode"]
    assert {name: spec["default"] for name, spec in seen["argument_spec"].items()} == {
        "path": "/usr/local/bin/lifeboat",
        "interpreter": "/usr/bin/env python3",
        "mode": "0755",
    }

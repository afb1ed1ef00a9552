# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.lifeboat.recovery.plugins.modules import backup_set
from ansible_collections.lifeboat.recovery.tests.unit.plugins.modules.set_host import set_host

__all__ = ["set_host"]


def test_a_run_records_which_backups_belong_together(run_module, set_host):
    end = run_module(backup_set, **set_host.options)
    assert not end.failed and end["changed"] and end["complete"]
    assert set_host.points() == [end["id"]]
    assert [(each["job"], each["complete"], each["present"]) for each in end["members"]] == [
        ("data", True, ["local"]),
        ("config", True, ["local"]),
    ]
    assert [(each["repository"], each["present"], each["proved"]) for each in end["copies"]] == [("local", True, True)]


def test_check_mode_looks_and_writes_nothing(run_module, set_host):
    before = set_host.local.files()
    end = run_module(backup_set, True, **set_host.options)
    assert not end.failed and end["changed"]
    assert [each["job"] for each in end["members"]] == ["data", "config"]
    assert set_host.local.files() == before


def test_check_mode_fails_where_a_member_could_not_run(run_module, set_host):
    (set_host.folders["config"] / "file").unlink()
    end = run_module(backup_set, True, **set_host.options)
    assert end.failed and "config" in end["cause"]


def test_a_member_that_fails_leaves_no_point_and_the_backups_of_the_others(run_module, set_host):
    (set_host.folders["config"] / "file").unlink()
    end = run_module(backup_set, **set_host.options)
    assert end.failed and end["changed"] and end["exit_code"] == 5
    assert [bool(each["backup"]) for each in end["members"]] == [True, False]
    assert end["id"] == "" and set_host.points() == []
    assert any("config" in warning for warning in end.warnings)


def test_a_job_that_is_no_set_is_refused(run_module, set_host):
    end = run_module(backup_set, **{**set_host.options, "job": "data"})
    assert end.failed and "it is of kind files" in end["cause"]

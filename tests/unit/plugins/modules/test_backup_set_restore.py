# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.lifeboat.recovery.plugins.modules import backup_set, backup_set_restore
from ansible_collections.lifeboat.recovery.tests.unit.plugins.modules.set_host import set_host

__all__ = ["set_host"]


@pytest.fixture
def run(run_module, set_host):
    point = run_module(backup_set, **set_host.options)["id"]
    for path in set_host.folders.values():
        (path / "file").write_text("ruined")

    def run(check_mode=False, **options):
        given = {"confirm": [str(path) for path in set_host.folders.values()], **set_host.options, **options}
        end = run_module(backup_set_restore, check_mode, **given)
        assert end.answer.get("id", point) == point
        return end

    return run


def test_members_come_back_in_their_order(run, set_host):
    end = run()
    assert not end.failed and end["changed"]
    assert [(each["job"], each["good"]) for each in end["members"]] == [("data", True), ("config", True)]
    assert (set_host.text("data"), set_host.text("config")) == ("of data", "of config")
    assert not run()["changed"]


def test_check_mode_touches_nothing(run, set_host):
    end = run(check_mode=True)
    assert not end.failed and end["changed"]
    assert set_host.text("data") == "ruined"


def test_nothing_is_touched_unless_all_members_are_confirmed(run, set_host):
    end = run(confirm=[str(set_host.folders["data"])])
    assert end.failed and end["guard"] == "confirm" and end["exit_code"] == 3
    assert [each["good"] for each in end["members"]] == [True, False]
    assert set_host.text("data") == "ruined"


@pytest.mark.parametrize("options", [{"only": ["config"]}, {"except": ["data"]}])
def test_members_can_be_chosen_and_left_out(run, set_host, options):
    end = run(**options)
    assert [each["job"] for each in end["members"]] == ["config"]
    assert (set_host.text("data"), set_host.text("config")) == ("ruined", "of config")


@pytest.mark.parametrize("options", [{"only": ["nope"]}, {"only": ["data"], "except": ["data"]}, {"point": "nope"}])
def test_what_cannot_be_chosen_is_refused(run, options):
    end = run(**options)
    assert end.failed and end["exit_code"] == 2


def test_a_point_whose_member_has_gone_is_not_restored(run, set_host):
    for path in (set_host.local.folder / "manifests" / "config").iterdir():
        path.unlink()
    assert "Cannot find recovery point latest_good" in run()["problem"]
    end = run(point="latest")
    assert end.failed and "config" in end["cause"]
    assert not run(point="latest", only=["data"]).failed
    assert set_host.text("data") == "of data"

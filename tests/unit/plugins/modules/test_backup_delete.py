# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime as dt

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import catalog, hold, layout
from ansible_collections.lifeboat.recovery.plugins.modules import backup_delete

JOB = "db1-shop"


@pytest.fixture
def local(new_repository):
    return new_repository("local")


@pytest.fixture
def run(run_module, local):
    return lambda backup_id, check_mode=False, **options: run_module(
        backup_delete, check_mode, **{"job": JOB, "id": backup_id, "repository": local.options, **options}
    )


def ids(repository):
    return [backup.id for backup in catalog.backups(repository.store, JOB)]


def backups(repository, count):
    return sorted(repository.back_up().id for _number in range(count))


def test_a_confirmed_backup_is_gone_at_once_and_its_files_stay_for_now(run, local):
    made = backups(local, 3)
    planned = run(made[0], check_mode=True)
    assert planned["changed"] and planned["deleted"] and ids(local) == made
    end = run(made[0], confirm=made[0])
    assert end["changed"] and end["deleted"] and end["diff"] == planned["diff"]
    assert ids(local) == made[1:]
    assert any(name.startswith(f"data/{JOB}/{made[0]}/") for name in local.files())
    again = run(made[0], confirm=made[0])
    assert not again.failed and not again["changed"] and not again["deleted"]


@pytest.mark.parametrize("confirm", [None, "", "latest", "20200101T000000Z-000000"])
def test_without_its_id_as_confirmation_nothing_is_deleted(run, local, confirm):
    made = backups(local, 3)
    end = run(made[0], confirm=confirm)
    assert end.failed and end["guard"] == "confirm" and end["exit_code"] == 3
    assert ids(local) == made


def test_the_last_proved_backups_are_refused(run, local):
    made = backups(local, 2)
    end = run(made[0], confirm=made[0])
    assert end.failed and end["guard"] == "last_proved"
    assert run(made[0], confirm=made[0], verified_min=1)["changed"]
    assert run(made[1], confirm=made[1], verified_min=1)["guard"] == "last_proved"
    assert run(made[1], confirm=made[1], verified_min=0).failed
    assert ids(local) == made[1:]


def test_a_held_backup_is_refused(run, local):
    made = backups(local, 3)
    held = hold.Hold(JOB, made[0], "an audit", local.store.now(), local.store.now() + dt.timedelta(days=1))
    local.store.put(layout.hold(JOB, made[0]), held.to_bytes())
    end = run(made[0], check_mode=True)
    assert end.failed and end["guard"] == "held" and "an audit" in end["msg"]
    assert ids(local) == made


def test_a_backup_that_cannot_be_read_can_be_deleted(run, local):
    made = backups(local, 3)
    local.store.put(layout.manifest(JOB, made[1]), b"gibberish")
    assert run(made[1], confirm=made[1])["changed"]
    assert ids(local) == [made[0], made[2]]

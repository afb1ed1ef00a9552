# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a job of the inventory says how its server is reached, nothing of that is lost on the way to a module."""

from __future__ import annotations

import re

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.postgres_options import POSTGRES_LOGIN
from ansible_collections.lifeboat.recovery.tests.unit.contracts import collection

_FOUND_OTHERWISE = re.compile(r"\w+_(?:jobs|mirrors) \| selectattr\('name', 'equalto', [^|]*\| first\b.*")


@pytest.mark.parametrize(("file", "module"), [("backup_databases", "pg_backup"), ("restore_databases", "pg_restore")])
def test_a_playbook_gives_the_whole_login_of_a_job_to_the_module(file, module):
    text = (collection.ROOT / "playbooks" / "tasks" / f"{file}.yml").read_text(encoding="utf-8")
    (given,) = [
        task[f"lifeboat.recovery.{module}"]
        for task in collection.load_yaml(text)
        if collection.NAMESPACE + module in task
    ]
    assert {name for name in given if name in POSTGRES_LOGIN} == set(POSTGRES_LOGIN)


def test_a_recovery_of_a_database_gives_the_whole_login_of_the_job_to_its_modules():
    text = (collection.ROOT / "roles" / "postgres_recovery" / "vars" / "main.yml").read_text(encoding="utf-8")
    assert set(collection.load_yaml(text)["__postgres_recovery_login_options"]) == set(POSTGRES_LOGIN)


def jobs_with_empty_keys(text: str) -> list[str]:
    """Return the places that find a job by its name without the filter, and so keep what is empty in it."""
    return _FOUND_OTHERWISE.findall(text)


def test_what_is_empty_in_a_job_is_left_out_wherever_it_is_found_by_its_name():
    files = [path for name in ("playbooks", "roles") for path in (collection.ROOT / name).rglob("*.yml")]
    texts = {collection.relative(path): path.read_text(encoding="utf-8") for path in files}
    assert sum("_jobs | lifeboat.recovery.named_entry(" in text for text in texts.values()) > 10
    assert {name: found for name, text in texts.items() if (found := jobs_with_empty_keys(text))} == {}


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("{{ a_jobs | selectattr('name', 'equalto', item) | first }}", 1),
        ("{%- set job = (a_mirrors | selectattr('name', 'equalto', item) | first).bucket -%}", 1),
        ("{{ a_jobs | selectattr('name', 'equalto', item) }}", 0),
        ("{{ a_jobs | lifeboat.recovery.named_entry(item) }}", 0),
    ],
)
def test_a_job_that_keeps_what_is_empty_is_found(text, number):
    assert len(jobs_with_empty_keys(text)) == number

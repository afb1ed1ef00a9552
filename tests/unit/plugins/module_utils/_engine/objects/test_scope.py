# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a backup was not to have, and an exact restore leaves alone."""

from __future__ import annotations

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import DamagedError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.directory_target import DirectoryTarget
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.restore_plan import (
    LEAVE,
    REMOVE,
    Policy,
    destroys,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.restore_work import Work
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.rows import Item, Row
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.scope import Boundary, Scope
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.objects.restore_model import (
    Shelf,
    Stored,
    row,
)


def entry(key: str, kind: str = "") -> Item:
    return Item(key, 0, "", "", kind)


def is_left(scope: Scope, key: str, kind: str = "") -> bool:
    return scope.why_without(entry(key, kind)) != ""


def test_what_patterns_leave_out_is_left_alone_with_all_that_lies_in_it() -> None:
    scope = Scope(exclude=("cache/", "*.tmp", "!keep.tmp"))

    left = [key for key in ("cache/a/b", "x/cache/a", "a.tmp", "d/a.tmp", "cache/keep.tmp") if is_left(scope, key)]

    assert left == ["cache/a/b", "x/cache/a", "a.tmp", "d/a.tmp", "cache/keep.tmp"]
    assert is_left(scope, "cache", "directory")
    assert not any(is_left(scope, key) for key in ("cache", "caches/a", "keep.tmp", "d/keep.tmp", "a"))


def test_where_patterns_include_all_else_is_left_alone_but_for_directories_on_the_way() -> None:
    scope = Scope(include=("/etc/app/*.conf",))

    assert is_left(scope, "etc/app/a.txt") and is_left(scope, "home", "directory")
    assert not is_left(scope, "etc/app/a.conf") and not is_left(scope, "etc/app", "directory")


def test_sockets_and_devices_are_left_alone_unless_devices_were_asked_for() -> None:
    assert is_left(Scope(), "s", "socket") and is_left(Scope(devices=True), "s", "socket")
    assert is_left(Scope(), "d", "block") and not is_left(Scope(devices=True), "d", "block")


@pytest.mark.parametrize(
    "scope",
    [
        Scope(),
        Scope(exclude=("a/", "\u00e4*"), include=("b",), one_file_system=True),
        Scope(one_file_system=True, mounts=(("/", "home"), ("/", "od\udcffd"))),
    ],
)
def test_a_scope_is_read_as_it_was_written(scope: Scope) -> None:
    data = scope.to_bytes()

    assert (Scope.from_bytes(data, "x") if data else Scope()) == scope


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b'{"exclude": 1}',
        b'{"exclude": [1]}',
        b'{"exclude": ["["]}x',
        b'{"mounts": ["abc"]}',
        b'{"mounts": [[1, "a"]]}',
        b"\xff",
    ],
)
def test_a_scope_that_is_none_is_damaged(data: bytes) -> None:
    with pytest.raises(DamagedError):
        Scope.from_bytes(data, "scope.json")


def test_an_exact_restore_leaves_keys_alone_that_the_job_does_not_back_up() -> None:
    shelf = Shelf({"shop/a": ("content", ""), "shop/new": ("x", ""), "other": ("x", ""), "shop/x.tmp": ("x", "")})
    scope = Scope(prefix="shop/", exclude=("*.tmp",))
    work = Work(shelf, {"c": "c"}, Policy(exact=True), scope=scope)

    found = {step.key: step for step in work.steps(Stored([row("shop/a")]), "c")}

    assert {key: step.action for key, step in found.items() if step.row is None} == {
        "other": LEAVE,
        "shop/new": REMOVE,
        "shop/x.tmp": LEAVE,
    }
    assert not destroys(found["other"]) and "other keys" in found["other"].why


def test_a_directory_that_is_left_out_is_entered_only_where_the_backup_has_something_below_it() -> None:
    def boundary(*keys: str) -> Boundary:
        return Boundary(Scope(exclude=("cache/",)), lambda below: any(key.startswith(below) for key in keys))

    assert not boundary().is_entered(entry("cache", "directory"))
    assert boundary("cache/a").is_entered(entry("cache", "directory"))
    assert boundary().is_entered(entry("", "directory")) and boundary().is_entered(entry("data", "directory"))


def test_an_exact_restore_plans_no_removal_on_file_systems_that_are_mounted_below() -> None:
    boundary = Boundary(Scope(), lambda _below: False)
    boundary.add_mount("sys")
    assert boundary.why_left(entry("sys")) and boundary.why_left(entry("sys/fs")) and not boundary.why_left(entry("sy"))

    # Every Linux has a file system mounted at /dev/pts.
    work = Work(DirectoryTarget({"/dev": "/dev"}), {"/dev": "/dev"}, Policy(exact=True), scope=Scope(devices=True))
    planned = list(work.steps(Stored([]), "/dev"))

    assert ("/dev", "pts") in work.mounts
    mounted = {step.key for step in planned if "mounted" in step.why}
    assert "pts" in mounted and not any(step.key.startswith("pts/") for step in planned)
    assert not mounted & {step.key for step in planned if step.action == REMOVE}


def test_what_the_backup_has_on_a_file_system_that_is_mounted_below_is_compared() -> None:
    work = Work(DirectoryTarget({"/dev": "/dev"}), {"/dev": "/dev"}, Policy(exact=True), scope=Scope(devices=True))
    ptmx = Row("pts/ptmx", 0, "", "0", "", "", "", None, {"type": "fifo"})

    (step,) = [each for each in work.steps(Stored([ptmx]), "/dev") if each.key == "pts/ptmx"]

    assert step.item is not None

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Copies of backups, and the stored files that a backup needs."""

from __future__ import annotations

import dataclasses
import typing as t
import unittest.mock

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import (
    DamagedError,
    GuardRefusal,
    LifeboatError,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import (
    binding,
    copy,
    identity,
    json_document,
    keyring,
    layout,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.lease import Permit
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.store import Store
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.stored_files import (
    NeededFile,
    files_of_need,
    is_self_contained,
    needed_files,
    needs_of,
    plain_chunks,
)
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository import (
    actors,
    keyrings,
)
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.actors import JOB
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.setting import (
    Setting,
    data_keys,
    manifest_key,
)


def copied(setting: Setting, backup_id: str) -> copy.CopyPlan:
    """Copy a backup from A to B without proving it."""
    store = setting.b.store()
    manifest = actors.manifest_of(setting.a.store(), backup_id)
    return copy.copy(setting.a.store(), store, manifest, identity.require(store))


def copied_plan(setting: Setting, backup_id: str) -> copy.CopyPlan:
    source = setting.a.store()
    return copy.plan(source, setting.b.store(), actors.manifest_of(source, backup_id))


def test_a_copy_is_the_same_bytes_under_the_same_keys(anywhere: Setting) -> None:
    base = anywhere.back_up(anywhere.a)
    made = anywhere.back_up(anywhere.a)
    copied(anywhere, made.id)
    there = anywhere.keys(anywhere.b, "")
    for key in (key for key in there if key.startswith(("data/", "manifests/", "jobs/"))):
        assert b"".join(anywhere.b.store().read(key)) == b"".join(anywhere.a.store().read(key))
    assert data_keys(f"{made.id}/SHA256SUMS") in there
    assert data_keys(f"{base.id}/pack-0") in there  # which the later backup needs
    assert data_keys(f"{base.id}/dump") not in there
    assert manifest_key(base.id) not in there


def test_a_second_copy_moves_nothing_and_takes_no_lease(anywhere: Setting) -> None:
    made = anywhere.back_up(anywhere.a)
    first = copied(anywhere, made.id)
    before = [(entry.key, entry.etag) for entry in anywhere.b.store().entries("")]
    second = copied(anywhere, made.id)
    assert len(first.missing) == 4
    assert first.bytes == sum(each.file.facts.stored_size for each in first.missing)
    assert second.is_empty
    assert [(entry.key, entry.etag) for entry in anywhere.b.store().entries("")] == before


def test_only_what_is_missing_is_moved(anywhere: Setting) -> None:
    first, second = anywhere.back_up(anywhere.a), anywhere.back_up(anywhere.a)
    copied(anywhere, first.id)
    moved = copied(anywhere, second.id)
    assert {each.owner for each in moved.missing} == {second.id}


def test_what_the_copy_of_the_base_needs_too_is_not_asked_for_by_who_trusts_it(anywhere: Setting) -> None:
    first, second, third = (anywhere.back_up(anywhere.a) for _run in range(3))
    copied(anywhere, second.id)
    source, target = anywhere.a.store(), anywhere.b.store()
    manifest = actors.manifest_of(source, third.id)
    lost = data_keys(f"{first.id}/pack-0")
    assert lost in {each.key(JOB) for each in needed_files(source, manifest)}
    anywhere.lose(anywhere.b, lost)
    trusted = copy.plan(source, target, manifest, trusting=True)
    assert {each.owner for each in trusted.missing} == {third.id}
    assert lost in {each.key(JOB) for each in copy.plan(source, target, manifest).missing}
    moved = copy.copy(source, target, manifest, identity.require(target), trusting=True)
    assert moved == trusted
    assert [each.key(JOB) for each in copied(anywhere, third.id).missing] == [lost]


def test_nobody_trusts_a_base_that_the_target_does_not_have_or_cannot_read(anywhere: Setting) -> None:
    first, second = (anywhere.back_up(anywhere.a) for _run in range(2))
    source, target = anywhere.a.store(), anywhere.b.store()
    manifest = actors.manifest_of(source, second.id)
    wanted = {each.key(JOB) for each in copy.plan(source, target, manifest).missing}
    assert data_keys(f"{first.id}/pack-0") in wanted
    assert {each.key(JOB) for each in copy.plan(source, target, manifest, trusting=True).missing} == wanted
    target.put_new(manifest_key(first.id), b"{}")
    assert {each.key(JOB) for each in copy.plan(source, target, manifest, trusting=True).missing} == wanted


def test_a_plan_changes_nothing(anywhere: Setting) -> None:
    made = anywhere.back_up(anywhere.a)
    before = anywhere.keys(anywhere.b, "")
    manifest = actors.manifest_of(anywhere.a.store(), made.id)
    found = copy.plan(anywhere.a.store(), anywhere.b.store(), manifest)
    assert not found.is_published
    assert {each.file.name for each in found.missing} == {"dump", "pack-0", "files.jsonl", "needs.jsonl"}
    assert anywhere.keys(anywhere.b, "") == before


@pytest.mark.parametrize("name", ["dump", "pack-0", "files.jsonl"])
def test_a_damaged_source_is_noticed_and_nothing_is_published(anywhere: Setting, name: str) -> None:
    made = anywhere.back_up(anywhere.a)
    anywhere.damage(anywhere.a, data_keys(f"{made.id}/{name}"))
    with pytest.raises(DamagedError):
        copied(anywhere, made.id)
    assert not anywhere.ids(anywhere.b)
    assert not anywhere.keys(anywhere.b, data_keys(f"{made.id}/{name}"))


def test_a_file_of_another_size_is_written_again(anywhere: Setting) -> None:
    made = anywhere.back_up()
    key = data_keys(f"{made.id}/dump")
    anywhere.lose(anywhere.b, key)
    anywhere.b.store().put(key, b"something else")
    moved = copied(anywhere, made.id)
    assert [each.key(JOB) for each in moved.missing] == [key]
    assert b"".join(anywhere.b.store().read(key)) == b"end"


def test_a_copy_that_was_killed_goes_on_and_sends_no_whole_file_again(
    anywhere: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = anywhere.back_up(anywhere.a)
    wanted = [each.key(JOB) for each in copied_plan(anywhere, made.id).missing]
    real, sent = copy._copy_file, list[str]()

    def dies(source: Store, target: Store, job: str, each: NeededFile, permit: Permit) -> None:
        if len(sent) == 2:
            raise KeyboardInterrupt
        real(source, target, job, each, permit)
        sent.append(each.key(job))

    monkeypatch.setattr(copy, "_copy_file", dies)
    with pytest.raises(KeyboardInterrupt):
        copied(anywhere, made.id)
    assert not anywhere.ids(anywhere.b)
    monkeypatch.setattr(copy, "_copy_file", real)
    rest = [each.key(JOB) for each in copied(anywhere, made.id).missing]
    assert sent + rest == wanted and len(sent) == 2
    assert anywhere.ids(anywhere.b) == [made.id]


def test_another_manifest_under_the_same_id_is_refused_before_anything_is_touched(anywhere: Setting) -> None:
    made = anywhere.back_up(anywhere.a)
    other = dataclasses.replace(actors.manifest_of(anywhere.a.store(), made.id), host="elsewhere").to_bytes()
    anywhere.b.store().put_new(manifest_key(made.id), other)
    before = anywhere.keys(anywhere.b, "data/")
    with pytest.raises(LifeboatError, match="another manifest under this id"):
        copied(anywhere, made.id)
    assert anywhere.keys(anywhere.b, "data/") == before == []


@pytest.mark.parametrize("is_newer", [False, True])
def test_another_manifest_beside_all_files_is_not_taken_for_a_copy(anywhere: Setting, is_newer: bool) -> None:
    made = anywhere.back_up(anywhere.a)
    copied(anywhere, made.id)
    store = anywhere.b.store()
    changed = dataclasses.replace(actors.manifest_of(store, made.id), host="elsewhere").to_bytes()
    if is_newer:  # of a version that only a newer Lifeboat reads
        changed = changed.replace(b'"format": 1', b'"format": 2')
    for version in list(store.versions(manifest_key(made.id))):
        store.delete(version.entry.key, version.entry.version_id)
    store.put_new(manifest_key(made.id), changed)
    with pytest.raises(LifeboatError, match="another manifest under this id"):
        copied(anywhere, made.id)
    document = store.get(manifest_key(made.id))
    assert document is not None and document.data == changed


def test_a_damaged_manifest_is_replaced_by_that_of_the_copy(anywhere: Setting) -> None:
    """That is what prune asks for, which stops where it cannot read one."""
    made = anywhere.back_up(anywhere.a)
    copied(anywhere, made.id)
    key, store = manifest_key(made.id), anywhere.b.store()
    whole = b"".join(store.read(key))
    for version in list(store.versions(key)):
        store.delete(key, version.entry.version_id)
    store.put_new(key, whole[:100])
    moved = copied(anywhere, made.id)
    assert (moved.is_empty, moved.missing) == (False, ())
    assert len(list(store.versions(key))) == 1
    assert b"".join(store.read(key)) == whole
    assert copied(anywhere, made.id).is_empty


def test_a_job_that_is_bound_to_another_source_in_the_target_is_refused(anywhere: Setting) -> None:
    made = anywhere.back_up(anywhere.a)
    binding.bind(anywhere.b.store(), JOB, actors.KIND, {"system_identifier": "1", "database": "lab"})
    with pytest.raises(GuardRefusal) as refused:
        copied(anywhere, made.id)
    assert refused.value.guard == "source"
    assert not anywhere.keys(anywhere.b, "data/")


def test_a_copy_brings_the_binding_of_its_job(anywhere: Setting) -> None:
    made = anywhere.back_up(anywhere.a)
    copied(anywhere, made.id)
    binding.check(anywhere.b.store(), JOB, actors.KIND, actors.SOURCE)


@pytest.mark.parametrize("change", [{"source": None}, {"source": ["x"]}, {"kind": 5}], ids=str)
def test_a_binding_that_says_no_source_is_damage(anywhere: Setting, change: dict[str, t.Any]) -> None:
    made = anywhere.back_up(anywhere.a)
    store, key = anywhere.a.store(), layout.binding(JOB)
    document = store.get(key)
    assert document is not None
    fields = {**json_document.decoded(document.data, key), **change}
    anywhere.lose(anywhere.a, key)
    store.put_new(key, json_document.encoded(fields))
    with pytest.raises(DamagedError):
        binding.check(store, JOB, actors.KIND, actors.SOURCE)
    with pytest.raises(DamagedError):
        copied(anywhere, made.id)


def test_a_place_of_somebody_else_gets_nothing_that_is_not_encrypted(anywhere: Setting) -> None:
    made = anywhere.back_up(anywhere.a)
    target = anywhere.b.store()
    with unittest.mock.patch.object(target, "encrypted_only", True), pytest.raises(GuardRefusal) as refused:
        copy.copy(anywhere.a.store(), target, actors.manifest_of(anywhere.a.store(), made.id), identity.require(target))
    assert refused.value.guard == "unencrypted"
    assert not any(anywhere.keys(anywhere.b, prefix) for prefix in ("data/", "manifests/", "jobs/"))


def test_a_backup_that_was_removed_meanwhile_is_not_copied(anywhere: Setting) -> None:
    made = anywhere.back_up(anywhere.a)
    manifest = actors.manifest_of(anywhere.a.store(), made.id)
    anywhere.remove(anywhere.a, made.id)
    with pytest.raises(DamagedError, match="removed or replaced meanwhile"):
        copy.copy(anywhere.a.store(), anywhere.b.store(), manifest, identity.require(anywhere.b.store()))


def test_an_overwritten_manifest_is_copied_as_it_first_was(in_buckets: Setting) -> None:
    made = in_buckets.back_up(in_buckets.a)
    key = manifest_key(made.id)
    first = b"".join(in_buckets.a.store().read(key))
    in_buckets.a.store().put(key, first.replace(b'"host"', b'"hosts"'))
    if len(list(in_buckets.a.store().versions(key))) == 1:  # no versions: what is left is damaged
        with pytest.raises(DamagedError):
            copied(in_buckets, made.id)
        return
    copied(in_buckets, made.id)
    assert b"".join(in_buckets.b.store().read(key)) == first


# What a backup needs


def test_a_backup_needs_its_own_files_and_the_named_ones_of_earlier_backups(anywhere: Setting) -> None:
    ids = [anywhere.back_up(anywhere.a, packs=2).id for _run in range(2)]
    manifest = actors.manifest_of(anywhere.a.store(), ids[1])
    needed = {(each.owner, each.file.name) for each in needed_files(anywhere.a.store(), manifest)}
    own = {(ids[1], name) for name in ("dump", "pack-0", "pack-1", "files.jsonl", "needs.jsonl")}
    assert needed == own | {(ids[0], name) for name in ("pack-0", "pack-1", "files.jsonl")}


def test_to_need_more_files_than_an_earlier_backup_has_is_damage(anywhere: Setting) -> None:
    anywhere.back_up(anywhere.a)
    store = anywhere.a.store()
    manifest = actors.manifest_of(store, anywhere.back_up(anywhere.a).id)
    [need] = needs_of(store, manifest)
    beyond = dataclasses.replace(need, ranges=((0, 0), (99, 99)))
    with pytest.raises(DamagedError, match="more files than"):
        list(files_of_need(store, manifest, beyond))


def test_a_changed_list_of_an_earlier_backup_is_noticed(anywhere: Setting) -> None:
    base, made = anywhere.back_up(anywhere.a), anywhere.back_up(anywhere.a)
    anywhere.damage(anywhere.a, data_keys(f"{base.id}/files.jsonl"))
    manifest = actors.manifest_of(anywhere.a.store(), made.id)
    with pytest.raises(DamagedError, match="is not what it was"):
        list(needed_files(anywhere.a.store(), manifest))


def test_a_backup_with_packs_or_needs_is_not_self_contained(anywhere: Setting) -> None:
    alone = anywhere.back_up(anywhere.a, packs=0)
    packed = anywhere.back_up(anywhere.a, shares=False)
    needy = anywhere.back_up(anywhere.a, packs=0)
    contained = [is_self_contained(actors.manifest_of(anywhere.a.store(), each.id)) for each in (alone, packed, needy)]
    assert contained == [True, False, False]


def test_the_plain_bytes_of_a_stored_file_are_checked(anywhere: Setting) -> None:
    made = anywhere.back_up(anywhere.a)
    file = actors.manifest_of(anywhere.a.store(), made.id).file("dump")
    assert b"".join(plain_chunks(anywhere.a.store(), JOB, made.id, file)) == b"end"
    anywhere.damage(anywhere.a, layout.data(JOB, made.id, "dump"))
    with pytest.raises(DamagedError):
        list(plain_chunks(anywhere.a.store(), JOB, made.id, file))


def test_a_keyring_comes_with_the_first_copy(in_directories: Setting) -> None:
    secret = keyrings.fresh_secret()
    keyrings.create([in_directories.a.store()], secret, is_single=True)
    made = in_directories.back_up(in_directories.a)
    copied(in_directories, made.id)
    source, target = in_directories.a.store(), in_directories.b.store()
    assert keyring.read(target, keyring.Access(secret)) == keyring.read(source, keyring.Access(secret))
    readme = target.get("RESCUE/README.txt")
    assert readme is not None and b"recovery code" in readme.data


def test_a_copy_into_a_repository_with_another_keyring_is_refused_before_anything_is_written(
    in_directories: Setting,
) -> None:
    keyrings.create([in_directories.a.store()], keyrings.fresh_secret(), is_single=True)
    made = in_directories.back_up(in_directories.a)
    keyrings.create([in_directories.b.store()], keyrings.fresh_secret(), is_single=True)
    before = in_directories.keys(in_directories.b, "data/")
    with pytest.raises(GuardRefusal) as refused:
        copied(in_directories, made.id)
    assert refused.value.guard == "keyring"
    assert in_directories.keys(in_directories.b, "data/") == before
    assert manifest_key(made.id) not in in_directories.keys(in_directories.b, "")

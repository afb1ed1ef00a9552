# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import io
import json
import zipfile

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import DamagedError, UsageError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio import server_export, server_import
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.server_export import ServerExport
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.server_import import Change, Selection

SECRET = "canary-secret"
READ = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["a", "b"], "Resource": ["*"]}]}
IDENTITIES = {
    "policies": {"read": READ, "other": READ},
    "users": {"alice": {"secretKey": SECRET, "status": "enabled"}, "bob": {"secretKey": "b", "status": "disabled"}},
    "groups": {"staff": {"version": 1, "status": "enabled", "members": ["alice"], "updatedAt": "2026-01-01"}},
    "svcaccts": {
        "key1": {"parent": "alice", "accessKey": "key1", "secretKey": "k", "status": "on", "claims": {"x": 1}}
    },
    "user_mappings": {"alice": {"version": 0, "policy": "read", "updatedAt": "2026-01-01"}},
}
LIFECYCLE = b"<LifecycleConfiguration><Rule><ID>a</ID></Rule></LifecycleConfiguration>"
BUCKETS = {
    "papers": {"lifecycle.xml": LIFECYCLE, "quota.json": b'{"quota":1,"rate":0}', "bucket-targets.json": b"<x/>"},
    "locked": {"object-lock.xml": b"<ObjectLockConfiguration/>"},
}
EXPORT = ServerExport(IDENTITIES, BUCKETS)


def zipped(**files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/").replace("_dot_", "."), content)
    return buffer.getvalue()


def words(plan):
    return [(each.kind, each.name, each.action) for each in plan.changes]


def test_what_was_packed_is_parsed_again():
    assert server_export.parse_identities(server_export.pack_identities(IDENTITIES)) == IDENTITIES
    packed = server_export.parse_buckets(server_export.pack_buckets(BUCKETS))
    assert packed["locked"] == BUCKETS["locked"]
    assert set(packed["papers"]) == {"lifecycle.xml", "quota.json"}  # no import takes targets


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\x03\x04 but no archive",
        server_export.pack_identities(IDENTITIES)[:-30],
        zipped(elsewhere="{}"),
        server_export.pack_identities({"users": IDENTITIES["users"]}),
        zipped(**{"iam-assets__users_dot_json": f'{{"secretKey": "{SECRET}"'}),
        zipped(**{"iam-assets__users_dot_json": f'["{SECRET}"]'}),
    ],
)
def test_what_is_no_export_is_damaged_and_not_shown(data):
    with pytest.raises(DamagedError) as error:
        server_export.parse_identities(data)
    assert SECRET not in str(error.value)
    assert error.value.__cause__ is None or SECRET not in repr(error.value.__cause__)


def test_a_flipped_bit_is_noticed():
    data = bytearray(server_export.pack_buckets(BUCKETS))
    data[len(b"PK....................papers/lifecycle.xml") + 12] ^= 1
    with pytest.raises(DamagedError):
        server_export.parse_buckets(bytes(data))


def test_an_archive_that_grows_without_end_is_refused(monkeypatch):
    monkeypatch.setattr(server_export, "_MOST_BYTES", 1000)
    with pytest.raises(DamagedError, match="more than 1000 bytes"):
        server_export.parse_buckets(zipped(**{"papers__x": b"0" * 2000}))


def test_an_export_shows_no_secret():
    plan = server_import.plan(EXPORT, ServerExport())
    assert SECRET not in repr(EXPORT) + repr(plan) + "".join(each.words for each in plan.changes)
    assert EXPORT.secrets == {SECRET, "b", "k"}
    assert server_import.scrubbed(f"bad {SECRET}!", {SECRET}) == "bad ***!"


def test_all_is_added_to_an_empty_server_and_nothing_to_an_equal_one():
    plan = server_import.plan(EXPORT, ServerExport())
    assert ("users", "alice", "add") in words(plan) and ("bucket", "locked", "add") in words(plan)
    assert plan.overwritten == ()
    assert server_import.plan(EXPORT, EXPORT).changes == ()


def test_the_same_in_other_words_is_no_change():
    found = json.loads(json.dumps(IDENTITIES))
    found["policies"]["read"]["Statement"][0]["Action"] = ["b", "a"]
    found["groups"]["staff"].update(members=["zoe", "alice"], updatedAt="2027-01-01", version=2)
    found["user_mappings"]["alice"].update(version=1, updatedAt="2027-01-01")
    found["svcaccts"]["key1"].update(claims={}, description="")
    lifecycle = (
        b'<LifecycleConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"> <Rule><ID>a</ID></Rule>'
        b"<ExpiryUpdatedAt>2026</ExpiryUpdatedAt></LifecycleConfiguration>"
    )
    papers = {**BUCKETS["papers"], "lifecycle.xml": lifecycle, "quota.json": b'{"quota":1}', "bucket-targets.json": b""}
    assert server_import.plan(EXPORT, ServerExport(found, {**BUCKETS, "papers": papers})).changes == ()


def test_what_differs_is_changed_and_nothing_else():
    found = json.loads(json.dumps(IDENTITIES))
    found["users"]["alice"]["secretKey"] = "another"
    found["users"]["carol"] = {"secretKey": "c", "status": "enabled"}
    papers = {**BUCKETS["papers"], "quota.json": b'{"quota":2}', "tagging.xml": b"<Tagging/>"}
    plan = server_import.plan(EXPORT, ServerExport(found, {**BUCKETS, "papers": papers}))
    assert plan.changes == (Change("users", "alice", "change"), Change("bucket", "papers", "change", ("quota.json",)))
    assert plan.identities == {"users": {"alice": IDENTITIES["users"]["alice"]}}
    assert plan.buckets == {"papers": {"quota.json": BUCKETS["papers"]["quota.json"]}}
    assert len(plan.overwritten) == 2


def test_a_user_who_comes_alone_lacks_the_groups_that_are_named():
    assert Selection(users=("alice",)).missing_groups(EXPORT) == ("staff",)
    assert Selection(users=("bob",)).missing_groups(EXPORT) == ()
    assert Selection().missing_groups(EXPORT) == ()


def test_a_user_comes_with_keys_and_policies_and_without_others():
    chosen = Selection("identities", users=("alice",)).chosen(EXPORT)
    assert chosen.buckets == {}
    assert {kind: set(entries) for kind, entries in chosen.identities.items()} == {
        "policies": {"read"},
        "users": {"alice"},
        "svcaccts": {"key1"},
        "user_mappings": {"alice"},
    }


@pytest.mark.parametrize(
    "wrong",
    [
        Selection(users=("nope",)),
        Selection(buckets=("nope",)),
        Selection("buckets", users=("alice",)),
        Selection("identities", buckets=("papers",)),
    ],
)
def test_what_cannot_be_chosen_is_refused(wrong):
    with pytest.raises(UsageError):
        wrong.chosen(EXPORT)


def test_replication_that_does_not_come_back_is_known():
    targets = {"bucket-targets.json": b"<BucketTargets><Targets></Targets></BucketTargets>"}
    export = ServerExport({}, {"a": {"replication.xml": b""}, "b": targets, "c": {"quota.json": b"{}"}})
    assert export.left_out == ("a", "b")


def test_entities_of_a_document_are_never_expanded():
    bomb = b"<!DOCTYPE x [<!ENTITY a 'aaaa'>]><x>&a;</x>"
    found = ServerExport({}, {"papers": {"lifecycle.xml": b"<x>aaaa</x>"}})
    plan = server_import.plan(ServerExport({}, {"papers": {"lifecycle.xml": bomb}}), found)
    assert words(plan) == [("bucket", "papers", "change")]

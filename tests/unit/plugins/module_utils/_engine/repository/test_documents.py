# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""JSON documents, manifests and the lists of files and needs."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import pathlib
import subprocess
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import DamagedError, UsageError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import json_document, layout
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.deletion_plan import DeletionPlan
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.intent import Intent
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.manifest import (
    Manifest,
    Need,
    StoredFile,
    file_list,
    need_list,
    parse_file_list,
    parse_need_list,
    sums,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.stream.pipeline import StreamFacts
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

QUIET = settings(  # the machine may be busy
    deadline=None, derandomize=True, database=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.dictionaries(st.text(max_size=6), JSON, max_size=5)
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
SIZES = st.integers(0, 2**50)
DIGESTS = st.binary(min_size=32, max_size=32).map(bytes.hex)
FACTS = st.builds(StreamFacts, SIZES, DIGESTS, SIZES, DIGESTS, st.sampled_from(["zstd", "gzip", "none"]))
FILES = st.builds(StoredFile, NAMES, st.sampled_from(["dump", "globals", "pack"]), FACTS)
MOMENTS = st.datetimes(timezones=st.just(clock.UTC), min_value=dt.datetime(1970, 1, 1))
IDS = st.builds(lambda moment, number: f"{clock.compact(moment)}-{number:06x}", MOMENTS, st.integers(0, 2**24 - 1))
PAIRS = st.tuples(st.integers(0, 50), st.integers(0, 50)).map(lambda pair: (min(pair), max(pair)))
NEEDS = st.builds(Need, IDS, DIGESTS, st.lists(PAIRS, max_size=3).map(tuple))
MANIFESTS = st.builds(
    Manifest,
    id=IDS,
    job=NAMES,
    kind=NAMES,
    base=st.just("") | IDS,
    started=MOMENTS,
    finished=MOMENTS,
    host=st.text(max_size=9),
    versions=st.dictionaries(NAMES, st.text(max_size=5), max_size=2),
    source=FIELDS,
    files=st.lists(FILES, max_size=3).map(tuple),
    statistics=FIELDS,
    warnings=st.lists(st.text(max_size=20), max_size=2).map(tuple),
)


@QUIET
@given(FIELDS)
def test_a_document_comes_back_as_it_was_written(fields: dict[str, t.Any]) -> None:
    found = json_document.decoded(json_document.encoded(fields), "it")
    assert found == {**{name: value for name, value in fields.items() if name != "digest"}, "format": layout.FORMAT}


def test_every_changed_byte_of_a_document_is_noticed() -> None:
    written = json_document.encoded({"name": "Zoë", "rows": [1, 2, {"a": None}], "size": 0})
    for position in range(len(written)):
        for value in range(256):
            changed = written[:position] + bytes([value]) + written[position + 1 :]
            if changed != written:
                with pytest.raises(DamagedError):
                    json_document.decoded(changed, "it")


@QUIET
@given(st.data())
def test_a_cut_or_lengthened_document_is_noticed(data: st.DataObject) -> None:
    written = examples.manifest().to_bytes()
    end = data.draw(st.integers(0, len(written) - 1))
    for changed in (written[:end], written + written[end:], written[end + 1 :]):
        with pytest.raises(DamagedError):
            json_document.decoded(changed, "it")


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"null", b"\xff", b"{}", b'{"format": 1}', b'{"format": "1"}', b"[" * 99999]
)
def test_what_is_no_document_is_damaged(text: bytes) -> None:
    with pytest.raises(DamagedError, match="Cannot read it: damaged"):
        json_document.decoded(text, "it")


def test_a_newer_format_is_refused_and_says_so() -> None:
    with pytest.raises(DamagedError, match=r"format version 2 is newer than 1(.|\n)*upgrade lifeboat"):
        json_document.decoded(b'{"format": 2, "new": true}', "it")


@QUIET
@given(MANIFESTS)
def test_a_manifest_comes_back_as_it_was_written(manifest: Manifest) -> None:
    found = Manifest.from_bytes(manifest.to_bytes(), manifest.job, manifest.id)
    assert found == manifest
    assert found.to_bytes() == manifest.to_bytes()


@pytest.mark.parametrize(("job", "backup_id"), [("other", examples.ID), (examples.JOB, "20261120T020000Z-ffffff")])
def test_a_manifest_under_the_key_of_another_is_refused(job: str, backup_id: str) -> None:
    with pytest.raises(DamagedError, match="it is that of '20261120T020000Z-0a1b2c' of 'lab'"):
        Manifest.from_bytes(examples.manifest().to_bytes(), job, backup_id)


OPTIONAL = ("flags", "taken_over", "mac")


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(Manifest) if f.name not in OPTIONAL])
def test_a_manifest_without_one_of_its_fields_is_damaged(name: str) -> None:
    fields = json.loads(examples.manifest().to_bytes())
    del fields[name], fields["digest"]
    with pytest.raises(DamagedError):
        Manifest.from_bytes(json_document.encoded(fields), examples.JOB, examples.ID)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "../dump"},
        {"name": "a/b"},
        {"name": ""},
        {"stored_size": -1},
        {"stored_size": "4"},
        {"plain_size": None},
    ],
)
def test_a_stored_file_that_cannot_be_is_damage(change: dict[str, t.Any]) -> None:
    fields = json.loads(examples.manifest().to_bytes())
    fields["files"][0].update(change)
    del fields["digest"]
    with pytest.raises(DamagedError):
        Manifest.from_bytes(json_document.encoded(fields), examples.JOB, examples.ID)


def test_a_role_that_a_backup_has_not_is_said() -> None:
    assert examples.manifest().file("dump").name == "dump"
    with pytest.raises(DamagedError, match="no stored file of role globals"):
        examples.manifest().file("globals")


@QUIET
@given(st.lists(FILES, max_size=5))
def test_a_file_list_comes_back_as_it_was_written(files: list[StoredFile]) -> None:
    assert parse_file_list(file_list(files), "files.jsonl") == files


@QUIET
@given(st.lists(NEEDS, max_size=4))
def test_a_need_list_comes_back_as_it_was_written(needs: list[Need]) -> None:
    assert parse_need_list(need_list(needs), "needs.jsonl") == needs


@pytest.mark.parametrize("line", [b"{", b"7", b"[]", b'["dump"]', b'["x/y","dump",1,"a",1,"b","none","none"]'])
def test_a_damaged_file_list_is_refused(line: bytes) -> None:
    with pytest.raises(DamagedError, match="Cannot read files.jsonl"):
        parse_file_list(line + b"\n", "files.jsonl")


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"7",
        b'["x","a",[]]',
        b'["20261120T020000Z-0a1b2c","a",[[-1,0]]]',
        b'["20261120T020000Z-0a1b2c","a",[[2,1]]]',
    ],
)
def test_a_damaged_need_list_is_refused(line: bytes) -> None:
    with pytest.raises(DamagedError, match="Cannot read needs.jsonl"):
        parse_need_list(line + b"\n", "needs.jsonl")


def test_the_sums_are_checked_by_sha256sum(tmp_path: pathlib.Path) -> None:
    files = []
    for name, data in (("dump.zst", b"some"), ("files.jsonl", b"")):
        (tmp_path / name).write_bytes(data)
        files.append(examples.stored_file(name, data=data))
    (tmp_path / "SHA256SUMS").write_bytes(sums(files))
    check = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
    assert subprocess.run(check, cwd=tmp_path, capture_output=True, check=False).returncode == 0
    (tmp_path / "dump.zst").write_bytes(b"sorry")
    assert subprocess.run(check, cwd=tmp_path, capture_output=True, check=False).returncode == 1


def test_intents_and_plans_come_back_as_they_were_written() -> None:
    intent = Intent(examples.JOB, examples.ID, "", "db1", "4f1c")
    plan = DeletionPlan(examples.JOB, examples.MOMENT, ("data/lab/a", "data/lab/b"))
    assert Intent.from_bytes(intent.to_bytes(), "it") == intent
    assert DeletionPlan.from_bytes(plan.to_bytes(), "it") == plan
    struck = dataclasses.replace(plan, is_struck=True)
    assert DeletionPlan.from_bytes(struck.to_bytes(), "it") == struck
    with pytest.raises(DamagedError):
        DeletionPlan.from_bytes(intent.to_bytes(), "it")


@pytest.mark.parametrize("job", ["", ".", "..", "a/b", "-a", "a b", "é", "x" * 129, "a\n"])
def test_a_name_that_could_leave_its_folder_is_no_job(job: str) -> None:
    with pytest.raises(UsageError):
        layout.checked_job(job)


@pytest.mark.parametrize(
    "backup_id", ["", "latest", "20261120T020000Z-0a1b2", "20261120T020000Z-0A1B2C", examples.ID + "\n"]
)
def test_what_has_not_the_form_of_an_id_is_none(backup_id: str) -> None:
    with pytest.raises(UsageError):
        layout.checked_id(backup_id)


def test_keys_lie_where_the_format_says() -> None:
    assert layout.manifest("lab", examples.ID) == f"manifests/lab/{examples.ID}.json"
    assert layout.data("lab", examples.ID, "dump.zst") == f"data/lab/{examples.ID}/dump.zst"
    assert layout.id_of(layout.intent("lab", examples.ID)) == examples.ID
    assert layout.lease("lab") == "maintenance/lab.json"

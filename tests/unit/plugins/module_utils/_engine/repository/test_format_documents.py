# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What docs/format.md and docs/schemas say, against what the code writes and against the golden repositories."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
import re
import shutil
import zlib

import jsonschema
import pytest
import zstandard
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import DamagedError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import (
    acknowledgement,
    binding,
    catalog,
    copy,
    deletion_plan,
    hold,
    identity,
    json_document,
    layout,
    lease,
    proof,
    recovery_point,
    recovery_record,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.manifest import Manifest, TakenFile
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.publish import Contents, Run
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.verify.checksum import check_sums

ROOT = pathlib.Path(__file__).resolve().parents[6]
FORMAT_PAGE = ROOT / "docs" / "format.md"
GOLDEN = ROOT / "tests" / "unit" / "fixtures" / "golden"
SCHEMAS = {
    path.name[: -len(".schema.json")]: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((ROOT / "docs" / "schemas").glob("*.schema.json"))
}
HEADINGS = {  # of the tables in docs/format.md that describe the members of a document
    "identity": "lifeboat.json",
    "binding": "Binding",
    "intent": "Intent",
    "manifest": "Manifest",
    "proof_record": "Proof record",
    "lease": "Lease",
    "deletion_plan": "Deletion plan",
    "acknowledgement": "Acknowledgement",
    "recovery_record": "Recovery record",
    "hold": "Hold",
    "recovery_point": "Recovery point",
    "epoch_key": "Epoch key",
    "recovery_key": "Recovery key",
    "recovery_verification": "Verification",
}
OPTIONAL = {"flags", "taken_over", "mac", "sealed"}  # members that a document may lack
KINDS = (  # of documents, by their keys
    (r"lifeboat\.json", "identity"),
    (r"jobs/[^/]+\.json", "binding"),
    (r"intents/[^/]+/[^/]+\.json", "intent"),
    (r"manifests/[^/]+/[^/]+\.json", "manifest"),
    (r"verified/[^/]+/[^/]+/[^/]+\.json", "proof_record"),
    (r"maintenance/[^/]+\.json", "lease"),
    (r"plans/[^/]+/[^/]+\.json", "deletion_plan"),
    (r"acknowledged/[^/]+/[^/]+\.json", "acknowledgement"),
    (r"recoveries/[^/]+/[^/]+\.json", "recovery_record"),
    (r"holds/[^/]+/[^/]+\.json", "hold"),
    (r"points/[^/]+/[^/]+\.json", "recovery_point"),
    (r"keys/[^/]+\.json", "epoch_key"),
    (r"RESCUE/recovery_key-[0-9]+\.json", "recovery_key"),
    (r"RESCUE/recovery_key-[0-9]+\.verified\.json", "recovery_verification"),
)


def check(kind: str, data: bytes) -> None:
    jsonschema.Draft202012Validator(SCHEMAS[kind]).validate(json.loads(data))


def kind_of(key: str) -> str:
    (kind,) = [kind for pattern, kind in KINDS if re.fullmatch(pattern, key)]
    return kind


def documents_in(root: pathlib.Path) -> dict[str, bytes]:
    found = {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*.json"))}
    return {key: data for key, data in found.items() if not key.startswith("data/")}


class LeasedStore(DirectoryStore):
    """A directory that excludes others by lease documents, as a bucket does."""

    @property
    def has_locks(self) -> bool:
        return False


def a_recovery(job: str, backup_id: str) -> recovery_record.Recovery:
    begun = clock.from_text("2026-11-20T08:31:00Z")
    return recovery_record.Recovery(
        job,
        "database_corruption",
        "db1",
        begun,
        begun,
        back_at=begun,
        phases=(recovery_record.Phase("recover", 1.5),),
        backup_id=backup_id,
        backup_repository="site",
        recovered={"rows": 3},
        checks=(recovery_record.Check("health", True, "HTTP 200"),),
        deviations=("it was a test",),
        rto_hours=4.0,
    )


def a_point(manifest: Manifest) -> recovery_point.Point:
    times = (manifest.started, manifest.finished)
    member = recovery_point.Member(manifest.job, manifest.kind, manifest.id, *times)
    listed = dataclasses.replace(manifest.file("dump"), name="missing-0.jsonl.zst", role="missing")
    references = (
        recovery_point.Reference("papers", manifest.job, "db1-documents", 3, 1, listed=listed),
        recovery_point.Reference("pictures", manifest.job, "db1-documents", problem="no such table"),
    )
    return recovery_point.Point("db1-all", manifest.id, *times, "db1", (member,), references)


@pytest.fixture
def written(tmp_path):
    """A repository with every kind of document, written by the code."""
    tmp_path.joinpath("repository").mkdir()
    store = LeasedStore(str(tmp_path / "repository"))
    who = identity.initialise(store)
    job = "db1-shop"
    binding.bind(store, job, "pg_database", {"system_identifier": "1", "database": "shop"})
    run = Run(store, job)
    run.store_file("database.dump", "dump", [b"plain " * 100], "zstd")
    golden = catalog.backups(DirectoryStore(str(GOLDEN / "v1")), job, with_proof=False)[0].manifest
    manifest = run.publish(
        Contents(
            "pg_database",
            golden.versions,
            golden.source,
            golden.statistics,
            ("it was a test",),
            ("mass_delete: 1 of 1",),
        )
    )
    acknowledgement.acknowledge(store, job, run.id)
    files = check_sums(store, manifest).verdicts[run.id]
    proof.write(store, proof.ProofRecord(job, run.id, "checksum", store.now(), "db1", files, {"plain_bytes": 600}))
    plan = deletion_plan.DeletionPlan(job, store.now(), (layout.data(job, "20260101T000000Z-000000", "x.zst"),))
    store.put_new(f"{layout.plans(job)}1.json", plan.to_bytes())
    recovery_record.write(store, a_recovery(job, run.id))
    recovery_point.write(store, a_point(manifest))
    with lease.held(store, job, who.signature_window, 0) as permit:
        hold.place(store, job, run.id, "an audit", None, permit)
    for folder in ("keys", "RESCUE"):
        shutil.copytree(GOLDEN.parent / "golden_keyring" / "repository" / folder, tmp_path / "repository" / folder)
    return tmp_path / "repository"


def test_every_kind_of_document_has_a_schema_and_a_table():
    assert set(SCHEMAS) == set(HEADINGS) == {kind for _pattern, kind in KINDS}
    for schema in SCHEMAS.values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_the_schemas_describe_what_the_code_writes(written):
    found = documents_in(written)
    for key, data in found.items():
        check(kind_of(key), data)
    assert {kind_of(key) for key in found} == set(SCHEMAS)


@pytest.mark.parametrize("kind", SCHEMAS)
def test_a_schema_refuses_a_document_with_a_member_less_or_more(written, kind):
    data = next(data for key, data in documents_in(written).items() if kind_of(key) == kind)
    fields = json.loads(data)
    for name in fields.keys() - OPTIONAL:
        without = {key: value for key, value in fields.items() if key != name}
        with pytest.raises(jsonschema.ValidationError):
            check(kind, json.dumps(without).encode())
    with pytest.raises(jsonschema.ValidationError):
        check(kind, json.dumps({**fields, "surprise": 1}).encode())


def test_the_schemas_describe_the_golden_repository():
    found = documents_in(GOLDEN / "v1")
    for key, data in found.items():
        check(kind_of(key), data)
    assert {kind_of(key) for key in found} == {"identity", "binding", "manifest", "proof_record"}


def golden_manifest() -> Manifest:
    found = catalog.backups(DirectoryStore(str(GOLDEN / "v1")), "db1-shop", with_proof=False)[0].manifest
    assert found is not None
    return found


def test_files_that_a_manifest_has_taken_over_are_found_like_its_own_and_need_no_more_than_the_schema_allows():
    golden = golden_manifest()
    dump = golden.file("dump")
    taken = TakenFile("20260101T000000Z-00000a", 3, dataclasses.replace(dump, name="settings.json", role="settings"))
    made = dataclasses.replace(golden, taken_over=(taken,))
    check("manifest", made.to_bytes())
    again = Manifest.from_bytes(made.to_bytes(), made.job, made.id)
    assert again == made
    assert (again.find("dump"), again.find("settings")) == ((made.id, dump), (taken.owner, taken.file))
    assert again.roles == golden.roles | {"settings"} and golden.find("settings") is None
    assert b"taken_over" not in golden.to_bytes()


@pytest.mark.parametrize("wrong", [{"owner": "../x"}, {"owner": 1}, {"number": -1}, {"number": True}, {"name": "a/b"}])
def test_a_manifest_that_takes_over_what_is_no_stored_file_is_damaged(wrong):
    golden = golden_manifest()
    taken = TakenFile("20260101T000000Z-00000a", 3, golden.file("dump"))
    fields = json.loads(dataclasses.replace(golden, taken_over=(taken,)).to_bytes())
    fields["taken_over"][0].update(wrong)
    data = json_document.encoded({name: value for name, value in fields.items() if name not in ("digest", "format")})
    with pytest.raises(DamagedError):
        Manifest.from_bytes(data, golden.job, golden.id)


@pytest.mark.parametrize("kind", HEADINGS)
def test_the_page_describes_every_member_that_a_schema_has(kind):
    page = FORMAT_PAGE.read_text(encoding="utf-8")
    section = re.search(rf"^### {re.escape(HEADINGS[kind])}.*?(?=^##)", page, re.MULTILINE | re.DOTALL)
    assert section is not None
    explained = set(re.findall(r"`([a-z0-9_]+)`", section.group()))
    assert members(SCHEMAS[kind]) - explained <= {"digest", "format"}


def members(schema) -> set[str]:
    """Return the names of all members that a schema describes, at any depth."""
    found = set()
    if isinstance(schema, dict):
        found |= set(schema.get("properties", {})) if isinstance(schema.get("properties"), dict) else set()
        for value in schema.values():
            found |= members(value)
    elif isinstance(schema, list):
        for value in schema:
            found |= members(value)
    return found


def test_the_page_shows_the_digest_of_its_example():
    page = FORMAT_PAGE.read_text(encoding="utf-8")
    example = re.search(r"```json\n(.*?)```", page, re.DOTALL).group(1)
    rest = "".join(line for line in example.splitlines(keepends=True) if not line.startswith(' "digest": '))
    digest = hashlib.sha256(rest.encode()).hexdigest()
    assert f"`{digest}`" in page
    assert json.loads(example)["digest"] == digest
    assert example == (GOLDEN / "v1" / "lifeboat.json").read_text(encoding="utf-8")


class Stranger:
    """A reader that was written by docs/format.md and uses nothing of the engine."""

    def __init__(self, root: pathlib.Path) -> None:
        self.root = root
        self.document("lifeboat.json")

    def document(self, key: str) -> dict:
        data = (self.root / key).read_bytes()
        rest = b"".join(line for line in data.splitlines(keepends=True) if not line.startswith(b' "digest": '))
        fields = json.loads(data)
        if fields["format"] > 1:
            raise ValueError(f"{key} has a newer format")
        if hashlib.sha256(rest).hexdigest() != fields["digest"]:
            raise ValueError(f"{key} is damaged")
        again = json.dumps(fields, sort_keys=True, indent=1, ensure_ascii=True) + "\n"
        if again.encode() != data:
            raise ValueError(f"{key} is not in the form of a document")
        return fields

    def ids(self, job: str) -> list[str]:
        names = (path.stem for path in (self.root / "manifests" / job).glob("*.json"))
        return sorted(name for name in names if re.fullmatch(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{6}", name))

    def manifest(self, job: str, backup_id: str) -> dict:
        fields = self.document(f"manifests/{job}/{backup_id}.json")
        if (fields["job"], fields["id"]) != (job, backup_id):
            raise ValueError("this manifest belongs elsewhere")
        return fields

    def listed(self, job: str, owner: str) -> list[dict]:
        names = ("name", "role", "plain_size", "plain_sha256", "stored_size", "stored_sha256", "compression")
        rows = map(json.loads, (self.root / "data" / job / owner / "files.jsonl").read_text().splitlines())
        return [dict(zip((*names, "encryption"), row)) for row in rows]

    def needed(self, job: str, backup_id: str) -> dict[tuple[str, str], dict]:
        """Return owner and name → facts of every stored file that the backup needs."""
        own = self.manifest(job, backup_id)["files"] + self.listed(job, backup_id)
        found = {(backup_id, file["name"]): file for file in own}
        for line in (self.root / "data" / job / backup_id / "needs.jsonl").read_text().splitlines():
            owner, digest, ranges = json.loads(line)
            whole = (self.root / "data" / job / owner / "files.jsonl").read_bytes()
            if hashlib.sha256(whole).hexdigest() != digest:
                raise ValueError(f"files.jsonl of {owner} is not what it was")
            numbered = self.listed(job, owner)
            for first, last in ranges:
                found.update({(owner, file["name"]): file for file in numbered[first : last + 1]})
        return found

    def plain(self, job: str, owner: str, file: dict) -> bytes:
        stored = (self.root / "data" / job / owner / file["name"]).read_bytes()
        compare(stored, file["stored_size"], file["stored_sha256"])
        if file["compression"] == "zstd":
            with zstandard.ZstdDecompressor().stream_reader(stored, read_across_frames=True) as reader:
                plain = reader.read()
        elif file["compression"] == "gzip":
            plain = b""
            while stored:
                decoder = zlib.decompressobj(16 + zlib.MAX_WBITS)
                plain += decoder.decompress(stored)
                stored = decoder.unused_data
        else:
            plain = stored
        compare(plain, file["plain_size"], file["plain_sha256"])
        return plain

    def proved(self, job: str, owner: str) -> dict[str, str]:
        """Return the stored digests of the files of `owner` whose verdict is good."""
        verdicts: dict[str, tuple[bool, str]] = {}
        records = [
            self.document(str(path.relative_to(self.root)))
            for path in (self.root / "verified" / job / owner).glob("*.json")
        ]
        for record in sorted(records, key=lambda each: each["time"]):
            for file in record["files"]:
                if record["level"] in ("content", "restore") or not file["is_good"]:
                    verdicts[file["name"]] = (file["is_good"], file["stored_sha256"])
        return {name: digest for name, (is_good, digest) in verdicts.items() if is_good}


def compare(data: bytes, size: int, digest: str) -> None:
    if (len(data), hashlib.sha256(data).hexdigest()) != (size, digest):
        raise ValueError("these are other bytes")


@pytest.fixture
def golden(tmp_path):
    """A copy of the golden repository that may be changed."""
    return pathlib.Path(shutil.copytree(GOLDEN / "v1", tmp_path / "v1"))


def test_a_stranger_reads_the_dump_of_the_golden_repository():
    reader = Stranger(GOLDEN / "v1")
    (backup_id,) = reader.ids("db1-shop")
    manifest = reader.manifest("db1-shop", backup_id)
    plain = {file["role"]: reader.plain("db1-shop", backup_id, file) for file in manifest["files"]}
    assert plain["dump"].startswith(b"PGDMP")  # the magic of the custom format (pg_backup_archiver.c)
    assert b"CREATE ROLE shop_owner;" in plain["globals"]
    assert (plain["files"].count(b"\n"), plain["needs"]) == (2, b"")


def test_a_stranger_sees_that_the_dump_is_proved_and_the_parts_are_not():
    reader = Stranger(GOLDEN / "v1")
    for job, is_proved in (("db1-shop", True), ("db1-parts", False)):
        newest = reader.ids(job)[-1]
        needed = reader.needed(job, newest)
        good = {(owner, n): d for owner, _name in needed for n, d in reader.proved(job, owner).items()}
        assert all(good.get(key) == file["stored_sha256"] for key, file in needed.items()) is is_proved


def test_a_stranger_finds_what_a_backup_needs_of_an_earlier_one():
    reader = Stranger(GOLDEN / "v1")
    first, second = reader.ids("db1-parts")
    assert reader.manifest("db1-parts", second)["base"] == first
    needed = reader.needed("db1-parts", second)
    contents = {key: reader.plain("db1-parts", key[0], file) for key, file in needed.items()}
    assert contents[(first, "pack-0000.zst")] == b"one\n" * 3
    assert contents[(first, "pack-0002")] == b""
    assert (first, "pack-0001.gz") not in contents
    assert contents[(second, "pack-0000.zst")] == b"three\n"


def test_a_stranger_and_the_engine_need_the_same_files(golden):
    store, reader = DirectoryStore(str(golden)), Stranger(golden)
    for job in catalog.jobs(store):
        for backup in catalog.backups(store, job):
            outcome = check_sums(store, backup.manifest)
            seen = {(owner, each.name) for owner, verdicts in outcome.verdicts.items() for each in verdicts}
            lists = {key for key in seen if key[1] == "files.jsonl"}  # of owners: they are read, not listed
            assert seen - lists == set(reader.needed(job, backup.id)) - lists


def test_a_stranger_notices_damage(golden):
    reader = Stranger(golden)
    (backup_id,) = reader.ids("db1-shop")
    dump = golden / "data" / "db1-shop" / backup_id / "database.dump.zst"
    damaged = bytearray(dump.read_bytes())
    damaged[100] ^= 1
    dump.write_bytes(damaged)
    with pytest.raises(ValueError, match="other bytes"):
        reader.plain("db1-shop", backup_id, reader.manifest("db1-shop", backup_id)["files"][0])
    manifest = golden / "manifests" / "db1-shop" / f"{backup_id}.json"
    manifest.write_text(manifest.read_text().replace('"plain_size": 656', '"plain_size": 657'))
    with pytest.raises(ValueError, match="is damaged"):
        reader.manifest("db1-shop", backup_id)


def test_there_is_a_golden_repository_of_every_format_version():
    assert sorted(path.name for path in GOLDEN.glob("v*")) == [f"v{number + 1}" for number in range(layout.FORMAT)]


@pytest.mark.parametrize("version", sorted(path.name for path in GOLDEN.glob("v*")))
def test_every_golden_repository_is_read_verified_and_copied(tmp_path, version):
    root = pathlib.Path(shutil.copytree(GOLDEN / version, tmp_path / version))
    store = DirectoryStore(str(root))
    assert identity.require(store).has_conditional_writes
    assert catalog.jobs(store) == ["db1-parts", "db1-shop"]
    (shop,) = catalog.backups(store, "db1-shop")
    assert shop.is_good
    assert shop.manifest.source["database"] == "shop"
    tmp_path.joinpath("target").mkdir()
    target = DirectoryStore(str(tmp_path / "target"))
    there = identity.initialise(target)
    for job, number in (("db1-parts", 2), ("db1-shop", 1)):
        backups = catalog.backups(store, job)
        assert len(backups) == number
        for backup in backups:
            assert check_sums(store, backup.manifest).problems == ()
            copy.copy(store, target, backup.manifest, there, 0)
            assert check_sums(target, backup.manifest).problems == ()
        assert [each.manifest for each in catalog.backups(target, job)] == [each.manifest for each in backups]


def test_a_document_of_a_newer_format_is_refused_with_a_clear_text(golden):
    path = golden / "lifeboat.json"
    lines = path.read_text().replace('"format": 1', '"format": 2').splitlines(keepends=True)
    rest = "".join(line for line in lines if '"digest"' not in line)
    digest = hashlib.sha256(rest.encode()).hexdigest()
    path.write_text("".join(f' "digest": "{digest}",\n' if '"digest"' in line else line for line in lines))
    with pytest.raises(DamagedError, match=r"format version 2 is newer than 1"):
        identity.require(DirectoryStore(str(golden)))


def test_times_in_documents_have_the_form_that_the_page_gives():
    assert clock.to_text(clock.from_text("2026-11-21T02:36:20.639906Z")) == "2026-11-21T02:36:20.639906Z"
    assert clock.compact(clock.from_text("2026-11-21T02:36:20.639906Z")) == "20261121T023620Z"
    assert layout.checked_id("20261121T023618Z-8f9b10")

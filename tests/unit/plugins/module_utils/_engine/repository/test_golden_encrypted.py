# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The golden encrypted repository, read by the engine, and by a stranger who has docs/format.md and the AWS SDK."""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import tarfile
import typing as t
from pathlib import Path

import aws_encryption_sdk
import jsonschema
import pytest
import zstandard
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects import pack_reader
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.index_reader import IndexReader
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import catalog, proof, signing
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.keys import Keys
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.stored_files import plain_chunks
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.stream.encryption import EpochKey
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.verify.objects_content import check_objects
from aws_encryption_sdk.identifiers import EncryptionKeyType, WrappingAlgorithm
from aws_encryption_sdk.internal.crypto.wrapping_keys import WrappingKey
from aws_encryption_sdk.key_providers.raw import RawMasterKey

ROOT = Path(__file__).resolve().parents[6]
GOLDEN = ROOT / "tests" / "unit" / "fixtures" / "golden_encrypted" / "v1"
TOLD = json.loads((GOLDEN.parent / "keys.json").read_text(encoding="ascii"))
SECRETS = {name: bytes.fromhex(secret) for name, secret in TOLD["epochs"].items()}
FILES = {"readme.txt": b"read me\n" * 40, "notes/a note.txt": b"nobody reads this\n", "notes/ä.txt": b"\xc3\xa4\n"}


@pytest.fixture
def store() -> DirectoryStore:
    made = DirectoryStore(str(GOLDEN))
    epochs = tuple(EpochKey(TOLD["keyring"], name, secret) for name, secret in SECRETS.items())
    made.keys = Keys(TOLD["keyring"], epochs)
    return made


def test_the_engine_believes_and_reads_all_of_it(store: DirectoryStore) -> None:
    for job in ("db1-shop", "web1-docs"):
        for backup in catalog.backups(store, job):
            assert (backup.signature, backup.is_good) == (signing.VALID, True)
            assert [each.signature for each in proof.records(store, job, backup.id)] == [signing.VALID]
    [shop] = catalog.backups(store, "db1-shop")
    assert shop.manifest is not None
    dump = b"".join(plain_chunks(store, "db1-shop", shop.id, shop.manifest.file("dump")))
    assert dump.startswith(b"PGDMP") and b"a large object" in dump
    first, second = catalog.backups(store, "web1-docs")
    assert first.manifest is not None and second.manifest is not None and second.manifest.base == first.id
    assert check_objects(store, second.manifest).is_good
    index = IndexReader(store, second.manifest)
    [root] = index.collections()
    rows = [row for row in index.rows(root) if row.sha256]
    found = {row.key: b"".join(pack_reader.member(store, "web1-docs", row)) for row in rows}
    assert found == {**FILES, "later.txt": b"written later\n"}


def documents() -> t.Iterator[tuple[str, str, dict[str, t.Any]]]:
    """Yield path, purpose of the signature, and content of every signed document."""
    for folder, purpose in (("manifests", "manifest"), ("verified", "proof record")):
        for path in sorted((GOLDEN / folder).rglob("*.json")):
            yield str(path), purpose, json.loads(path.read_bytes())


def test_a_stranger_checks_every_signature() -> None:
    checked = 0
    for path, purpose, fields in documents():
        mac = fields.pop("mac")
        del fields["digest"]
        assert mac["keyring"] == TOLD["keyring"]
        text = json.dumps(fields, sort_keys=True, indent=1, ensure_ascii=True) + "\n"
        key = hmac.digest(SECRETS[mac["epoch"]], b"lifeboat signature 1 " + purpose.encode(), "sha256")
        assert hmac.new(key, text.encode(), hashlib.sha256).hexdigest() == mac["hmac_sha256"], path
        checked += 1
    assert checked == 6


def test_the_schemas_describe_its_documents() -> None:
    for folder, name in (("manifests", "manifest"), ("verified", "proof_record")):
        schema = json.loads((ROOT / "docs" / "schemas" / f"{name}.schema.json").read_text(encoding="utf-8"))
        for path in (GOLDEN / folder).rglob("*.json"):
            jsonschema.Draft202012Validator(schema).validate(json.loads(path.read_bytes()))


def opened(path: Path) -> tuple[bytes, t.Mapping[str, str]]:
    """Return the compressed bytes of a stored file and its context, by the SDK alone."""
    [encryption] = [
        row[-1] for row in map(json.loads, (path.parent / "files.jsonl").open(encoding="ascii")) if row[0] == path.name
    ]
    form, keyring, epoch = encryption.split(":")
    assert (form, keyring) == ("aws-esdk-2", TOLD["keyring"])
    wrapping = WrappingKey(
        WrappingAlgorithm.AES_256_GCM_IV12_TAG16_NO_PADDING, SECRETS[epoch], EncryptionKeyType.SYMMETRIC
    )
    key = RawMasterKey(provider_id=keyring, key_id=epoch.encode(), wrapping_key=wrapping)
    found, header = aws_encryption_sdk.EncryptionSDKClient().decrypt(source=path.read_bytes(), key_provider=key)
    return found, header.encryption_context


def test_a_stranger_opens_every_stored_file() -> None:
    files = sorted((GOLDEN / "data").rglob("*.enc"))
    assert len(files) == 9
    for path in files:
        compressed, context = opened(path)
        assert dict(context) == {
            "lifeboat-keyring": TOLD["keyring"],
            "lifeboat-job": path.parts[-3],
            "lifeboat-backup": path.parts[-2],
            "lifeboat-file": path.name,
        }
        with zstandard.ZstdDecompressor().stream_reader(compressed, read_across_frames=True) as reader:
            plain = reader.read()
        if path.name.startswith("pack-"):
            with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
                assert archive.getnames()


def test_nothing_in_it_names_a_table_or_a_file() -> None:
    told = b"\0".join(str(path).encode() + path.read_bytes() for path in GOLDEN.rglob("*") if path.is_file())
    for word in (b"orders", b"readme", b"a note", b"later.txt", b"socket-", b"read me", b"PGDMP", b"CREATE"):
        assert word not in told, word

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Odd keys and properties come back: from repositories, through folders, between servers, and by tar alone."""

from __future__ import annotations

import hashlib
import itertools
import subprocess
import tarfile
import typing as t
from pathlib import Path

import pytest
import servers
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.index_reader import IndexReader
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.rows import Row
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.selection import Selection
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import catalog, identity, layout
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.bucket import BucketStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.client import S3Client
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.endpoint import Endpoint
from ansible_collections.lifeboat.recovery.tests.functional import key_corpus, round_trips
from ansible_collections.lifeboat.recovery.tests.functional.job_fixtures import Place, directory_place, own_locks
from ansible_collections.lifeboat.recovery.tests.functional.key_corpus import State
from ansible_collections.lifeboat.recovery.tests.functional.s3_fixtures import bucket, endpoint_of, s3, s3_server

__all__ = ["bucket", "own_locks", "s3", "s3_server"]

CORPUS = "corpus"
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def corpus(s3_server: servers.MinioServer) -> dict[str, State]:
    """Fill the bucket of the corpus, and return what is in it."""
    client = S3Client(Endpoint(s3_server.endpoint, access_key=s3_server.access_key, secret_key=s3_server.secret_key))
    client.create_bucket(CORPUS)
    key_corpus.fill(client, CORPUS)
    found = key_corpus.state(client, CORPUS)
    client.close()
    return found


@pytest.fixture
def to(s3: S3Client) -> str:
    name = f"to-{next(_numbers)}"
    s3.create_bucket(name)
    return name


@pytest.fixture(params=["bucket", "directory"])
def place(request: pytest.FixtureRequest, s3: S3Client, tmp_path: Path) -> Place:
    if request.param == "directory":
        return directory_place(tmp_path / "repository", "local")
    name = f"repository-{next(_numbers)}"
    s3.create_bucket(name)
    store = BucketStore(s3, name, "below/here")
    identity.initialise(store)
    return Place("site", store)


def test_the_server_takes_what_the_corpus_is_about(corpus: dict[str, State]) -> None:
    assert len(corpus) > 220
    for group in ("control", "xml", "percent", "unicode", "ours", "prefixes"):
        assert any(key in corpus for key in key_corpus.GROUPS[group]), group
    wanted = {each.key: each.properties for each in key_corpus.examples() if each.key.startswith("properties/")}
    for key, properties in wanted.items():
        found = corpus[key].properties
        assert properties.headers.items() <= found.headers.items(), key
        assert (properties.metadata, properties.tags) == (found.metadata, found.tags), key


def test_a_bucket_of_odd_keys_comes_back_from_a_repository_as_it_was(
    corpus: dict[str, State], s3: S3Client, place: Place, to: str, tmp_path: Path
) -> None:
    result = round_trips.back_up_bucket(s3, CORPUS, place, "odd")
    assert result.is_complete
    brought = round_trips.restore_to_bucket(place, "odd", s3, CORPUS, to, tmp_path)
    assert brought.is_complete, brought.remarks
    after = key_corpus.state(s3, to)
    assert key_corpus.losses(corpus, after, {}).silent == ()
    assert {key: (each.properties, each.etag) for key, each in after.items()} == {
        key: (each.properties, each.etag) for key, each in corpus.items()
    }


def test_a_bucket_of_odd_keys_comes_back_through_a_folder_or_is_listed(
    corpus: dict[str, State], s3: S3Client, to: str, tmp_path: Path
) -> None:
    place = directory_place(tmp_path / "repository", "local")
    folder = tmp_path / "folder"
    round_trips.back_up_bucket(s3, CORPUS, place, "odd")
    shallow = Selection(exclude=("a/a/a/",))  # hundreds of folders below each other take their time
    corpus = {key: each for key, each in corpus.items() if not key.startswith("a/a/a/")}
    there = round_trips.restore_to_folder(place, "odd", CORPUS, folder, tmp_path, selection=shallow)
    # Of the object `twin` and the object `twin/`, one gives way to the other, and is listed with the name it got.
    assert there.is_complete, there.remarks
    assert {key for key, what, _why in there.remarks if what != "renamed"} in ({"twin"}, {"twin/"})
    assert {"twin", "twin/"} & set(there.renamed)
    again = round_trips.restore_to_folder(place, "odd", CORPUS, folder, tmp_path, selection=shallow)
    assert again.is_complete and again.remarks == []
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in files) == sorted(
        each.sha256 for each in corpus.values()
    )
    round_trips.back_up_folder(folder, place, "folder")
    back = round_trips.restore_to_bucket(place, "folder", s3, str(folder), to, tmp_path)
    listed = {key: back.renamed.get(name, name) for key, name in there.renamed.items()}
    found = key_corpus.losses(corpus, key_corpus.state(s3, to), listed)
    assert set(found.missing) | set(found.content) == set(), (found, listed)


@pytest.fixture(scope="module")
def versity(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[S3Client]:
    with servers.VersityServer(tmp_path_factory.mktemp("versity")) as server:
        client = S3Client(endpoint_of(server))
        yield client
        client.close()


def test_odd_keys_go_to_another_make_of_server_and_are_listed_where_it_refuses_them(
    s3: S3Client, versity: S3Client, bucket: str, tmp_path: Path
) -> None:
    place = directory_place(tmp_path / "repository", "local")
    key_corpus.fill(s3, bucket, _listed_exactly())
    before = key_corpus.state(s3, bucket)
    round_trips.back_up_bucket(s3, bucket, place, "odd")
    brought = round_trips.restore_to_bucket(place, "odd", versity, bucket, "from-minio", tmp_path)
    told = {key for key, _what, _why in brought.remarks}
    found = key_corpus.losses(before, key_corpus.state(versity, "from-minio"), brought.renamed)
    assert set(found.missing) | set(found.content) <= told, sorted((set(found.missing) | set(found.content)) - told)
    assert len(told) < 60, told


def test_odd_keys_come_from_another_make_of_server_and_go_back(s3: S3Client, versity: S3Client, tmp_path: Path) -> None:
    place = directory_place(tmp_path / "repository", "local")
    versity.create_bucket("odd-source")
    folders = {key for name in ("ways out", "slashes") for key in key_corpus.GROUPS[name]}
    key_corpus.fill(versity, "odd-source", [each for each in _listed_exactly() if each.key not in folders])
    before = key_corpus.state(versity, "odd-source")
    assert len(before) > 150
    round_trips.back_up_bucket(versity, "odd-source", place, "versity")
    brought = round_trips.restore_to_bucket(place, "versity", versity, "odd-source", "back", tmp_path)
    found = key_corpus.losses(before, key_corpus.state(versity, "back"), brought.renamed)
    told = {key for key, _what, _why in brought.remarks}
    assert set(found.missing) | set(found.content) <= told, found


def _listed_exactly() -> list[key_corpus.Example]:
    """Return what both servers list as it is: one of them writes signs that XML forbids as others, the same for all."""
    return [
        each
        for each in key_corpus.examples()
        if not each.key.startswith(("control/", "a/a/a/")) and not {"\ufffe", "\uffff"} & set(each.key)
    ]


def test_a_pack_that_is_unpacked_by_tar_has_lost_nothing(
    corpus: dict[str, State], s3: S3Client, tmp_path: Path
) -> None:
    place = directory_place(tmp_path / "repository", "local")
    result = round_trips.back_up_bucket(s3, CORPUS, place, "odd")
    (backup,) = catalog.backups(place.store, "odd")
    assert backup.manifest is not None
    rows = list(IndexReader(place.store, backup.manifest).rows(CORPUS))
    assert {row.key for row in rows} == set(corpus)
    stored = Path(place.store.name) / layout.data("odd", result.id)
    packs = sorted(stored.glob("pack-*"))
    assert packs
    for number, pack in enumerate(packs):
        members = [row for row in rows if row.location is not None and row.location.pack == number]
        _assert_unpacked(pack, members, tmp_path / f"unpacked-{number}")
    kept = [row for row in rows if row.location is None]
    assert all(row.size == 0 for row in kept)


def _assert_unpacked(pack: Path, members: t.Sequence[Row], folder: Path) -> None:
    """`zstd -d | tar x` finds every member, and the true keys are in the headers."""
    folder.mkdir()
    command = 'set -o pipefail; zstd -q -d -c "$0" | tar -x -C "$1" --warning=no-unknown-keyword'
    done = subprocess.run(["bash", "-c", command, str(pack), str(folder)], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    digests = sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file())
    assert digests == sorted(row.sha256 for row in members)
    plain = subprocess.run(["zstd", "-q", "-d", "-c", str(pack)], capture_output=True, check=True).stdout
    plain_path = folder.with_suffix(".tar")
    plain_path.write_bytes(plain)
    found = {}
    with tarfile.open(plain_path, encoding="utf-8", errors="surrogateescape") as tar:
        for member in tar:
            if member.isfile():
                data = tar.extractfile(member)
                assert data is not None
                key = member.pax_headers.get("LIFEBOAT.key", member.name.partition("/")[2].partition("/")[2])
                found[key] = hashlib.sha256(data.read()).hexdigest()
    assert found == {row.key: row.sha256 for row in members}

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Encrypted backups of databases and buckets of real servers, in directories and in a bucket with versions."""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import json
import typing as t
from pathlib import Path

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import proving, restore_run, verify_run
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.candidates import candidates, holdings
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.database_backup import back_up
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.drills import try_out
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.objects_copy import StoredCopy
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.place import Place
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import (
    catalog,
    copy,
    json_document,
    layout,
    prune,
    signing,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.bucket import BucketStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.keep import Keep
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.keys import Keys
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.client import S3Client
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.stream.encryption import WrongKeyError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.verify.restore import DrillPlace
from ansible_collections.lifeboat.recovery.tests.functional import key_corpus, round_trips
from ansible_collections.lifeboat.recovery.tests.functional.job_fixtures import (
    JOB,
    files_of,
    job_of,
    local,
    own_locks,
    postgres,
    restored,
    server,
    site,
)
from ansible_collections.lifeboat.recovery.tests.functional.postgres_fixtures import (
    PostgresServer,
    content_of,
    database,
    login,
)
from ansible_collections.lifeboat.recovery.tests.functional.s3_fixtures import bucket, s3, s3_server, versioned_bucket
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.random_keys import (
    random_keys,
)

__all__ = ["bucket", "local", "own_locks", "postgres", "s3", "s3_server", "server", "site", "versioned_bucket"]

TABLES = ("secret_ledger", "Quoted Täble", "emoji 🛟 table", 'quo"te')
SCHEMA = "CREATE SCHEMA hidden_schema;" + "".join(
    "CREATE TABLE hidden_schema.{0} (id int PRIMARY KEY, what_column text);"
    "INSERT INTO hidden_schema.{0} SELECT g, 'a row that nobody may read ' || g FROM generate_series(1, 300) g;".format(
        '"{}"'.format(name.replace('"', '""'))
    )
    for name in TABLES
)
CONTENT = ("hidden_schema", "what_column", "a row that nobody may read", "CREATE TABLE")


@pytest.fixture
def keys(local: Place, site: Place) -> Keys:
    """Return the keys that both repositories are opened with."""
    made = random_keys()
    local.store.keys = site.store.keys = made
    return made


def without_keys(place: Place) -> Place:
    """Return a repository as somebody opens it who has no keys."""
    store = place.store
    if isinstance(store, BucketStore):
        return dataclasses.replace(place, store=BucketStore(store._client, store._bucket, store._root))
    return dataclasses.replace(place, store=DirectoryStore(store.name))


def found_in(place: Place, words: t.Iterable[str]) -> list[str]:
    """Return which words are somewhere in a repository, in its keys or in its bytes."""
    everything = b"\0".join(part for key, data in files_of(place).items() for part in (key.encode(), data))
    return [word for word in words if any(form in everything for form in forms_of(word))]


def forms_of(word: str) -> set[bytes]:
    """Return how a word may look in a file."""
    data = word.encode("utf-8", "surrogateescape")
    return {data, json.dumps(word)[1:-1].encode(), ascii(word)[1:-1].encode(), data.hex().encode()}


def test_a_database_comes_back_and_its_repositories_name_none_of_its_tables(
    server: PostgresServer, local: Place, site: Place, keys: Keys
) -> None:
    with database(server, "lab", SCHEMA) as name:
        before = content_of(server, name)
        made = back_up(job_of(server, name, local, site, proof="restore"))
        assert [each.is_proved for each in made.copies] == [True, True]
        for place in (local, site):
            assert found_in(place, (*TABLES, *CONTENT)) == []
            with pytest.raises(WrongKeyError):
                restored(login(server), without_keys(place), database="lab_back")
            result = restored(login(server), place, database="lab_back")
            assert (result.id, content_of(server, "lab_back")) == (made.id, before)
            server.sql("DROP DATABASE lab_back WITH (FORCE)")


def test_the_search_finds_what_is_not_encrypted(server: PostgresServer, local: Place) -> None:
    with database(server, "lab", SCHEMA) as name:
        back_up(job_of(server, name, local, compression="none"))
    assert {"secret_ledger", "a row that nobody may read"} <= set(found_in(local, (*TABLES, *CONTENT)))


def test_a_bucket_of_odd_keys_comes_back_and_no_repository_names_them(
    s3: S3Client, bucket: str, local: Place, site: Place, keys: Keys, tmp_path: Path
) -> None:
    corpus, to = f"{bucket}-corpus", f"{bucket}-to"
    for each in (corpus, to):
        s3.create_bucket(each)
    key_corpus.fill(s3, corpus)
    s3.put_object(corpus, "big/secret-noise", key_corpus._body("noise", 3_000_000))
    before = key_corpus.state(s3, corpus)
    round_trips.back_up_bucket(s3, corpus, local, "odd", proof="content")
    [made] = catalog.backups(local.store, "odd")
    assert made.manifest is not None and made.is_good
    copy.copy(local.store, site.store, made.manifest, site.identity())
    place = DrillPlace(folder=str(tmp_path))
    drill = functools.partial(try_out, place=place)
    assert proving.prove(site.store, made.manifest, "restore", place, drill=drill).is_good
    assert round_trips.restore_to_bucket(site, "odd", s3, corpus, to, tmp_path).is_complete
    assert key_corpus.losses(before, key_corpus.state(s3, to), {}).silent == ()
    own = set(key_corpus.GROUPS["ours"])  # the repository has some of these keys itself
    for place in (local, site):
        assert found_in(place, [key for key in before if len(key.encode()) > 5 and key not in own]) == []


def test_an_object_is_fetched_by_its_frames_alone(
    s3: S3Client, bucket: str, site: Place, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = f"{bucket}-shop"
    s3.create_bucket(source)
    for number in range(10):
        s3.put_object(source, f"o{number}", key_corpus._body(str(number), 1_500_000))
    round_trips.back_up_bucket(s3, source, site, "shop", proof="content")
    fetched = 0
    read = BucketStore.read

    def counted(self: BucketStore, *where: t.Any, **more: t.Any) -> t.Iterator[bytes]:
        nonlocal fetched
        for chunk in read(self, *where, **more):
            fetched += len(chunk)
            yield chunk

    stored = StoredCopy(candidates(holdings("shop", [site]), [site], "latest_good")[0])
    row = stored.find(source, "o7")
    assert row is not None
    monkeypatch.setattr(BucketStore, "read", counted)
    [(_row, chunks)] = stored.members(source, [row])
    assert b"".join(chunks) == key_corpus._body("7", 1_500_000)
    assert 1_500_000 < fetched < 2_100_000


def test_increments_are_copied_thinned_out_and_restored(
    s3: S3Client, bucket: str, local: Place, site: Place, keys: Keys, tmp_path: Path
) -> None:
    source, to = f"{bucket}-shop", f"{bucket}-to"
    for each in (source, to):
        s3.create_bucket(each)
    for number in range(30):
        s3.put_object(source, f"o{number:02}", b"object %d\n" % number * 50)
    for turn in range(3):
        s3.put_object(source, f"o{turn:02}", b"changed in turn %d\n" % turn)
        round_trips.back_up_bucket(s3, source, site, "shop", proof="content")
    first, _second, third = catalog.backups(site.store, "shop")
    assert third.manifest is not None and third.manifest.base and third.is_good
    copy.copy(site.store, local.store, third.manifest, local.identity())
    assert not proving.prove(local.store, third.manifest, "content", DrillPlace()).problems
    stranger = without_keys(site)  # prune needs no keys
    gone = prune.prune(stranger.store, prune.PruneRequest("shop", Keep(last=2), force=True), dt.timedelta(0))
    assert gone.removed == (first.id,)
    for place in (local, site):
        assert catalog.choose(catalog.backups(place.store, "shop"), "latest_good", "shop", place.name).id == third.id
    assert round_trips.restore_to_bucket(local, "shop", s3, source, to, tmp_path).is_complete
    found = {each.key: s3.get_bytes(to, each.key, 1 << 20)[0] for each in s3.list_objects(to)}
    assert found == {each.key: s3.get_bytes(source, each.key, 1 << 20)[0] for each in s3.list_objects(source)}


def test_a_stolen_writer_key_cannot_replace_a_backup_by_another_one(
    server: PostgresServer, site: Place, local: Place, keys: Keys
) -> None:
    with database(server, "lab", SCHEMA) as name:
        first = back_up(job_of(server, name, site))
        second = back_up(job_of(server, name, site))
    key = layout.manifest(JOB, second.id)
    document = site.store.get(key)
    assert document is not None
    fields = json_document.decoded(document.data, key)
    fields["statistics"]["plain_bytes"] = 1
    thief = without_keys(site).store
    thief.put(key, json_document.encoded(fields))
    found = catalog.find(site.store, JOB, second.id)
    # The oldest version counts, and its signature is right; that there is another one is an alarm.
    assert found is not None and (found.signature, found.is_good, bool(found.alarms)) == (signing.VALID, False, True)
    fields["id"] = f"{second.id[:-1]}{'0' if second.id[-1] != '0' else '1'}"
    thief.put_new(layout.manifest(JOB, fields["id"]), json_document.encoded(fields))
    for wanted in ("latest_good", "latest"):
        chosen = candidates(holdings(JOB, [site]), [site], wanted)[0].backup.id
        assert chosen == (first.id if wanted == "latest_good" else second.id)


def test_a_verification_with_another_keyring_records_nothing(
    server: PostgresServer, local: Place, site: Place, keys: Keys
) -> None:
    with database(server, "lab", SCHEMA) as name:
        made = back_up(job_of(server, name, local))
    before = files_of(local)
    stranger = without_keys(local)
    stranger.store.keys, stranger.store.allow_unsigned = random_keys(), True
    planned = verify_run.plan(verify_run.VerifyRequest(JOB, made.id, (stranger,), "content"))
    with pytest.raises(WrongKeyError, match=keys.keyring):
        verify_run.verify(planned)
    assert files_of(local) == before
    request = restore_run.RestoreRequest(JOB, made.id, (stranger,), login(server), database="never")
    with pytest.raises(WrongKeyError):
        restore_run.restore(restore_run.plan(request))

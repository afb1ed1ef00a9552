# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mirrors between buckets of real servers."""

from __future__ import annotations

import datetime as dt
import os
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import (
    GuardRefusal,
    IncompleteError,
    LifeboatError,
    UsageError,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import mirror_run
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects import mirror_verify
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.mirror_bucket import SOURCE_ETAG
from ansible_collections.lifeboat.recovery.tests.functional.mirror_fixtures import (
    MIB,
    PART,
    Bucket,
    Makes,
    counts,
    here,
    here_server,
    mirrored,
    planned,
    there,
    there_server,
)
from ansible_collections.lifeboat.recovery.tests.functional.s3_fixtures import (
    KMS,
    KMS_ENCRYPTION,
    VERSIONED,
    endpoint_of,
)
from servers import MinioServer

__all__ = ["here", "here_server", "there", "there_server"]

ODD = ["a b", "a+b", "a%20b", "ä/ö", "a\u0308", "\U0001f6df", "x/", "<&>'\"", "tail.", "#?", "line\nfeed", "~"]


def filled(bucket: Bucket) -> Bucket:
    """Put a bit of everything into a bucket."""
    for key in ODD:
        bucket.put(key, key.encode())
    bucket.put("empty", b"")
    bucket.put("folder/plain", os.urandom(10_000))
    bucket.put_parts("parts", os.urandom(PART), os.urandom(PART), b"the end")
    bucket.put_parts("one part", b"short")
    return bucket


@pytest.mark.parametrize("versioned", [True, False])
def test_a_mirror_has_every_object_under_its_key_and_etag(here: Makes, there: Makes, versioned: bool) -> None:
    source, target = filled(here()), there(versioned)
    result = mirrored(source.side(), target.side())
    assert target.etags() == source.etags()
    assert len(source.etags()) == len(ODD) + 4
    assert counts(result) == {"copy": len(source.etags())}
    assert all(target.get(key) == source.get(key) for key in source.etags())
    assert planned(source.side(), target.side()) == [{}]
    assert counts(mirrored(source.side(), target.side())) == {}


def test_headers_metadata_and_tags_travel_and_are_noticed_when_they_change(here: Makes, there: Makes) -> None:
    source, target = here(), there()
    fields = {
        "content_type": "text/plain; charset=utf-8",
        "cache_control": "max-age=60",
        "content_disposition": 'attachment; filename="a.txt"',
        "content_encoding": "gzip",
        "content_language": "de",
        "expires": "Fri, 01 Jan 2027 00:00:00 GMT",
        "x_amz_meta_name": "Ärger 50 %",
        "x_amz_tagging": "a=1&b=two%20words",
    }
    source.put("small", b"1", **fields)
    source.put_parts("parts", b"1" * PART, b"2", **fields)
    mirrored(source.side(), target.side())
    for key in ("small", "parts"):
        assert target.properties(key) == source.properties(key)
        assert target.properties(key).tags == {"a": "1", "b": "two words"}
        assert target.properties(key).headers["expires"]
    source.client.set_tags(source.name, "small", {"a": "2"})
    source.client.set_tags(source.name, "parts", {})
    assert counts(mirrored(source.side(), target.side())) == {"replace": 2}
    assert target.properties("small").tags == {"a": "2"} and target.properties("parts").tags == {}
    assert planned(source.side(), target.side()) == [{}]


def test_locks_travel_where_the_target_has_them_and_are_reported_where_not(here: Makes, there: Makes) -> None:
    source, locked, plain = here(lock=True), there(lock=True), there()
    until = clock.to_text(clock.now() + dt.timedelta(days=2))[:-8] + "Z"
    lock = {"x_amz_object_lock_mode": "GOVERNANCE", "x_amz_object_lock_retain_until_date": until}
    source.put("kept", b"1", **lock)
    source.put("held", b"2", x_amz_object_lock_legal_hold="ON")
    source.put_parts("parts", b"1" * PART, b"2", **lock)
    result = mirrored(source.side(), locked.side(), plain.side())
    for key in ("kept", "held", "parts"):
        assert locked.properties(key).lock == source.properties(key).lock
    assert locked.properties("held").lock.hold and locked.properties("kept").lock.mode == "GOVERNANCE"
    assert plain.etags() == source.etags()
    (words,) = result.remarks
    assert "3 objects came without their lock" in words
    assert planned(source.side(), locked.side(), plain.side()) == [{}, {}]


@pytest.mark.parametrize("versioned", [True, False])
def test_nothing_that_was_there_is_destroyed(here: Makes, there: Makes, versioned: bool) -> None:
    source, target = here(), there(versioned)
    source.put("same", b"1")
    source.put("changed", b"new")
    source.put("folder/", b"new")
    for key in ("changed", "gone", "folder/", "old-folder/"):
        target.put(key, f"old {key}".encode(), x_amz_tagging="old=yes")
    target.put_parts("gone-parts", b"1" * PART, b"2")
    old = {key: target.get(key) for key in ("changed", "gone", "folder/", "old-folder/", "gone-parts")}
    result = mirrored(source.side(), target.side())
    assert counts(result) == {"copy": 1, "replace": 2, "remove": 3}
    assert target.etags() == source.etags()
    kept = {key: data for (key, _etag), data in target.old_versions().items()} | target.quarantined()
    assert kept == old
    in_quarantine = {"folder/", "old-folder/"} if versioned else set(old)
    assert set(target.quarantined()) == in_quarantine
    assert planned(source.side(), target.side()) == [{}]


def test_overwritten_objects_need_not_be_kept_but_removed_ones_are(here: Makes, there: Makes) -> None:
    source, target = here(), there(versioned=False)
    source.put("changed", b"new")
    target.put("changed", b"old")
    target.put("gone", b"old")
    mirrored(source.side(), target.side(), keeps_overwritten=False)
    assert target.quarantined() == {"gone": b"old"}


def test_several_targets_get_what_each_lacks(here: Makes, there: Makes) -> None:
    source, first, second = filled(here()), there(), there(versioned=False)
    first.put("gone", b"1")
    second.put("folder/plain", b"other")
    result = mirrored(source.side(), first.side(), second.side())
    assert first.etags() == second.etags() == source.etags()
    number = len(source.etags())
    assert counts(result, 0) == {"copy": number, "remove": 1}
    assert counts(result, 1) == {"copy": number - 1, "replace": 1}


def test_prefixes_are_mirrored_into_each_other(here: Makes, there: Makes) -> None:
    source, target = here(), there()
    for key in ("a/1", "a/2/3", "ab/4", "5"):
        source.put(key, key.encode())
    target.put("elsewhere", b"1")
    target.put("to/gone", b"2")
    mirrored(source.side("a"), target.side("/to/"))
    assert set(target.etags()) == {"elsewhere", "to/1", "to/2/3"}


def test_the_server_copies_by_itself_where_both_sides_are_its_own(here: Makes, monkeypatch: t.Any) -> None:
    source, target = filled(here()), here(versioned=False)
    source.put("described", b"1", expires="Fri, 01 Jan 2027 00:00:00 GMT", x_amz_meta_a="ä", x_amz_tagging="a=b")
    target.put("empty", b"old")

    def nothing(*_: t.Any, **__: t.Any) -> t.NoReturn:
        raise AssertionError("bytes came to this host")

    monkeypatch.setattr(
        "ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.client.S3Client.get_object", nothing
    )
    mirrored(source.side(), target.side())
    monkeypatch.undo()
    assert target.etags() == source.etags()
    assert target.quarantined() == {"empty": b"old"}
    assert target.properties("described") == source.properties("described")
    assert planned(source.side(), target.side()) == [{}]


def test_a_large_object_without_parts_is_told_by_a_mark(here: Makes, there: Makes) -> None:
    source, target = here(), there()
    source.put("large", os.urandom(33 * MIB), x_amz_meta_a="b")
    mirrored(source.side(), target.side())
    assert target.get("large") == source.get("large")
    found = target.properties("large").metadata
    assert found == {"a": "b", SOURCE_ETAG: source.etags()["large"]}
    assert planned(source.side(), target.side()) == [{}]
    target.put("large", b"x" * 33 * MIB)
    assert planned(source.side(), target.side()) == [{"replace": 1}]
    assert planned(target.side(), source.side()) == [{"replace": 1}]


def test_where_the_server_encrypts_with_kms_keys_a_second_run_changes_nothing(
    here: Makes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.client import S3Client

    source = filled(here())
    with MinioServer(tmp_path_factory.mktemp("kms"), environment=KMS) as server:
        client = S3Client(endpoint_of(server))
        client.create_bucket("secret")
        client.document("PUT", "secret", "encryption", KMS_ENCRYPTION)
        client.document("PUT", "secret", "versioning", VERSIONED)
        target = Bucket(client, "secret", True)
        mirrored(source.side(), target.side(), threads=1)
        assert target.etags() != source.etags()
        # Only at the first object it is not known yet that its ETag will be another one, and at the first in parts.
        assert len(list(client.list_versions("secret"))) <= len(source.etags()) + 2
        assert all(target.get(key) == source.get(key) for key in source.etags())
        assert planned(source.side(), target.side()) == [{}]
        old = target.etags()["folder/plain"]
        source.put("folder/plain", os.urandom(10_000))
        assert counts(mirrored(source.side(), target.side())) == {"replace": 1}
        assert target.etags()["folder/plain"] != old
        back = here()
        mirrored(target.side(), back.side())
        assert all(back.get(key) == source.get(key) for key in source.etags())
        assert planned(target.side(), back.side()) == [{}]
        client.close()


def test_what_a_listing_hides_is_not_removed(here: Makes, there: Makes) -> None:
    source, target = here(), there()
    source.put("p/c", b"1")
    source.put("q", b"1")
    mirrored(source.side(), target.side())
    source.put("p", b"2")  # MinIO does not list p/c any more
    assert set(source.etags()) == {"p", "q"}
    result = mirrored(source.side(), target.side())
    assert counts(result) == {"copy": 1}
    assert target.get("p/c") == b"1" and target.get("p") == b"2"


def test_a_missing_empty_or_silent_source_is_refused(here: Makes, there: Makes) -> None:
    source, target = here(), there()
    target.put("a", b"1")
    for side in (
        source.side(),
        Bucket(source.client, "none-such", True).side(),
        source.side(url="http://127.0.0.1:1", max_attempts=1),
    ):
        with pytest.raises(GuardRefusal) as refusal:
            mirrored(side, target.side())
        assert refusal.value.guard == "source", refusal.value
    assert set(target.etags()) == {"a"}
    mirrored(source.side(), target.side(), allowed=frozenset(["source"]))
    assert target.etags() == {}


def test_mass_deletes_and_rewrites_are_refused_before_anything_is_changed(here: Makes, there: Makes) -> None:
    source, target = here(), there()
    for number in range(102):
        target.put(f"{number:03}", b"1")
    source.put("new", b"1")
    for guard in ("mass_delete", "mass_rewrite"):
        with pytest.raises(GuardRefusal) as refusal:
            mirrored(source.side(), target.side())
        assert refusal.value.guard == guard
        assert "new" not in target.etags()
        for number in range(102):
            source.put(f"{number:03}", b"2")
    mirrored(source.side(), target.side(), allowed=frozenset(["mass_rewrite"]))
    assert target.etags() == source.etags()


def test_a_place_is_not_mirrored_into_itself(here: Makes) -> None:
    bucket = here()
    bucket.put("a", b"1")
    with pytest.raises(UsageError, match="the same place"):
        mirrored(bucket.side(), bucket.side(name="other"))
    with pytest.raises(GuardRefusal) as refusal:
        mirrored(bucket.side(), bucket.side("copy"))
    assert refusal.value.guard == "nested"
    for _run in range(2):
        mirrored(bucket.side(), bucket.side("copy"), allowed=frozenset(["nested"]))
        assert set(bucket.etags()) == {"a", "copy/a"}


def test_a_missing_target_is_an_error_and_is_not_made(here: Makes, there: Makes) -> None:
    source = here()
    source.put("a", b"1")
    with pytest.raises(LifeboatError, match="none-such"):
        mirrored(source.side(), Bucket(there().client, "none-such", True).side())


def test_a_key_that_a_target_refuses_is_reported_and_the_others_arrive(here: Makes, there: Makes) -> None:
    source, target = here(), there()
    target.put("to/gone", b"1")
    source.put("/".join(["a" * 200] * 5), b"1")
    source.put("b", b"1")
    with pytest.raises(IncompleteError, match="KeyTooLong") as end:
        mirrored(source.side(), target.side("/".join(["to", "c" * 200])))
    assert end.value.exit_code == 5
    assert set(target.etags()) == {"to/gone", f"to/{'c' * 200}/b"}


def compared(source: Bucket, *targets: Bucket) -> tuple[mirror_verify.Compared, ...]:
    job = mirror_run.MirrorJob(source.side(), tuple(target.side() for target in targets), threads=4)
    with mirror_run.opened(job) as request:
        return mirror_verify.compare(request)


def test_comparing_content_finds_what_listings_do_not_show(here: Makes, there: Makes) -> None:
    source, target = filled(here()), there()
    mirrored(source.side(), target.side())
    (found,) = compared(source, target)
    assert (found.objects, found.different) == (len(source.etags()), 0)
    # MinIO lets a writer name the ETag that an object is to have.
    target.put("folder/plain", os.urandom(10_000), x_minio_source_etag=source.etags()["folder/plain"])
    assert target.etags() == source.etags()
    (found,) = compared(source, target)
    assert (found.different, found.samples) == (1, ["folder/plain: its bytes are others"])

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mirrors that are killed at each of their steps, and servers that fail or lie meanwhile."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import threading
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import IncompleteError, LifeboatError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.mirror_job import Side
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.mirror_run import MirrorStopped
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.mirror_sides import QUARANTINE
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3 import listing
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.client import S3Client
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.failure import S3Error
from ansible_collections.lifeboat.recovery.tests.functional.crash_driver import Order
from ansible_collections.lifeboat.recovery.tests.functional.fault_fixtures import Driver
from ansible_collections.lifeboat.recovery.tests.functional.fault_proxy import Fault, FaultProxy
from ansible_collections.lifeboat.recovery.tests.functional.mirror_fixtures import (
    MIB,
    PART,
    Bucket,
    Makes,
    here,
    here_server,
    mirrored,
    planned,
    there,
    there_server,
)
from servers import MinioServer

__all__ = ["here", "here_server", "there", "there_server"]

LARGE = [os.urandom(PART), os.urandom(PART)]
OLD = {"changed": b"old", "gone": b"old", "large": b"old"}


@pytest.fixture(scope="module")
def driver() -> t.Iterator[Driver]:
    running = Driver()
    yield running
    running.close()


def facts(bucket: Bucket) -> dict[str, t.Any]:
    endpoint = bucket.client.endpoint
    keys = {"url": endpoint.url, "access_key": endpoint.access_key, "secret_key": endpoint.secret_key}
    return {"bucket": bucket.name, "endpoint": {**keys, "max_attempts": 3}}


def order(source: Bucket, place: t.Mapping[str, t.Any], step: str = "", fault: str = "") -> Order:
    return Order("mirror", "mirror", [facts(source), place], options={"threads": 1}, step=step, fault=fault)


def filled(source: Bucket) -> Bucket:
    source.put("changed", b"new")
    source.put("new", b"1", x_amz_tagging="a=b")
    source.put_parts("large", *LARGE)
    return source


class Target:
    """A target that is begun anew for each step, judged by what it holds."""

    def __init__(self, make: t.Callable[[], Bucket], server: MinioServer) -> None:
        self._make = make
        self._server = server

    def renew(self) -> dict[str, t.Any]:
        self.bucket = self._make()
        for key, data in OLD.items():
            self.bucket.put(key, data)
        return facts(self.bucket)

    def contents(self) -> dict[str, bytes]:
        """Return what is there; a request that a killed run had sent may still remove a key after it was listed."""
        found = {}
        for key in self.bucket.etags():
            try:
                found[key] = self.bucket.get(key)
            except S3Error as error:
                if not error.is_missing_key:
                    raise
        return found

    def kept(self) -> dict[str, bytes]:
        return {key: data for (key, _etag), data in self.bucket.old_versions().items()} | self.bucket.quarantined()

    def leftovers(self) -> list[str]:
        folder = self._server.folder / "drive1" / ".minio.sys" / "multipart"
        return [str(path) for path in folder.glob("*/*") if path.is_dir()]


class Directory(Target):
    """A directory as the target."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder

    def renew(self) -> dict[str, t.Any]:
        self.path = self._folder / str(len(list(self._folder.iterdir())))
        self.path.mkdir()
        for key, data in OLD.items():
            (self.path / key).write_bytes(data)
        return {"directory": str(self.path)}

    def contents(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.path.iterdir() if path.is_file() and path.name[0] != "."}

    def kept(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (self.path / QUARANTINE).rglob("*") if path.is_file()}

    def leftovers(self) -> list[str]:
        return [path.name for path in self.path.rglob(".lifeboat-*") if path.name != QUARANTINE.strip("/")]


@pytest.fixture(params=["versioned", "unversioned", "same server", "directory"])
def target(
    request: pytest.FixtureRequest,
    here: Makes,
    there: Makes,
    here_server: MinioServer,
    there_server: MinioServer,
    tmp_path: pathlib.Path,
) -> Target:
    if request.param == "directory":
        return Directory(tmp_path)
    if request.param == "same server":
        return Target(lambda: here(False), here_server)
    return Target(lambda: there(request.param == "versioned"), there_server)


def test_a_mirror_killed_at_any_step_destroys_nothing_and_the_next_one_completes_it(
    here: Makes, target: Target, driver: Driver
) -> None:
    source = filled(here())
    new = {key: source.get(key) for key in source.etags()}
    whole = driver.run(order(source, target.renew()))
    assert whole.is_good, whole.error
    assert target.contents() == new
    assert len(whole.steps) >= 9, whole.steps
    for step in whole.steps:
        place = target.renew()
        ended = driver.run(order(source, place, step, "kill"))
        assert ended.status == -9, f"{step}: {ended}"
        there = target.contents()
        assert all(there[key] in (OLD.get(key), new.get(key)) for key in there), f"{step}: a part of an object"
        found = [*there.items(), *target.kept().items()]
        assert all(old in found for old in OLD.items()), f"{step}: an old state is lost"
        again = driver.run(order(source, place))
        assert again.is_good, f"{step}: {again.error}"
        assert target.contents() == new, step
        assert set(target.kept().items()) >= set(OLD.items()), step
        assert target.leftovers() == [], step


@pytest.mark.parametrize("fault", ["unavailable", "reset", "lose_answer"])
def test_requests_that_fail_once_are_repeated(here: Makes, there: Makes, there_server: MinioServer, fault: str) -> None:
    source, target = filled(here()), there(versioned=False)
    for key, data in OLD.items():
        target.put(key, data)
    with FaultProxy(there_server.port) as proxy:
        proxy.faults.append(Fault(r"^(GET|HEAD|PUT|DELETE|POST) /", fault))
        mirrored(source.side(), target.side(url=proxy.url))
    assert target.etags() == source.etags()
    assert target.quarantined() == OLD


@pytest.mark.parametrize("fault", ["unavailable", "reset", "lose_answer"])
def test_a_source_that_fails_once_is_asked_again(
    here: Makes, there: Makes, here_server: MinioServer, fault: str
) -> None:
    source, target = filled(here()), there()
    with FaultProxy(here_server.port) as proxy:
        proxy.faults.append(Fault(r"^(GET|HEAD) /", fault))
        mirrored(source.side(url=proxy.url), target.side())
    assert target.etags() == source.etags()


@pytest.mark.parametrize("failing", ["source", "target"])
def test_an_object_for_which_a_server_fails_for_ever_is_reported_and_the_others_arrive(
    here: Makes, there: Makes, here_server: MinioServer, there_server: MinioServer, failing: str
) -> None:
    source, target = filled(here()), there(versioned=False)
    for key, data in OLD.items():
        target.put(key, data)
    server, request = (here_server, "(GET|HEAD)") if failing == "source" else (there_server, "PUT")
    with FaultProxy(server.port) as proxy:
        proxy.faults.append(Fault(rf"^{request} /[^/]+/new", "unavailable", 1000))
        sides = {failing: {"url": proxy.url}}
        with pytest.raises(IncompleteError) as end:
            mirrored(source.side(**sides.get("source", {})), target.side(**sides.get("target", {})))
    assert end.value.exit_code == 5
    assert {key: tag for key, tag in target.etags().items() if key != "gone"} == {
        key: tag for key, tag in source.etags().items() if key != "new"
    }
    assert "gone" in target.etags(), "something was removed although not everything had arrived"
    mirrored(source.side(), target.side())
    assert target.etags() == source.etags()


def test_a_target_that_fails_for_all_objects_ends_the_run_and_nothing_was_removed(
    here: Makes, there: Makes, there_server: MinioServer
) -> None:
    source, target = here(), there(versioned=False)
    for number in range(40):
        source.put(f"{number:02}", b"1")
    target.put("gone", b"old")
    with FaultProxy(there_server.port) as proxy:
        proxy.faults.append(Fault(r"^PUT /[^/]+/\d", "reset", 1000))
        with pytest.raises(MirrorStopped):
            mirrored(source.side(), target.side(url=proxy.url, max_attempts=2))
    assert set(target.etags()) == {"gone"}
    mirrored(source.side(), target.side())
    assert target.etags() == source.etags()


def numbered(source: Bucket, target: Bucket) -> None:
    for number in range(40):
        source.put(f"{number:02}", b"1")
        target.put(f"{number:02}", b"1")


def pages(monkeypatch: pytest.MonkeyPatch, bucket: str, change: t.Callable[[int, t.Any], bytes]) -> None:
    """Let `change` answer for each page of the listing of a bucket: its number, and what asks the server for a page."""
    honest = S3Client.fetch
    numbers: dict[int, int] = {}

    def fetch(self: S3Client, problem: str, name: str) -> t.Any:
        ask = honest(self, problem, name)
        if name != bucket:
            return ask

        def page(query: t.Any) -> bytes:
            numbers[0] = numbers.get(0, -1) + 1
            return change(numbers[0], lambda: ask(query))

        return page

    monkeypatch.setattr(listing, "PAGE_KEYS", 10)
    monkeypatch.setattr(S3Client, "fetch", fetch)


def test_a_listing_that_repeats_a_page_is_an_error_and_nothing_is_removed(
    here: Makes, there: Makes, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = here(), there()
    numbered(source, target)
    target.put("extra", b"1")
    kept: list[bytes] = []

    def repeat(_number: int, ask: t.Callable[[], bytes]) -> bytes:
        kept.append(ask())
        return kept[0]

    pages(monkeypatch, source.name, repeat)
    with pytest.raises(LifeboatError, match="stands behind|says it twice"):
        mirrored(source.side(), target.side())
    monkeypatch.undo()
    assert len(target.etags()) == 41


def test_a_listing_that_leaves_a_page_out_removes_nothing_that_the_source_has(
    here: Makes, there: Makes, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = here(), there()
    numbered(source, target)
    target.put("extra", b"1")

    def without_entries(number: int, ask: t.Callable[[], bytes]) -> bytes:
        page = ask()
        if number != 1:
            return page
        first, last = page.index(b"<Contents>"), page.rindex(b"</Contents>") + len(b"</Contents>")
        return page[:first] + page[last:]

    pages(monkeypatch, source.name, without_entries)
    assert planned(source.side(), target.side()) == [{"remove": 1}]
    mirrored(source.side(), target.side())
    monkeypatch.undo()
    assert target.etags() == source.etags()


def test_a_page_that_ends_early_without_saying_so_is_an_error(
    here: Makes, there: Makes, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = here(), there()
    numbered(source, target)

    def torn(number: int, ask: t.Callable[[], bytes]) -> bytes:
        return ask()[:-30] if number == 2 else ask()

    pages(monkeypatch, target.name, torn)
    with pytest.raises(LifeboatError, match="cannot be read"):
        mirrored(source.side(), target.side())


def test_objects_that_are_written_all_the_time_arrive_whole_or_are_reported(here: Makes, there: Makes) -> None:
    source, target = here(), there()
    bodies = [bytes([number]) * (5 * MIB + 1) for number in range(8)]
    small = [bytes([number]) * 1000 for number in range(8)]
    ended = threading.Event()

    def write(first: threading.Event) -> None:
        number = 0
        while not ended.is_set():
            source.put("hot", small[number % 8])
            source.put_parts("hot parts", bodies[number % 8][:PART], bodies[number % 8][PART:])
            first.set()
            number += 1

    first = threading.Event()
    writer = threading.Thread(target=write, args=(first,))
    writer.start()
    try:
        first.wait()
        for _run in range(3):
            try:
                mirrored(source.side(), target.side())
            except IncompleteError as error:
                assert error.exit_code == 5
            for key, whole in (("hot", small), ("hot parts", bodies)):
                if key in target.etags():
                    assert target.get(key) in whole
    finally:
        ended.set()
        writer.join()
    mirrored(source.side(), target.side())
    assert target.etags() == source.etags()


def test_a_bucket_whose_versioning_was_suspended_gets_a_quarantine(here: Makes, there: Makes) -> None:
    source, target = here(), there()
    source.put("a", b"new")
    target.put("a", b"old")
    suspended = b"<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>"
    target.client.document("PUT", target.name, "versioning", suspended)
    mirrored(source.side(), target.side())
    assert target.quarantined() == {"a": b"old"}


def test_credentials_that_are_refused_end_the_run_at_once(here: Makes, there: Makes, tmp_path: pathlib.Path) -> None:
    source, target = filled(here()), there()
    wrong: Side = dataclasses.replace(
        target.side(), endpoint=dataclasses.replace(target.client.endpoint, secret_key="wrong-secret-key")
    )
    with pytest.raises(LifeboatError, match="SignatureDoesNotMatch") as end:
        mirrored(source.side(), wrong, plan_file=str(tmp_path / "plan"))
    assert "wrong-secret-key" not in json.dumps(str(end.value))
    assert target.etags() == {} and not (tmp_path / "plan").exists()

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import datetime as dt
import json

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge import objects_options
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import IncompleteError, LifeboatError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.candidates import Candidate
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.objects_destination import Folder, Server
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.objects_restore import (
    RestorePlan,
    RestoreResult,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.objects_settings import (
    Change,
    SettingsPlan,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.quarantine import Saved
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.restore_plan import SAMPLE, Tally
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.restore_run import Done
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.catalog import Backup
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.manifest import Manifest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.proof import Standing
from ansible_collections.lifeboat.recovery.plugins.modules import bucket_restore

ID = "20261120T020000Z-0a1b2c"
TIME = dt.datetime(2026, 11, 20, 2, tzinfo=clock.UTC)
MANIFEST = Manifest(ID, "s3-documents", "bucket", "", TIME, TIME, "host1", {}, {}, ())
BACKUP = Backup("s3-documents", ID, MANIFEST, Standing(True, (), None))
STEP = {"action": "overwrite", "collection": "documents", "key": "a", "size": 4}
GONE = {"action": "remove", "collection": "documents", "key": "b", "size": 2}
SERVER = {"endpoint_url": "https://minio.example.com:9000", "access_key": "a", "secret_key": "b"}


def tally(**counts):
    empty = Tally.empty()
    destroyed = ("documents",) if counts.get("overwrite") or counts.get("remove") else ()
    sizes = {**empty.sizes, **{name: 4 * count for name, count in counts.items()}}
    return Tally({**empty.counts, **counts}, sizes, (STEP, GONE) if destroyed else (), destroyed)


class Engine:
    """Stands for the engine: two repositories have the backup."""

    def __init__(self):
        self.requests = []
        self.restored = []
        self.tally = tally(overwrite=1, remove=1, keep=98)
        self.settings = SettingsPlan()
        self.result = RestoreResult(
            "s3-documents", ID, "site", Done(written=1, written_bytes=4, removed=1, kept=98), 0, 0, Saved(2, 6), "q/p/",
            0, 1, ("renamed: documents/a",), 1.5, ("the copy in local cannot be used",),
        )  # fmt: skip
        self.error = None

    def plan(self, request):
        self.requests.append(request)
        copies = tuple(Candidate(place, BACKUP) for place in request.places)
        return RestorePlan(request, copies, {"documents": "documents"}, None, self.tally, self.settings, ("a note",))

    def restore(self, planned):
        self.restored.append(planned)
        if self.error:
            raise IncompleteError("Backup is not restored as a whole", "1 object failed", "look", self.result)
        return self.result


@pytest.fixture
def engine(monkeypatch):
    made = Engine()
    monkeypatch.setattr(objects_options.objects_restore, "plan", made.plan)
    monkeypatch.setattr(objects_options.objects_restore, "restore", made.restore)
    return made


@pytest.fixture
def run(run_module, engine):
    repositories = [{"name": "local", "path": "/srv/a"}, {"name": "site", "path": "/srv/b"}]
    given = {"job": "s3-documents", "confirm": ["documents"], "repositories": repositories, **SERVER}
    return lambda check_mode=False, **options: run_module(bucket_restore, check_mode, **{**given, **options})


def test_a_restore_returns_the_plan_and_what_was_done(run, engine):
    end = run()
    assert not end.failed and end["changed"] and len(engine.restored) == 1
    assert (end["id"], end["started"], end["copies"]) == (ID, "2026-11-20T02:00:00.000000Z", ["local", "site"])
    assert (end["repository"], end["proved"], end["target"]) == ("site", True, "https://minio.example.com:9000")
    assert (end["counts"]["overwrite"], end["counts"]["write"], end["bytes"], end["removed_bytes"]) == (1, 0, 4, 4)
    assert (end["written"], end["removed"], end["kept"], end["saved"], end["quarantine"]) == (1, 1, 98, 2, "q/p/")
    assert (end["remarks"], end["remarks_sample"], end["seconds"]) == (1, ["renamed: documents/a"], 1.5)
    assert end.warnings == ["the copy in local cannot be used"]


def test_check_mode_returns_the_plan_and_touches_nothing(run, engine):
    end = run(check_mode=True)
    assert not end.failed and end["changed"] and engine.restored == []
    assert end["repository"] == "local" and end["sample"] == [STEP, GONE] and end["destroyed"] == ["documents"]
    assert end["places"] == [{"from": "documents", "to": "documents"}]
    assert end.warnings == ["a note"]


def test_the_diff_shows_a_sample_before_and_after(run):
    diff = run(check_mode=True)["diff"]
    assert diff["before"]["objects"] == {
        "documents/a": "something else",
        "documents/b": "what the backup does not have",
    }
    assert diff["after"]["objects"] == {"documents/a": "as in the backup", "documents/b": None}
    assert diff["after"]["counts"] == {"overwrite": 1, "remove": 1, "keep": 98}


def test_what_is_as_in_the_backup_is_no_change(run, engine):
    engine.tally = tally(keep=100)
    end = run(confirm=[])
    assert not end.failed and not end["changed"] and engine.restored == []


@pytest.mark.parametrize("check_mode", [True, False])
@pytest.mark.parametrize("confirm", [[], ["document"], ["other"]])
def test_nothing_is_destroyed_without_its_name_and_the_plan_is_returned(run, engine, confirm, check_mode):
    end = run(check_mode=check_mode, confirm=confirm)
    assert end.failed and (end["guard"], end["exit_code"]) == ("confirm", 3)
    assert engine.restored == [] and end["counts"]["overwrite"] == 1


def test_settings_are_overwritten_only_with_the_name_of_their_bucket(run, engine):
    engine.tally = tally()
    engine.settings = SettingsPlan((Change("documents", "policy", {}),), {}, {"documents": {"policy": {"a": 1}}})
    assert run(confirm=[], what="metadata")["guard"] == "confirm"
    assert run(what="metadata", check_mode=True)["settings"] == ["documents: policy"]


def test_a_conflict_is_refused_when_that_is_asked(run, engine):
    engine.tally = tally(conflict=2)
    end = run(conflicts="refuse")
    assert end.failed and end["guard"] == "conflict" and engine.restored == []


def test_an_incomplete_restore_fails_with_what_was_done(run, engine):
    engine.error = True
    end = run()
    assert end.failed and end["exit_code"] == 5 and end["changed"]
    assert (end["written"], end["id"]) == (1, ID)


def test_a_restore_that_breaks_off_may_have_changed_something(run, engine, monkeypatch):
    def broken(_planned):
        raise LifeboatError("Cannot write to documents", "the server is gone", "start it")

    monkeypatch.setattr(objects_options.objects_restore, "restore", broken)
    end = run()
    assert end.failed and end["changed"] and (end["exit_code"], end["id"]) == (1, ID)


def test_every_option_reaches_the_request(run, engine):
    run(
        backup="latest",
        as_of="2026-11-20T02:00:00Z",
        buckets=["documents"],
        map={"documents": "other"},
        prefix="a/",
        include=["*.txt"],
        exclude=["tmp/"],
        exact=True,
        what="all",
        overwrite_settings=False,
        check="content",
        plan_file="/tmp/plan",
        remarks_file="/tmp/remarks",
        quarantine={"bucket": "evidence", "prefix": "p"},
        concurrency=5,
    )
    (request,) = engine.requests
    assert (request.choice.job, request.choice.backup, request.choice.as_of) == ("s3-documents", "latest", TIME)
    assert (request.collections, request.map, request.what) == (("documents",), {"documents": "other"}, "all")
    assert not request.overwrite_settings
    selection = request.selection
    assert (selection.prefix, selection.include, selection.exclude) == ("a/", ("*.txt",), ("tmp/",))
    assert (request.exact, request.by_content, request.threads, request.confirm) == (True, True, 5, ("documents",))
    assert (request.plan_file, request.remarks_file) == ("/tmp/plan", "/tmp/remarks")
    assert (request.quarantine.collection, request.quarantine.prefix) == ("evidence", "p")
    assert isinstance(request.destination, Server) and isinstance(request.quarantine.destination, Server)


def test_a_key_and_a_folder_reach_the_request(run, engine):
    run(key="a/b", path="/srv/out", quarantine={"path": "/srv/shelf"}, conflicts="skip")
    (request,) = engine.requests
    assert request.selection.keys == ("a/b",) and request.conflicts == "skip"
    assert request.destination == Folder("/srv/out") and request.quarantine.destination == Folder("/srv/shelf")


@pytest.mark.parametrize(
    "options",
    [
        {"prefix": "a", "key": "b"},
        {"as_of": "2026-11-20"},
        {"quarantine": {"prefix": "x"}},
        {"map": {"documents": ""}},
        {"what": "nothing"},
        {"repositories": []},
    ],
)
def test_options_that_make_no_sense_are_refused(run, engine, options):
    assert run(**options).failed and engine.requests == []


def test_a_result_stays_small_however_much_there_is(run, engine):
    long_key = "\U0001f600" * 256
    steps = tuple({**STEP, "key": long_key} for _number in range(SAMPLE))
    engine.tally = dataclasses.replace(engine.tally, sample=steps, destroyed=("documents",) * 1000)
    remarks = tuple(f"changed: {long_key}: {'why ' * 60}" for _number in range(SAMPLE))
    engine.result = dataclasses.replace(engine.result, remarks_sample=remarks)
    assert len(json.dumps(run().answer, ensure_ascii=False).encode()) < 64 * 1024

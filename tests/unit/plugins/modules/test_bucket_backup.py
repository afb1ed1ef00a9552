# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of the module; how buckets are read is tested on real servers."""

from __future__ import annotations

import dataclasses

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge import object_jobs
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import (
    BusyError,
    FlaggedError,
    GuardRefusal,
    IncompleteError,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.backup_plan import PlaceState
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.backup_run import BackupResult, CopyResult
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.objects_job import FoundSource
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.objects_plan import Estimate, ObjectsPlan
from ansible_collections.lifeboat.recovery.plugins.modules import bucket_backup

ID = "20261120T020000Z-0a1b2c"
COUNTS = {
    "objects": 9,
    "bytes": 900,
    "added": 1,
    "rewritten": 2,
    "described": 3,
    "gone": 4,
    "read_objects": 3,
    "read_bytes": 300,
}
WRITTEN = CopyResult("local", True, True, True, seconds=1.5)
RESULT = BackupResult(
    "minio-shop",
    ID,
    (WRITTEN,),
    100,
    40,
    2.0,
    1.0,
    ("a warning",),
    {**COUNTS, "remarks": {"skipped": 1}, "remarks_sample": ["skipped: shop/a: why"]},
    (),
    "20261119T020000Z-0a1b2c",
)
FLAGGED = dataclasses.replace(RESULT, flags=("mass_delete: 4 of 9 objects are gone",))


def raised(error):
    raise error


class Engine:
    """Stands for the engine: it takes any job."""

    def __init__(self):
        self.planned, self.ran = [], []
        self.refusal = None
        self.outcome = RESULT

    def plan(self, job, with_estimate):
        self.planned.append((job, with_estimate))
        if self.refusal:
            raised(self.refusal)
        source = FoundSource(None, tuple(f"bucket{number:02}" for number in range(30)), {"endpoint": "x"})
        places = (PlaceState("local", is_primary=True), PlaceState("site", "Cannot read: refused"))
        return ObjectsPlan(job, source, places, "20261119T020000Z-0a1b2c", ("a note",), Estimate(**COUNTS))

    def back_up(self, job):
        self.ran.append(job)
        if isinstance(self.outcome, Exception):
            raised(self.outcome)
        return self.outcome


@pytest.fixture
def engine(monkeypatch):
    made = Engine()
    monkeypatch.setattr(object_jobs.objects_plan, "plan", made.plan)
    monkeypatch.setattr(object_jobs.objects_backup, "back_up", made.back_up)
    for name in ("LIFEBOAT_S3_ENDPOINT", "AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    return made


@pytest.fixture
def run(run_module, engine):
    given = {
        "job": "minio-shop",
        "endpoint_url": "https://minio.example.com:9000",
        "access_key": "reader",
        "secret_key": "canary",
        "repositories": [{"name": "local", "path": "/srv/backups"}],
    }
    return lambda check_mode=False, **options: run_module(bucket_backup, check_mode, **{**given, **options})


def test_a_backup_is_a_change_and_returns_what_was_written(run, engine):
    end = run()
    assert not end.failed and end["changed"]
    assert engine.ran == [job for job, _with_estimate in engine.planned]
    assert {name: end[name] for name in COUNTS} == COUNTS
    assert (end["id"], end["base"], end["mode"]) == (ID, "20261119T020000Z-0a1b2c", "incremental")
    assert (end["seconds"], end["write_seconds"], end["complete"]) == (2.0, 1.0, True)
    assert (end["remarks"], end["remarks_sample"]) == ({"skipped": 1}, ["skipped: shop/a: why"])
    assert end.warnings == ["a warning"]
    assert "canary" not in str(end.answer)


def test_of_many_buckets_the_first_are_named(run):
    end = run(check_mode=True)
    assert (len(end["collections"]), end["collection_count"]) == (20, 30)


def test_check_mode_writes_nothing_and_says_what_would_be_read(run, engine):
    end = run(check_mode=True)
    assert end["changed"] and engine.ran == [] and engine.planned[0][1]
    assert (end["objects"], end["read_bytes"], end["gone"]) == (9, 300, 4)
    assert end["diff"]["after"]["would_be"]["read_objects"] == 3
    assert end.warnings == ["a note", "site: Cannot read: refused"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (FlaggedError("mass_delete", "It is doubted", "4 of 9", "look", FLAGGED), 3),
        (IncompleteError("It is not everywhere", "site: refused", "copy it", RESULT), 5),
    ],
)
def test_a_backup_that_is_doubted_or_not_complete_fails_and_is_returned(run, engine, error, code):
    engine.outcome = error
    end = run()
    assert end.failed and end["changed"] and end["exit_code"] == code
    assert end["id"] == ID and end["objects"] == 9
    assert end.answer.get("guard") == ("mass_delete" if code == 3 else None)
    assert end["flags"] == (list(FLAGGED.flags) if code == 3 else [])


@pytest.mark.parametrize("check_mode", [True, False])
def test_a_guard_comes_out_by_its_name(run, engine, check_mode):
    engine.refusal = GuardRefusal("source", "Cannot back up", "it is empty", "look")
    end = run(check_mode=check_mode)
    assert end.failed and (end["guard"], end["exit_code"]) == ("source", 3)
    assert engine.ran == []


def test_a_job_that_is_running_is_busy(run, engine):
    engine.outcome = BusyError("Cannot run job minio-shop", "it is running", "wait")
    assert run()["exit_code"] == 4


def test_every_option_reaches_the_job(run, engine):
    run(
        buckets=["shop", "media-*"],
        exclude_buckets=["media-tmp"],
        prefix="live/",
        mode="metadata_only",
        reread="1/7",
        on_entropy_jump="warn",
        region="eu-west-1",
        addressing_style="virtual",
        session_token="token",  # noqa: S106
    )
    (job,) = engine.ran
    assert (job.name, job.kind, job.mode) == ("minio-shop", "bucket", "metadata_only")
    selection, client = job.open_source.func.__self__, job.open_source.args[0]
    assert (selection.buckets, selection.exclude_buckets) == (("shop", "media-*"), ("media-tmp",))
    assert (selection.prefix, job.reread.of, job.policy["entropy_jump"]) == ("live/", 7, "warn")
    endpoint = client.endpoint
    assert (endpoint.url, endpoint.access_key, endpoint.secret_key) == (
        "https://minio.example.com:9000",
        "reader",
        "canary",
    )
    assert (endpoint.region, endpoint.addressing_style, endpoint.session_token) == ("eu-west-1", "virtual", "token")


def test_by_default_all_buckets_are_taken(run, engine):
    run()
    (job,) = engine.ran
    assert job.open_source.func.__self__.buckets == ("*",)
    assert (job.proof, job.compression, job.allow_partial, job.rebind) == ("content", "zstd", False, False)


@pytest.mark.parametrize(
    "options",
    [{"buckets": []}, {"mode": "some"}, {"secret_key": None}, {"job": "a/b"}, {"repositories": []}, {"reread": "x"}],
)
def test_a_wrong_option_is_refused_before_anything_is_asked(run, engine, options):
    assert run(**options).failed
    assert engine.planned == [] and engine.ran == []

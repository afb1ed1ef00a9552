# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import json

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import LifeboatError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import job_lock, mirror_run
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.mirror_run import Request
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.source import ObjectError
from ansible_collections.lifeboat.recovery.plugins.modules import s3_mirror
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.objects.mirror_model import Bucket

SITE = {"bucket": "photos", "endpoint_url": "https://minio.example.com", "access_key": "key", "secret_key": "secret"}


@pytest.fixture
def sides():
    """Return the source and the targets, instead of what the options name."""
    return [
        Bucket({"same": b"1", "new": b"22", "changed": b"333"}, name="here"),
        Bucket({"same": b"1", "changed": b"4", "gone": b"55"}, name="there"),
    ]


@pytest.fixture
def run(run_module, monkeypatch, tmp_path, sides):
    jobs = []

    @contextlib.contextmanager
    def opened(job):
        jobs.append(job)
        yield Request(sides[0], tuple(sides[1:]), job.allowed, job.threads, job.bytes_per_s, job.keeps_overwritten)

    monkeypatch.setattr(mirror_run, "opened", opened)
    monkeypatch.setattr(job_lock, "_FOLDERS", (str(tmp_path),))

    def mirror(check_mode=False, **options):
        given = {"source": SITE, "targets": [{**SITE, "bucket": "copy"}], "threads": 2}
        return run_module(s3_mirror, check_mode, **{**given, **options})

    mirror.jobs = jobs
    return mirror


def test_targets_become_equal_and_a_second_run_changes_nothing(run, sides):
    end = run()
    assert not end.failed and end["changed"], end.answer
    (target,) = end["targets"]
    assert (target["copied"], target["replaced"], target["removed"], target["unchanged"]) == (1, 1, 1, 1)
    assert target["bytes"] == 5
    assert sides[1].objects == sides[0].objects
    again = run()
    assert not again.failed and not again["changed"]
    assert again["diff"]["before"] == again["diff"]["after"]


def test_check_mode_says_exactly_what_would_be_done_and_does_nothing(run, sides, tmp_path):
    before = dict(sides[1].objects)
    plan_file = tmp_path / "plan"
    planned = run(check_mode=True, plan_file=str(plan_file))
    assert planned["changed"] and sides[1].objects == before
    (target,) = planned["targets"]
    assert target["samples"] == {"copied": ["new"], "replaced": ["changed"], "removed": ["gone"]}
    assert planned["diff"]["before"]["there"] == {
        "missing": {"objects": 1, "bytes": 2, "sample": ["new"]},
        "different": {"objects": 1, "bytes": 3, "sample": ["changed"]},
        "extra": {"objects": 1, "bytes": 2, "sample": ["gone"]},
    }
    assert {json.loads(line)["key"] for line in plan_file.read_text().splitlines()} == {"new", "changed", "gone"}
    done = run()
    assert done["diff"] == planned["diff"]
    assert {name: done["targets"][0][name] for name in ("copied", "replaced", "removed", "bytes")} == {
        name: target[name] for name in ("copied", "replaced", "removed", "bytes")
    }


def test_objects_that_fail_fail_the_task_with_what_was_done(run, sides):
    sides[1].failures[("put", "new")] = ObjectError("Cannot write new", "it is refused")
    end = run()
    assert end.failed and end["changed"] and end["exit_code"] == 5
    (target,) = end["targets"]
    assert (target["copied"], target["replaced"], target["failed"], target["left"]) == (0, 1, 1, 1)
    assert "it is refused" in target["problems"][0]


def test_a_run_that_stops_says_how_far_it_came(run, sides):
    sides[1].failures[("remove", "gone")] = LifeboatError("Cannot reach the server")
    end = run()
    assert end.failed and end["changed"] and end["exit_code"] == 1
    assert end["targets"][0]["copied"] == 1


@pytest.mark.parametrize("verify", [True, "content"])
def test_a_comparison_changes_nothing_and_fails_on_a_difference(run, sides, verify):
    before = dict(sides[1].objects)
    end = run(verify=verify)
    assert end.failed and not end.answer.get("changed") and end["exit_code"] == 1
    assert sides[1].objects == before
    assert end["targets"][0]["removed"] == 1
    run()
    end = run(verify=verify)
    assert not end.failed and not end["changed"]
    assert end["targets"][0].get("read") == (3 if verify == "content" else None)


def test_comparing_content_finds_bytes_that_listings_do_not_show(run, sides):
    run()
    sides[1].chunks = lambda _item: iter([b"bad"])
    end = run(verify="content")
    assert end.failed and end["targets"][0]["corrupt"] == 3
    assert not run(verify=True).failed


def test_a_guard_refuses_with_its_name_and_nothing_is_changed(run, sides):
    sides[0].objects = {}
    before = dict(sides[1].objects)
    end = run()
    assert end.failed and (end["guard"], end["exit_code"]) == ("source", 3)
    assert sides[1].objects == before
    assert not run(allow=["source"]).failed
    assert sides[1].objects == {}


@pytest.mark.parametrize("targets", [1, 10])
def test_results_stay_small_whatever_the_keys_are(run, sides, targets):
    keys = [f"{number:04}" + "\U0001f6df" * 255 for number in range(100)]
    sides[0].objects = dict.fromkeys(keys, b"1")
    sides[1:] = [Bucket({f"x{key}": b"1" for key in keys}, name=f"there-{number}") for number in range(targets)]
    for target in sides[1:]:
        target.failures = {("put", key): ObjectError(f"Cannot write {key}", "no " * 500) for key in keys[:50]}
    end = run(check_mode=True)
    assert len(json.dumps(end.answer)) < 64 * 1024
    end = run()
    assert end.failed and len(json.dumps(end.answer)) < 64 * 1024


def test_options_become_a_job(run):
    run(bandwidth="10MiB", keep_overwritten=False, compare_properties=True, allow=["mass_delete"], threads=3)
    (job,) = run.jobs
    assert (job.bytes_per_s, job.keeps_overwritten, job.compares_properties) == (10 * 1024**2, False, True)
    assert (job.allowed, job.threads) == (frozenset(["mass_delete"]), 3)
    assert job.source.endpoint.secret_key == "secret" and "secret" not in repr(job)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"targets": []}, "there is no target"),
        ({"threads": 0}, "threads is 0"),
        ({"threads": 1000}, "threads is 1000"),
        ({"bandwidth": "fast"}, "as a size"),
        ({"targets": [{"path": "/a"}, {"path": "/a"}]}, "more than once"),
        ({"source": {"path": "/a"}, "targets": [{"path": "/b"}]}, "directories"),
        ({"allow": ["everything"]}, "value of allow must be one or more of"),
        ({"verify": "maybe"}, "value of verify must be one of"),
    ],
)
def test_what_cannot_be_used_is_refused(run, options, words):
    end = run(**options)
    assert end.failed and words in end["msg"]

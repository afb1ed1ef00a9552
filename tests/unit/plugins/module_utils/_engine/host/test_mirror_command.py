# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import json

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import BusyError, UsageError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import cli, job_lock, mirror_run
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.fields import Fields
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.mirror_config import mirrors_from
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects import mirror_run as engine
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.objects.mirror_model import Bucket

MIRROR = {
    "source": {"bucket": "photos", "prefix": "2026", "endpoint_url": "https://minio.example.com"},
    "targets": {"disk": {"path": "/srv/photos"}},
}


@pytest.fixture
def sides(monkeypatch, tmp_path):
    monkeypatch.setattr(job_lock, "_FOLDERS", (str(tmp_path),))
    found = [Bucket({"a": b"1", "b": b"2"}, name="here"), Bucket({"c": b"3"}, name="there")]

    @contextlib.contextmanager
    def opened(job):
        yield engine.Request(found[0], (found[1],), job.allowed, 2)

    monkeypatch.setattr(mirror_run, "opened", opened)
    return found


@pytest.fixture
def lifeboat(tmp_path, capsys):
    """Run the command and return exit code, standard output and standard error."""
    key = tmp_path / "key"
    key.write_text("secret")
    key.chmod(0o600)
    login = {"access_key": "mirror", "secret_key_file": str(key)}
    mirror = {**MIRROR, "source": {**MIRROR["source"], **login}}
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"mirrors": {"photos": mirror}}))
    config.chmod(0o600)

    def run(*words):
        code = cli.main(["--config", str(config), "mirror", *words])
        out = capsys.readouterr()
        return code, out.out, out.err

    return run


def test_a_mirror_says_what_it_did(lifeboat, sides):
    code, out, _err = lifeboat("photos")
    assert code == 0
    assert "here to there: 2 copied, 0 replaced, 1 removed, 0 unchanged" in out
    assert sides[1].objects == sides[0].objects


def test_a_dry_run_changes_nothing_and_says_it_in_json(lifeboat, sides, tmp_path):
    code, out, _err = lifeboat("photos", "--dry-run", "--json", "--plan-file", str(tmp_path / "plan"))
    found = json.loads(out)
    assert code == 0 and found["dry_run"] and found["targets"][0]["copied"] == 2
    assert sides[1].objects == {"c": b"3"}
    assert len((tmp_path / "plan").read_text().splitlines()) == 3


@pytest.mark.parametrize("words", [["--verify"], ["--verify", "content"]])
def test_a_comparison_ends_with_1_where_the_sides_differ(lifeboat, sides, words):
    code, _out, err = lifeboat("photos", *words)
    assert code == 1 and "is not equal" in err and sides[1].objects == {"c": b"3"}
    lifeboat("photos")
    assert lifeboat("photos", *words)[0] == 0


def test_a_guard_ends_with_3_unless_it_is_allowed(lifeboat, sides):
    sides[0].objects = {}
    assert lifeboat("photos")[0] == 3
    assert lifeboat("photos", "--allow", "source")[0] == 0


def test_a_mirror_that_is_not_in_the_configuration_is_wrong_usage(lifeboat, sides):
    code, _out, err = lifeboat("films")
    assert code == 2 and "its mirrors are: photos" in err


def test_two_mirrors_to_one_target_exclude_each_other(sides, monkeypatch):
    planned = engine.plan(engine.Request(sides[0], (sides[1],), threads=1))

    def again():
        with pytest.raises(BusyError):
            mirror_run.run(planned)

    sides[1].prepare = again
    with planned.steps:
        mirror_run.run(planned)
    assert sides[1].objects == sides[0].objects


def parsed(**changes):
    mirror = {key: value for key, value in {**MIRROR, **changes}.items() if value is not None}
    return mirrors_from(Fields("config.json", "", {"mirrors": {"photos": mirror}}))["photos"]


def test_a_configuration_describes_a_mirror():
    found = parsed(threads=4, bandwidth="1MiB", keep_overwritten=False, compare_properties=True)
    assert (found.threads, found.bytes_per_s) == (4, 1024**2)
    assert (found.keeps_overwritten, found.compares_properties) == (False, True)
    assert (found.source.bucket, found.source.prefix) == ("photos", "2026")
    assert [(side.name, side.path) for side in found.targets] == [("disk", "/srv/photos")]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"targets": None}, "targets"),
        ({"targets": {}}, "targets"),
        ({"targets": {"a": {}}}, "mirrors.photos.targets.a.path is missing"),
        ({"targets": {"a": {"path": "relative"}}}, "absolute"),
        ({"source": {"path": "/a", "bucket": "b"}}, "both path and bucket"),
        ({"source": {"path": "/a", "prefix": "b"}}, "prefix"),
        ({"source": {"bucket": "b", "access_key": "a"}}, "secret_key_file"),
        ({"threads": 0}, "threads"),
        ({"bandwidth": "fast"}, "bandwidth"),
        ({"keep_overwriten": True}, "did you mean keep_overwritten"),
    ],
)
def test_a_mirror_that_cannot_be_used_is_refused(changes, words):
    with pytest.raises(UsageError, match=words):
        parsed(**changes)

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sets: a database, a bucket and a folder that are backed up, judged and brought back together, by the command."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pwd
import shutil
import signal
import typing as t
from pathlib import Path

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import cli
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.member_names import member_job
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import identity
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.bucket import BucketStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.client import S3Client
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.steps import watch
from ansible_collections.lifeboat.recovery.tests.functional.command_file import command_for
from ansible_collections.lifeboat.recovery.tests.functional.job_fixtures import own_locks
from ansible_collections.lifeboat.recovery.tests.functional.postgres_fixtures import databases_of, postgres
from ansible_collections.lifeboat.recovery.tests.functional.s3_fixtures import bucket, s3, s3_server
from ansible_collections.lifeboat.recovery.tests.functional.test_host_command import (
    SYSTEM_PYTHON,
    Host,
    held,
    host,
    needs_root,
)
from servers import MinioServer

__all__ = ["bucket", "held", "host", "own_locks", "postgres", "s3", "s3_server"]

_ODD = 'grün/☂ "a\\b"'
_PAPERS = f"""
CREATE TABLE paper (id int PRIMARY KEY, object text);
INSERT INTO paper SELECT n, 'paper-' || n || '.txt' FROM generate_series(1, 30) AS n;
INSERT INTO paper VALUES (0, NULL), (1000, 'paper-1.txt'), (1001, '{_ODD}'), (1002, '');
"""
_STEPS = ("set.member", "set.compared", "set.lists_stored", "point.recorded")


class Lab(t.NamedTuple):
    """A host whose database, bucket and folder are one set, in a directory and in a bucket."""

    host: Host
    s3: S3Client
    bucket: str
    folder: Path

    def configure(
        self,
        *places: str,
        repositories: t.Mapping[str, t.Any] | None = None,
        buckets: t.Sequence[str] = (),
        databases: t.Sequence[str] = (),
        **changed: t.Any,
    ) -> None:
        """Write the configuration; `changed` replaces keys of the set, `repositories` those of the host."""
        login = {key: each for key, each in self.host.repositories["site"].items() if key != "bucket"}
        papers = {"database": "lab", "query": "SELECT object FROM paper;", "objects": "papers"}
        whole = {
            "kind": "set",
            "members": ["lab", "papers", "etc"],
            "objectives": {"rpo_hours": 1},
            "references": {"papers": papers},
            **changed,
        }
        both = list(places) or ["local"]
        jobs = {
            "lab": {**self.host.job, "repositories": both},
            "papers": {
                "kind": "bucket",
                "buckets": list(buckets) or [self.bucket],
                "source": login,
                "repositories": both,
            },
            "etc": {"kind": "files", "roots": [str(self.folder)], "repositories": both},
            "whole": whole,
        }
        if databases:
            jobs["lab"].update(databases=list(databases))
            del jobs["lab"]["database"]
        path = self.host.folder / "config.json"
        document = {"repositories": {**self.host.repositories, **(repositories or {})}, "jobs": jobs}
        path.write_text(json.dumps(document))

    def ask(self, *words: str, code: int = 0) -> dict[str, t.Any]:
        """Do what the command does, in this process: starting it a hundred times would take longer than the work."""
        shown = io.StringIO()
        with contextlib.redirect_stdout(shown):
            found = cli.main(["--config", str(self.host.folder / "config.json"), "--json", *words])
        document: dict[str, t.Any] = json.loads(shown.getvalue())
        assert found == code, document
        return document

    def papers(self) -> dict[str, bytes]:
        found = self.s3.list_objects(self.bucket)
        return {each.key: self.s3.get_bytes(self.bucket, each.key, 1 << 20)[0] for each in found}

    def rows(self) -> str:
        return self.host.server.sql("SELECT md5(string_agg(p::text, ',' ORDER BY id)) FROM paper p", self.host.database)

    def settings(self) -> str:
        return (self.folder / "app.conf").read_text()

    def points(self) -> list[str]:
        return sorted(path.stem for path in (self.host.local / "points" / "whole").glob("*.json"))

    def lose_everything(self) -> None:
        self.host.server.sql("TRUNCATE paper", self.host.database)
        for key in self.papers():
            self.s3.delete(self.bucket, key)
        (self.folder / "app.conf").write_text("ruined")

    @property
    def confirmed(self) -> list[str]:
        names = (self.host.database, self.bucket, str(self.folder))
        return [word for name in names for word in ("--confirm", name)]


@pytest.fixture
def lab(host: Host, s3: S3Client, s3_server: MinioServer, bucket: str) -> Lab:
    secret = host.folder / "site.key"
    secret.write_text(s3_server.secret_key + "\n")
    secret.chmod(0o600)
    access = {"endpoint_url": s3_server.endpoint, "access_key": s3_server.access_key, "secret_key_file": str(secret)}
    host.repositories["site"] = {"bucket": bucket, **access}
    identity.initialise(BucketStore(s3, bucket))
    data = f"{bucket}-data"
    s3.create_bucket(data)
    for name in (*(f"paper-{n}.txt" for n in range(1, 31)), _ODD):
        s3.put_object(data, name, f"what {name} says".encode())
    host.server.sql(_PAPERS, host.database)
    folder = host.folder / "etc"
    folder.mkdir()
    (folder / "app.conf").write_text("answer = 42\n")
    made = Lab(host, s3, data, folder)
    made.configure()
    return made


def test_members_come_back_together_from_one_point(lab: Lab) -> None:
    rows, papers, settings = lab.rows(), lab.papers(), lab.settings()
    lab.configure("local", "site")
    run = lab.ask("run", "whole")
    assert [(each["job"], each["complete"]) for each in run["members"]] == [
        ("lab", True),
        ("papers", True),
        ("etc", True),
    ]
    assert [(each["repository"], each["present"], each["proved"]) for each in run["copies"]] == [
        ("local", True, True),
        ("site", True, True),
    ]
    (reference,) = run["references"]
    assert (reference["keys"], reference["missing"], reference["problem"]) == (31, 0, "")
    assert lab.points() == [run["id"]]

    lab.lose_everything()
    refused = lab.ask("restore", "whole", code=3)
    assert refused["error"]["guard"] == "confirm"
    assert lab.settings() == "ruined"  # the plan of all members is judged before any of them is touched
    refused = lab.ask("restore", "whole", "--confirm", lab.host.database, code=3)
    assert lab.rows() != rows

    planned = lab.ask("restore", "whole", "--dry-run", *lab.confirmed)
    assert [each["job"] for each in planned["members"]] == ["lab", "papers", "etc"]
    assert lab.settings() == "ruined"
    restored = lab.ask("restore", "whole", *lab.confirmed)
    assert (restored["id"], [each["good"] for each in restored["members"]]) == (run["id"], [True] * 3)
    assert (lab.rows(), lab.papers(), lab.settings()) == (rows, papers, settings)
    previous = restored["members"][0]["previous"]
    assert previous in databases_of(lab.host.server)
    lab.host.server.sql(f'DROP DATABASE "{previous}" WITH (FORCE)')


def test_a_part_of_a_point_can_be_chosen_and_left_out_also_one_database_of_several(lab: Lab) -> None:
    rows, settings = lab.rows(), lab.settings()
    whole, other = member_job("lab", lab.host.database), "lab.postgres"
    papers = {"database": whole, "query": "SELECT object FROM paper", "objects": "papers"}
    lab.configure("local", "site", databases=[lab.host.database, "postgres"], references={"papers": papers})
    run = lab.ask("run", "whole")
    assert [(each["job"], each["present"]) for each in run["members"]] == [
        (name, ["local", "site"]) for name in (whole, other, "papers", "etc")
    ]
    assert (run["references"][0]["keys"], run["references"][0]["problem"]) == (31, "")
    assert lab.ask("status", "whole")["healthy"]
    assert [each["exit_code"] for each in lab.ask("verify", "whole", "--level", "presence")["members"]] == [0] * 4

    lab.lose_everything()
    only = lab.ask("restore", "whole", "--only", "etc", *lab.confirmed)
    assert [each["job"] for each in only["members"]] == ["etc"]
    assert (lab.settings(), lab.papers()) == (settings, {})
    assert lab.rows() != rows
    rest = lab.ask("restore", "whole", "--except", "etc", "--except", "lab", *lab.confirmed)
    assert [each["job"] for each in rest["members"]] == ["papers"]
    assert len(lab.papers()) == 31
    databases = lab.ask("restore", "whole", "--only", "lab", "--except", other, *lab.confirmed)
    assert [each["job"] for each in databases["members"]] == [whole]
    assert lab.rows() == rows
    lab.host.server.sql(f'DROP DATABASE "{databases["members"][0]["previous"]}" WITH (FORCE)')
    assert "does not have it" in lab.ask("restore", "whole", "--only", "nope", code=2)["error"]["cause"]
    assert "is a set" in lab.ask("restore", "whole", "--prefix", "a", code=2)["error"]["cause"]


def test_a_member_that_fails_leaves_no_point_and_the_backups_of_others(lab: Lab) -> None:
    (lab.folder / "app.conf").unlink()
    run = lab.ask("run", "whole", code=5)
    assert run["id"] == ""
    assert [bool(each["backup"]) for each in run["members"]] == [True, True, False]
    assert "etc" in run["error"]["cause"]
    assert lab.points() == []
    assert len(lab.ask("list", "lab")["jobs"][0]["backups"]) == 1
    assert "there is no recovery point" in lab.ask("status", "whole", code=1)["jobs"][0]["problems"]


def test_keys_without_an_object_are_named_at_the_run_and_by_verify(lab: Lab) -> None:
    for key in ("paper-7.txt", _ODD):
        lab.s3.delete(lab.bucket, key)
    run = lab.ask("run", "whole", code=5)
    (reference,) = run["references"]
    assert (reference["keys"], reference["missing"]) == (31, 2)
    assert reference["sample"] == [_ODD, "paper-7.txt"]
    assert lab.points() == [run["id"]]
    (listed,) = (lab.host.local / "data" / "whole" / run["id"]).glob("missing-0.jsonl*")
    assert listed.stat().st_size > 0
    verified = lab.ask("verify", "whole", "--backup", run["id"], code=1)
    assert [each["exit_code"] for each in verified["members"]] == [0, 0, 0]
    assert "2 of 31 keys" in verified["problems"][0]
    refused = lab.ask("restore", "whole", "--dry-run", code=1)  # latest_good is none that is not good
    assert "Cannot find recovery point" in refused["error"]["problem"]

    lab.configure(
        references={
            "papers": {
                "database": "lab",
                "query": "SELECT object FROM paper",
                "objects": "papers",
                "on_missing": "warn",
            }
        }
    )
    warned = lab.ask("run", "whole")
    assert "2 of 31 keys" in warned["warnings"][0]


def test_a_query_that_fails_is_told_and_cannot_change_anything(lab: Lab) -> None:
    bad = {"database": "lab", "query": "DELETE FROM paper RETURNING object", "objects": "papers"}
    lab.configure(references={"papers": bad})
    rows = lab.rows()
    run = lab.ask("run", "whole", code=5)
    assert run["references"][0]["problem"]
    assert lab.rows() == rows


def test_list_show_status_and_verify_agree(lab: Lab) -> None:
    first, second = lab.ask("run", "whole")["id"], lab.ask("run", "whole")["id"]
    (listed,) = lab.ask("list", "whole")["jobs"]
    assert [(each["id"], each["good"]) for each in listed["points"]] == [(first, True), (second, True)]
    assert lab.ask("show", "whole", first)["whole"]
    (status,) = lab.ask("status", "whole")["jobs"]
    assert (status["healthy"], status["id"], status["proved_id"]) == (True, second, second)
    assert lab.ask("verify", "whole")["id"] == second
    for words in (["list"], ["status"], ["show", "whole"], ["check"], ["verify", "whole"]):
        done = lab.host.call(*words)
        assert done.returncode == 0, done.stdout + done.stderr
        assert max(map(len, done.stdout.splitlines())) <= 100, done.stdout


def test_a_point_goes_when_a_member_has_gone(lab: Lab) -> None:
    lab.configure("local", "site")
    first, second = lab.ask("run", "whole")["id"], lab.ask("run", "whole")["id"]
    oldest = sorted((lab.host.local / "manifests" / "etc").glob("*.json"))[0]
    oldest.unlink()
    (listed,) = lab.ask("list", "whole")["jobs"]
    assert [each["whole"] for each in listed["points"]] == [True, True]  # the other repository has it
    planned = lab.ask("prune", "whole", "--dry-run")
    assert [list(each["broken"]) for each in planned["repositories"]] == [[first], []]
    assert lab.points() == [first, second]
    pruned = lab.ask("prune", "whole")
    assert [list(each["broken"]) for each in pruned["repositories"]] == [[first], []]
    assert lab.points() == [second]
    again = lab.ask("prune", "whole")
    assert [list(each["broken"]) for each in again["repositories"]] == [[], []]


def test_the_point_is_restored_after_the_nearest_repository_was_lost(lab: Lab) -> None:
    rows, papers = lab.rows(), lab.papers()
    lab.configure("local", "site")
    lab.ask("run", "whole")
    lab.lose_everything()
    shutil.rmtree(lab.host.local)
    restored = lab.ask("restore", "whole", "--except", "etc", *lab.confirmed)
    assert [each["good"] for each in restored["members"]] == [True, True]
    assert (lab.rows(), lab.papers()) == (rows, papers)
    lab.host.server.sql(f'DROP DATABASE "{restored["members"][0]["previous"]}" WITH (FORCE)')


def test_a_repository_that_was_away_gets_the_point_after_the_backups(lab: Lab) -> None:
    lab.s3.delete(lab.bucket, "paper-7.txt")  # its list has to come along
    away = {"path": str(lab.host.folder / "not mounted")}
    lab.configure("local", "site", repositories={"site": away})
    run = lab.ask("run", "whole", code=5)
    assert [(each["repository"], each["present"]) for each in run["copies"]] == [("site", False), ("local", True)]
    lab.configure("local", "site")
    assert lab.ask("copy", "whole")["copied"] == []
    for member in ("lab", "papers", "etc"):
        lab.ask("copy", member)
    wanted = [{"id": run["id"], "source": "local", "target": "site"}]
    assert lab.ask("copy", "whole", "--dry-run")["copied"] == wanted
    assert lab.ask("copy", "whole")["copied"] == wanted
    assert lab.ask("copy", "whole")["copied"] == []
    assert lab.ask("show", "whole")["repositories"] == ["local", "site"]
    prefix = f"data/whole/{run['id']}/missing-0.jsonl"
    assert [each.key for each in lab.s3.list_objects(lab.host.repositories["site"]["bucket"], prefix)]


def test_a_signal_ends_the_member_that_runs_and_leaves_no_intent(lab: Lab, held: t.Callable[[], int]) -> None:
    lab.configure()
    process = lab.host.begin("run", "whole")
    child = held()
    assert len(lab.host.intents()) == 1
    process.send_signal(signal.SIGTERM)
    _out, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert "Traceback" not in err
    assert not Path(f"/proc/{child}").exists()
    assert (lab.host.intents(), lab.points()) == ([], [])


def test_a_reference_into_one_of_several_buckets_names_it(lab: Lab) -> None:
    other = f"{lab.bucket}-2"
    lab.s3.create_bucket(other)
    lab.s3.put_object(other, "papers/paper-1.txt", b"other")
    query = "SELECT object FROM paper WHERE id = 1"
    given = {"database": "lab", "query": query, "objects": "papers"}
    lab.configure(
        buckets=[lab.bucket, other],
        references={"vague": given, "exact": {**given, "collection": other, "prefix": "papers/"}},
    )
    vague, exact = lab.ask("run", "whole", code=5)["references"]
    assert "name one of them" in vague["problem"] or "2 buckets" in vague["problem"]
    assert (exact["keys"], exact["missing"], exact["problem"]) == (1, 0, "")


@needs_root
@pytest.mark.skipif(not SYSTEM_PYTHON.exists(), reason="NOT TESTED: no interpreter that every user can run")
def test_each_member_is_backed_up_and_restored_by_its_own_user(lab: Lab, s3_server: MinioServer) -> None:
    host, users = lab.host, ("nobody", "root")
    folders = {user: host.folder / f"of-{user}" for user in users}
    for user, folder in folders.items():
        folder.mkdir(mode=0o700)
        (folder / "file").write_text(user)
        secret = host.folder / f"{user}.key"
        secret.write_text(s3_server.secret_key)
        secret.chmod(0o600)
        for path in (folder, folder / "file", secret):
            os.chown(path, pwd.getpwnam(user).pw_uid, -1)
    place = {**host.repositories["site"], "secret_key_file": str(host.folder / "{user}.key")}
    jobs: dict[str, t.Any] = {
        user: {"kind": "files", "roots": [str(folder)], "repositories": ["site"], "compression": "gzip", "run_as": user}
        for user, folder in folders.items()
    }
    jobs["whole"] = {"kind": "set", "members": list(users)}
    (host.folder / "config.json").write_text(json.dumps({"repositories": {"site": place}, "jobs": jobs}))
    host.command.write_bytes(command_for(str(SYSTEM_PYTHON)))  # the test's own may lie where only root can read
    run = host.ask("run", "whole")
    assert [each["complete"] for each in run["members"]] == [True, True]
    assert host.ask("status")["healthy"]
    for folder in folders.values():
        (folder / "file").unlink()
    host.ask("restore", "whole", *(word for folder in folders.values() for word in ("--confirm", str(folder))))
    assert [(folder / "file").read_text() for folder in folders.values()] == list(users)
    assert (folders["nobody"] / "file").stat().st_uid == pwd.getpwnam("nobody").pw_uid
    weak = pwd.getpwnam("nobody")
    refused = host.call("run", "whole", user=weak.pw_uid, group=weak.pw_gid, extra_groups=[])
    assert refused.returncode == 2
    assert "its run_as is root" in refused.stderr


@pytest.mark.parametrize("step", _STEPS)
def test_a_run_that_is_killed_leaves_no_half_point_and_the_next_one_succeeds(lab: Lab, step: str) -> None:
    lab.s3.delete(lab.bucket, "paper-7.txt")
    pid = os.fork()
    if pid == 0:
        watch(lambda reached: os.kill(os.getpid(), 9) if reached == step else None)
        os._exit(cli.main(["--config", str(lab.host.folder / "config.json"), "run", "whole"]))
    _pid, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) != 0
    listed = lab.ask("list", "whole")["jobs"][0]["points"]
    assert all(each["whole"] for each in listed)
    run = lab.ask("run", "whole", code=5)  # one key is missing, and that is all
    assert [each["problem"] for each in run["members"]] == ["", "", ""]
    assert run["id"] == lab.points()[-1]
    assert lab.ask("verify", "whole", code=1)["members"][0]["exit_code"] == 0

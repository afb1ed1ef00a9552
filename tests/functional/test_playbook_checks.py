# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What playbooks refuse before they do anything. Each mistake has a host of its own: starts of Ansible take time."""

from __future__ import annotations

import getpass
import grp
import json
import os
import re
import typing as t
from pathlib import Path

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.proving import prove
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import binding, identity
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.publish import Contents, Run
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.verify.drill_place import DrillPlace
from ansible_collections.lifeboat.recovery.tests.functional.job_fixtures import SMALL, postgres, server
from ansible_collections.lifeboat.recovery.tests.functional.plays import ran
from ansible_collections.lifeboat.recovery.tests.functional.postgres_fixtures import PostgresServer, database

__all__ = ["postgres", "server"]
FOLDER = {"name": "etc", "kind": "files", "roots": ["/nowhere"]}
# Keys of a job that a form sends although nobody filled them in.
EMPTY_LOGIN = ("login_host", "login_port", "login_password", "login_service", "session_role", "ssl_mode", "ca_cert")
EMPTY = ("job", "schedule", "keep", "objectives", "timezone", "repositories", "bin_dir", "container", "databases")
EMPTY_DATABASE = dict.fromkeys((*EMPTY, *EMPTY_LOGIN, "container_engine", "exclude", "parallel", "on_gone"), "")
EMPTY_FOLDER = dict.fromkeys((*EMPTY, "exclude", "include", "one_file_system", "devices", "reread"), "")
# What a survey sends for questions that nobody answered.
UNANSWERED = {f"lifeboat_{name}": "" for name in ("run_as", "serial", "safety", "backup", "make", "again", "no_log")}
# Hosts with their variables, by the playbook that is run on them.
MISTAKES: t.Mapping[str, t.Mapping[str, t.Mapping[str, t.Any]]] = {
    "backup": {
        "twice": {"lifeboat_jobs": [FOLDER, {**FOLDER, "roots": ["/elsewhere"]}]},
        "odd": {"lifeboat_jobs": [FOLDER, {"name": "shop", "kind": "postgres"}]},
        "kindless": {"lifeboat_jobs": [{"name": "shop", "database": "shop"}]},
        "text": {"lifeboat_jobs": json.dumps([FOLDER]) + "\n"},
        "empty": {"lifeboat_jobs": ""},
        "anonymous": {"lifeboat_jobs": [{**FOLDER, "name": ""}]},
        "places": {"lifeboat_repositories": {"local": {"path": "/nowhere"}}},
        "astray": {"lifeboat_jobs": [{**FOLDER, "repositories": ["locl"]}]},
        "single": {"lifeboat_jobs": [{**FOLDER, "repositories": "local"}]},
        "placeless": {"lifeboat_repositories": ""},
        "idle": {"lifeboat_jobs": []},
    },
    "status": {"wordy": {"lifeboat_max_age_hours": "26h"}, "jobless": {"lifeboat_jobs": []}},
    "copy": {"written": {"lifeboat_jobs": json.dumps([FOLDER]) + "\n"}},
    "dr.database_corruption": {"texts": {"lifeboat_jobs": json.dumps([FOLDER]) + "\n"}},
    "verify": {"elsewhere": {"lifeboat_repository": "locl"}},
    "prune": {"nowhere": {"lifeboat_repository": "locl"}},
    "restore": {"unknown": {"lifeboat_jobs": [{"name": "shop", "kind": "postgres"}], "lifeboat_job": "shop"}},
    "recovery_key": {"codeless": {"lifeboat_recovery_code": "", "lifeboat_recovery_code_file": ""}},
    "dr.single_object": {
        "listless": {"lifeboat_jobs": json.dumps([FOLDER]) + "\n", "lifeboat_job": "etc"},
        "keyless": {"lifeboat_job": "etc", "lifeboat_key": "", "lifeboat_confirm": "etc"},
        "unasked": {"lifeboat_job": "", "lifeboat_key": "hosts", "lifeboat_confirm": "etc"},
        "both": {"lifeboat_job": "etc", "lifeboat_key": "hosts", "lifeboat_prefix": "ho"},
        "nameless": {"lifeboat_job": "etc", "lifeboat_key": "hosts", "lifeboat_to_bucket": "other"},
    },
}


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Run all of these playbooks, each on its hosts, and return what they said."""
    folder = tmp_path_factory.mktemp("checks")
    hosts = {name: given for playbook in MISTAKES.values() for name, given in playbook.items()}
    # Without a host that goes on, the first playbook would be the last. What is wrong with another job may wait.
    asked = {"lifeboat_job": "etc", "lifeboat_key": "hosts", "lifeboat_repository": "local"}
    others = {"lifeboat_max_age_hours": "26.5", "lifeboat_recovery_code": "0000"}
    stale = {**FOLDER, "name": "old", "repositories": ["gone"]}
    hosts["right"] = {**asked, **others, "lifeboat_jobs": [FOLDER, stale]}
    plays = [
        (f"lifeboat.recovery.{name}", {"lifeboat_hosts": ":".join(["right", *given])})
        for name, given in MISTAKES.items()
    ]
    return run(folder, hosts, *plays, arguments=("--tags", "always"))


def run(
    folder: Path,
    hosts: t.Mapping[str, t.Any],
    *plays: tuple[str, t.Mapping[str, t.Any]],
    arguments: t.Sequence[str] = (),
) -> str:
    common = {
        **UNANSWERED,
        "ansible_become": False,
        "lifeboat_agent": False,
        "lifeboat_jobs": [FOLDER],
        "lifeboat_repositories": [{"name": "local", "path": str(folder / "none")}],
    }
    inventory, playbook = folder / "hosts.yml", folder / "play.yml"
    # Times without quotes, as people write them.
    text = re.sub(
        r'"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)"', r"\1", json.dumps({"lifeboat": {"hosts": hosts, "vars": common}})
    )
    inventory.write_text(text)
    playbook.write_text(json.dumps([{"import_playbook": name, "vars": given} for name, given in plays]))
    done = ran(str(playbook), "-i", str(inventory), *arguments)
    return re.sub(r'[\s"\\]+', " ", done.stdout)


def saved(folder: Path, job: str, database: str) -> None:
    """Make a repository with a proved backup of a database, which no program can restore."""
    folder.mkdir()
    store = DirectoryStore(str(folder))
    identity.initialise(store)
    binding.bind(store, job, "pg_database", {"database": database})
    backup = Run(store, job)
    backup.store_file("globals.sql", "globals", [b"-- no roles\n"], "none")
    sizes = {"plain_bytes": backup.plain_bytes, "stored_bytes": backup.stored_bytes}
    manifest = backup.publish(Contents("pg_database", {}, {"database": database, "server_version": "15.18"}, sizes))
    backup.close()
    prove(store, manifest, "content", DrillPlace())


def refusal(said: str, host: str) -> str:
    """Return what the task said at which a host has failed."""
    found = re.search(rf"fatal: \[{host}\]: FAILED!(.*?)(?= fatal: | TASK | PLAY |$)", said)
    assert found, said
    return found[1]


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("twice", "these names stand twice: etc"),
        ("odd", "none of the kinds pg_database, bucket, files, minio, set: shop"),
        ("kindless", "none of the kinds pg_database, bucket, files, minio, set: shop"),
        ("text", "lifeboat_jobs must be a list, and each of its entries needs a name"),
        ("empty", "Nothing was done for empty: lifeboat_jobs must be a list"),
        ("anonymous", "lifeboat_jobs must be a list, and each of its entries needs a name"),
        ("places", "lifeboat_repositories must be a list"),
        ("astray", "lifeboat_repositories has local, and not the repositories, a list of such names, of etc"),
        ("single", "lifeboat_repositories has local, and not the repositories, a list of such names, of etc"),
        ("placeless", "lifeboat_repositories has nothing, and not the repositories"),
        ("idle", "nothing of it is protected: lifeboat_jobs is an empty list"),
        ("jobless", "nothing of it is protected: lifeboat_jobs is an empty list"),
        ("written", "lifeboat_jobs must be a list"),
        ("texts", "lifeboat_jobs must be a list"),
        ("listless", "lifeboat_jobs must be a list"),
        ("wordy", "lifeboat_max_age_hours must be a number of hours such as 26, not '26h'"),
        ("elsewhere", "There is no repository locl. lifeboat_repositories has local."),
        ("nowhere", "There is no repository locl. lifeboat_repositories has local."),
        ("unknown", "none of the kinds pg_database, bucket, files, minio, set: shop"),
        ("codeless", "There is no code to be tried. Set lifeboat_recovery_code"),
        ("keyless", "Set lifeboat_job, and either lifeboat_key or lifeboat_prefix"),
        ("unasked", "Set lifeboat_job, and either lifeboat_key or lifeboat_prefix"),
        ("both", "Set lifeboat_job, and either lifeboat_key or lifeboat_prefix"),
        ("nameless", "with lifeboat_to_bucket lifeboat_collection, too"),
    ],
)
def test_a_mistake_is_told_before_anything_is_done(said: str, host: str, words: str) -> None:
    assert words in refusal(said, host)


@pytest.mark.parametrize("playbook", ["dr.file_storage_loss", "dr.complete_loss"])
def test_jobs_that_are_no_list_are_told_before_a_server_or_host_is_rebuilt(playbook: str, tmp_path: Path) -> None:
    hosts = {"app": {"lifeboat_jobs": json.dumps([FOLDER]) + "\n"}}
    said = run(tmp_path, hosts, (f"lifeboat.recovery.{playbook}", {"lifeboat_hosts": "app"}))
    assert "Nothing was done for app: lifeboat_jobs must be a list" in refusal(said, "app")


@pytest.mark.parametrize("playbook", ["dr.database_corruption", "dr.complete_loss"])
def test_a_number_of_hosts_that_is_none_is_told_before_anything_is_done(playbook: str, tmp_path: Path) -> None:
    extra = ("-e", "lifeboat_serial=abc")
    said = run(tmp_path, {"app": {}}, (f"lifeboat.recovery.{playbook}", {"lifeboat_hosts": "app"}), arguments=extra)
    assert "lifeboat_serial must be a number of hosts such as 1" in refusal(said, "app")


def test_what_is_right_goes_on(said: str) -> None:
    assert re.search(r"right : ok=\d+ changed=0 unreachable=0 failed=0", said), said


def test_a_site_with_nothing_but_environment_files_gets_them(tmp_path: Path) -> None:
    path = tmp_path / "storage.env"
    owner = {"owner": getpass.getuser(), "group": grp.getgrgid(os.getegid()).gr_name}
    host = {"object_store_environments": [{"path": str(path), "storage": "local", **owner}]}
    play = ("lifeboat.recovery.site", {"lifeboat_minio_hosts": "app", "lifeboat_hosts": "none"})
    said = run(tmp_path, {"app": host}, play, arguments=("--tags", "buckets"))
    assert path.is_file() and "USE_S3_STORAGE=false" in path.read_text(), said


def test_a_damage_is_of_the_past_and_its_time_needs_no_quotes(tmp_path: Path) -> None:
    asked = {"lifeboat_job": "etc", "lifeboat_key": "hosts", "lifeboat_confirm": "etc"}
    times = {"past": "2026-11-20T08:30:00Z", "future": "2999-01-01T00:00:00Z", "words": "yesterday"}
    times["zoned"] = "2026-11-20T10:30:00+02:00"
    hosts = {name: {**asked, "lifeboat_failed_at": time} for name, time in times.items()}
    said = run(tmp_path, hosts, ("lifeboat.recovery.dr.single_object", {}))
    words = "(lifeboat_failed_at) with its time zone, like 2026-11-20T08:30:00Z, not in the future"
    for host in ("future", "words"):
        assert words in refusal(said, host)
    # It goes on, and looks for backups in a repository that is not there.
    for host in ("past", "zoned"):
        assert f"fatal: [{host}]" not in said and f"failed: [{host}] (item=etc)" in said


def test_no_server_is_rebuilt_where_nobody_was_shown_a_plan(tmp_path: Path) -> None:
    given = {"lifeboat_minio_hosts": "server", "lifeboat_hosts": "none"}
    said = run(tmp_path, {"server": {}}, ("lifeboat.recovery.dr.file_storage_loss", given))
    assert "No host has shown a plan" in refusal(said, "server")


def test_repositories_that_nobody_knows_are_told_before_a_server_is_rebuilt(tmp_path: Path) -> None:
    hosts = {"app": {"lifeboat_lost_repositories": "local,stie"}}
    given = {"lifeboat_minio_hosts": "app", "lifeboat_hosts": "app"}
    said = run(tmp_path, hosts, ("lifeboat.recovery.dr.file_storage_loss", given))
    assert "There is no stie." in refusal(said, "app") and "Rebuild the server" not in said


def test_a_database_that_was_never_backed_up_is_missed(tmp_path: Path) -> None:
    saved(tmp_path / "none", "all.shop", "shop")
    jobs = [{"name": "all", "kind": "pg_database", "databases": ["shop", "wiki"], "job": "all"}]
    right = {"lifeboat_jobs": [{"name": "shop", "kind": "pg_database", "database": "shop", "job": "all.shop"}]}
    hosts = {"seen": {"lifeboat_jobs": jobs}, "read": {"lifeboat_jobs": jobs}, "right": right}
    plays = [("lifeboat.recovery.status", {"lifeboat_hosts": "seen:right"})]
    plays += [("lifeboat.recovery.verify", {"lifeboat_hosts": "read", "lifeboat_level": "checksum"})]
    said = run(tmp_path, hosts, *plays)
    assert "all.wiki: never backed up" in said and "all.shop: 20" in said
    assert "failed: [seen] (item=all.wiki)" in said and "failed: [seen] (item=all.shop)" not in said
    assert "No repository has a backup of wiki of job all." in said
    assert "Never backed up: wiki of job all." in refusal(said, "read")
    assert "changed: [read] => (item=all.shop)" in said


def test_what_is_not_known_of_one_job_keeps_no_other_from_its_turn(tmp_path: Path) -> None:
    saved(tmp_path / "none", "shop", "shop")
    (tmp_path / "second").mkdir()
    identity.initialise(DirectoryStore(str(tmp_path / "second")))
    places = {"local": "none", "second": "second", "gone": "gone"}
    repositories = [{"name": name, "path": str(tmp_path / folder)} for name, folder in places.items()]
    bare = {"name": "bare", "kind": "pg_database", "databases": "all", "repositories": ["local"]}
    away = {"name": "away", "kind": "pg_database", "databases": "all", "repositories": ["gone"]}
    shop = {"name": "shop", "kind": "pg_database", "database": "shop", "job": "shop", "repositories": ["local"]}
    copied = {**shop, "repositories": ["local", "second"]}
    jobs = {"verify": [bare, away, shop], "prune": [bare, away, shop], "status": [away, shop], "copy": [away, copied]}
    hosts = {name: {"lifeboat_jobs": given, "lifeboat_repositories": repositories} for name, given in jobs.items()}
    # Without a host that goes on, the first playbook would be the last.
    hosts["right"] = {"lifeboat_jobs": [shop], "lifeboat_repositories": repositories}
    asked = {"lifeboat_level": "checksum", "lifeboat_backup": "latest"}
    plays = [(f"lifeboat.recovery.{name}", {"lifeboat_hosts": f"{name}:right", **asked}) for name in jobs]
    said = run(tmp_path, hosts, *plays)
    why = "gone cannot be read: there is no such directory"
    for name in ("verify", "prune"):
        words = refusal(said, name)
        assert "No repository has a backup of a database of job bare. Run the job first." in words
        assert "The databases of job away are not known" in words and why in words
    assert "changed: [verify] => (item=shop)" in said and "ok: [prune] => (item=shop)" in said
    assert "shop: 20" in said and why in said.partition("failed: [status] (item=away)")[2]
    assert "failed: [status] (item=shop)" not in said
    assert "shop: 1 backups" in said and why in said.partition("failed: [copy] (item=away)")[2]
    assert re.search(r"right : ok=\d+ changed=\d unreachable=0 failed=0", said), said


def test_a_job_that_fails_keeps_no_job_of_another_kind_from_being_backed_up(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "hosts").write_text("127.0.0.1 localhost\n")
    (tmp_path / "none").mkdir()
    identity.initialise(DirectoryStore(str(tmp_path / "none")))
    unreachable = {"kind": "pg_database", "database": "shop", "login_unix_socket": str(tmp_path)}
    bucket = {"kind": "bucket", "buckets": ["media"], "endpoint_url": "http://127.0.0.1:1"}
    login = {"access_key": "nobody", "secret_key": "nothing"}
    folder = {**FOLDER, "roots": [str(tmp_path / "etc")]}
    jobs = [{"name": "shop", **unreachable}, {"name": "media", **bucket, **login}, folder]
    said = run(tmp_path, {"host1": {"lifeboat_jobs": jobs}}, ("lifeboat.recovery.backup", {}))
    assert "failed: [host1] (item=shop)" in said and "failed: [host1] (item=media)" in said
    assert "changed: [host1] => (item=etc)" in said
    assert re.search(r"host1 : ok=\d+ changed=\d+ unreachable=0 failed=2", said), said


def test_what_is_empty_in_a_job_is_as_if_it_were_not_there(
    server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "hosts").write_text("127.0.0.1 localhost\n")
    (tmp_path / "none").mkdir()
    identity.initialise(DirectoryStore(str(tmp_path / "none")))
    where = {"login_unix_socket": str(server.socket_dir), "login_user": server.user}
    jobs = [
        {**EMPTY_DATABASE, "name": "shop", "kind": "pg_database", "database": "shop", **where},
        {**EMPTY_FOLDER, **FOLDER, "roots": [str(tmp_path / "etc")]},
    ]
    names = ("backup", "status", "verify", "copy", "prune", "restore")
    plays = [(f"lifeboat.recovery.{name}", {"lifeboat_job": "shop" if name == "restore" else ""}) for name in names]
    monkeypatch.setenv("PGPORT", str(server.port))
    with database(server, "shop", SMALL):
        host = {"lifeboat_jobs": jobs, "lifeboat_confirm": "shop"}
        said = run(tmp_path, {"host1": host}, *((name, {**given, "lifeboat_hosts": "host1"}) for name, given in plays))
        server.sql("DROP DATABASE shop WITH (FORCE)")
    assert "failed=0" in said and "host1-shop: 20" in said and "host1-etc: 20" in said, said


def test_what_is_for_objects_is_refused_for_databases_unless_it_is_the_default(tmp_path: Path) -> None:
    asked = {"lifeboat_jobs": [{"name": "shop", "kind": "pg_database", "database": "shop"}], "lifeboat_job": "shop"}
    defaults = {"lifeboat_exact": "false", "lifeboat_what": "data", "lifeboat_check": "listing", "lifeboat_key": ""}
    others = {
        "lifeboat_exact": "true",
        "lifeboat_what": "metadata",
        "lifeboat_check": "content",
        "lifeboat_prefix": "data",
    }
    hosts = {
        "right": {**asked, **defaults},
        **{name: {**asked, **defaults, name: value} for name, value in others.items()},
    }
    said = run(tmp_path, hosts, ("lifeboat.recovery.restore", {}), arguments=("--tags", "always"))
    assert re.search(r"right : ok=\d+ changed=0 unreachable=0 failed=0", said), said
    for name in others:
        assert "are for buckets and folders, and shop is of kind pg_database" in refusal(said, name)


def test_what_is_for_other_kinds_of_jobs_is_refused(tmp_path: Path) -> None:
    asked = {"lifeboat_job": "etc", "lifeboat_confirm": "/nowhere"}
    names = ("what", "database", "only", "except")
    defaults = {f"lifeboat_{name}": "" for name in names}
    others = {"what": "metadata", "database": "shop", "only": "app1-shop", "except": ["app1-shop"]}
    hosts = {name: {**asked, **defaults, f"lifeboat_{name}": value} for name, value in others.items()}
    hosts["right"] = {**asked, **defaults, "lifeboat_what": "data"}
    said = run(tmp_path, hosts, ("lifeboat.recovery.restore", {}), arguments=("--tags", "always"))
    assert re.search(r"right : ok=\d+ changed=0 unreachable=0 failed=0", said), said
    for name in names:
        assert f"lifeboat_{name} is not for jobs of kind files, as etc is" in refusal(said, name)

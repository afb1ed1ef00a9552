# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import UsageError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import config, secret_file
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.copies_objective import CopiesObjective
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.inventory_config import (
    database_roles,
    host_files,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.run_as import user_name

LOCAL = {"name": "local", "path": "/srv/backup"}
SITE = {
    "name": "site",
    "bucket": "backups",
    "prefix": "databases",
    "endpoint_url": "https://minio.example.com",
    "access_key": "writer",
    "secret_key": "site-secret",
}
SHOP = {"name": "shop", "kind": "pg_database", "database": "shop", "repositories": ["local", "site"]}
PHOTOS = {
    "name": "photos",
    "kind": "bucket",
    "buckets": ["photos"],
    "repositories": ["site"],
    "endpoint_url": "https://minio.example.com",
    "access_key": "reader",
    "secret_key": "photos-secret",
}
ETC = {"name": "etc", "kind": "files", "roots": ["/etc"], "repositories": ["site"]}
MIRROR = {
    "name": "photos",
    "source": {"bucket": "photos", "endpoint_url": "https://a.example.com", "access_key": "a", "secret_key": "from"},
    "targets": [
        {"bucket": "photos", "endpoint_url": "https://b.example.com", "access_key": "b", "secret_key": "to"},
        {"name": "disk", "path": "/srv/photos"},
    ],
    "bandwidth": "20MB",
    "schedule": "daily",
    "verify": "weekly",
}


def made(jobs=(SHOP,), repositories=(LOCAL, SITE), **more):
    return host_files("db1", jobs, repositories, **more)


def parsed(found):
    return config.parse(json.dumps(found.document).encode(), "test")


def test_what_an_inventory_says_is_what_the_host_command_reads():
    job = {**SHOP, "login_port": "5433", "on_shrink": "warn", "objectives": {"rpo_hours": 26}, "bin_dir": ""}
    found = parsed(made([job]))
    settings = found.jobs["db1-shop"]
    assert settings.repositories == ("local", "site")
    assert (settings.database, settings.server.port, settings.on_shrink) == ("shop", 5433, "warn")
    assert (settings.rpo_hours, settings.run_as) == (26.0, "lifeboat")
    assert found.repositories["site"].location == "https://minio.example.com/backups/databases"


def test_a_job_goes_to_all_repositories_unless_it_names_some():
    job = {key: value for key, value in SHOP.items() if key != "repositories"}
    assert made([job]).document["jobs"]["db1-shop"]["repositories"] == ["local", "site"]


def test_a_job_can_have_a_name_of_its_own():
    assert list(made([{**SHOP, "job": "main-shop"}]).document["jobs"]) == ["main-shop"]


def test_the_configuration_holds_no_secret_and_names_a_file_for_each():
    found = made([SHOP, PHOTOS, {**SHOP, "name": "wiki", "login_password": "wiki-secret"}], mirrors=[MIRROR])
    text = json.dumps(found.document)
    assert not [word for word in ("site-secret", "photos-secret", "wiki-secret", '"from"', '"to"') if word in text]
    assert {secret.path: secret.value for secret in found.secrets} == {
        "/etc/lifeboat/secrets/lifeboat/job-db1-photos.secret_key": "photos-secret",
        "/etc/lifeboat/secrets/lifeboat/job-db1-wiki.login_password": "wiki-secret",
        "/etc/lifeboat/secrets/lifeboat/mirror-photos-source.secret_key": "from",
        "/etc/lifeboat/secrets/lifeboat/mirror-photos-to-1.secret_key": "to",
        "/etc/lifeboat/secrets/lifeboat/repository-site.secret_key": "site-secret",
    }
    assert found.document["repositories"]["site"]["secret_key_file"].endswith("/{user}/repository-site.secret_key")
    assert "secret" not in repr(found.secrets[0]).replace("secrets", "").replace("secret_key", "")


def test_who_locks_has_a_key_of_its_own_and_facts_of_repositories_reach_the_host():
    lock = {"mode": "COMPLIANCE", "most": "400d", "access_key": "locker", "secret_key": "lock-secret"}
    site = {**SITE, "lock": lock, "media": "s3", "offsite": "yes"}
    job = {**SHOP, "objectives": {"rpo_hours": 26, "copies": {"total": 2, "offsite": 1}}, "lock": "daily"}
    found = host_files("db1", [job], [LOCAL, site])
    written = found.document["repositories"]["site"]
    assert "lock-secret" not in json.dumps(found.document) and written["offsite"] is True
    assert written["lock"]["secret_key_file"] == "/etc/lifeboat/secrets/{user}/repository-site-lock.secret_key"
    assert "lock-secret" in [secret.value for secret in found.secrets]
    settings = config.parse(json.dumps(found.document).encode(), "config.json")
    assert settings.repositories["site"].lock.login.access_key == "locker"
    assert settings.jobs["db1-shop"].copies == CopiesObjective(2, 0, 1)


def test_each_user_of_a_repository_has_a_file_of_its_secret():
    found = made([{**SHOP, "repositories": ["site"]}, {**ETC, "run_as": "root"}, {**PHOTOS, "run_as": "www-data"}])
    owners = {secret.owner: secret.path for secret in found.secrets if "repository-site" in secret.path}
    assert sorted(owners) == ["lifeboat", "root", "www-data"]
    assert all(f"/{owner}/" in path for owner, path in owners.items())
    assert found.users == ("lifeboat", "root", "www-data")
    assert found.repository_users == {"site": ("lifeboat", "root", "www-data")}


def test_the_secret_of_a_repository_without_jobs_is_for_root_who_checks_it():
    found = made([{**SHOP, "repositories": ["local"]}])
    assert [secret.owner for secret in found.secrets] == ["root"]


def test_each_user_reads_the_file_of_its_own(tmp_path):
    folder = tmp_path / user_name()
    folder.mkdir()
    (folder / "key").write_text("mine\n")
    (folder / "key").chmod(0o600)
    assert secret_file.read_secret(f"{tmp_path}/{{user}}/key") == "mine"


def test_a_directory_of_two_users_is_refused():
    with pytest.raises(UsageError, match="lifeboat and root") as refused:
        made([SHOP, {**ETC, "repositories": ["local"], "run_as": "root"}])
    assert "a directory belongs to one user" in refused.value.cause


def test_a_mirror_is_translated():
    found = parsed(made(mirrors=[{**MIRROR, "keep_overwritten": "no", "threads": "4"}])).mirrors["photos"]
    assert [target.name for target in found.targets] == ["photos", "disk"]
    assert (found.bytes_per_s, found.keeps_overwritten, found.threads, found.run_as) == (
        20_000_000,
        False,
        4,
        "lifeboat",
    )


def test_a_mirror_has_its_objective_and_the_schedule_that_was_handed_over():
    timing = {"cron": "17 2 * * *", "timezone": "UTC", "kind": "mirror"}
    mirror = {**MIRROR, "objectives": {"rpo_hours": 26}}
    found = made(mirrors=[mirror], mirror_timings={"photos": timing})
    assert found.document["mirrors"]["photos"]["schedule"] == {"cron": "17 2 * * *", "timezone": "UTC"}
    assert found.document["mirrors"]["photos"]["objectives"] == {"rpo_hours": 26}


def test_schedules_are_in_the_configuration_only_if_they_are_handed_over(monkeypatch):
    monkeypatch.setattr(config, "parse", lambda data, source: None)  # whether readers know the key is their matter
    job = {**SHOP, "schedule": "daily", "verify": "weekly", "copy": {"schedule": "daily"}, "prune": "daily"}
    assert not {"schedule", "verify", "copy", "prune"} & set(made([job]).document["jobs"]["db1-shop"])
    timing = {"cron": "17 2 * * *", "timezone": "UTC", "kind": "run"}
    document = made([job], timings={"db1-shop": timing}).document
    assert document["jobs"]["db1-shop"]["schedule"] == {"cron": "17 2 * * *", "timezone": "UTC"}


def test_secrets_of_channels_become_files_of_every_user_and_of_root(monkeypatch):
    monkeypatch.setattr(config, "parse", lambda data, source: None)  # whether readers know the key is their matter
    channels = {
        "mail": {"type": "smtp", "to": ["a@example.com"], "password": "mail-secret"},
        "ping": {"type": "ping", "url": "https://ping.example.com/secret"},
    }
    found = made(
        [{**SHOP, "repositories": ["local"]}], settings={"notifications": {"channels": channels}, "metrics": {}}
    )
    made_channels = found.document["notifications"]["channels"]
    assert made_channels["mail"]["password_file"] == "/etc/lifeboat/secrets/{user}/channel-mail.password"
    assert made_channels["ping"] == {"type": "ping", "url_file": "/etc/lifeboat/secrets/{user}/channel-ping.url"}
    owners = [(secret.owner, secret.value) for secret in found.secrets if "channel-mail" in secret.path]
    assert owners == [("lifeboat", "mail-secret"), ("root", "mail-secret")]
    assert "metrics" not in found.document


@pytest.mark.parametrize(
    ("jobs", "words"),
    [
        ([{**SHOP, "databse": "x"}], "did you mean database"),
        ([{**SHOP, "repositories": ["nas"]}], "there are: local, site"),
        ([{**SHOP, "kind": "pg"}], "pg_database"),
        ([SHOP, SHOP], "db1-shop is there twice"),
        ([{"kind": "files"}], "has no name"),
        ([{**SHOP, "name": "a b"}], "'db1-a b'"),
        ([{**SHOP, "login_port": "many"}], "login_port"),
    ],
)
def test_a_mistake_is_refused_in_the_words_of_the_host_command(jobs, words):
    with pytest.raises(UsageError) as refused:
        made(jobs)
    assert words in str(refused.value)


def test_a_secret_is_in_no_message():
    with pytest.raises(UsageError) as refused:
        made([{**PHOTOS, "secret_keys": "top-secret"}])
    assert "secret_keys" in str(refused.value)
    assert "top-secret" not in str(refused.value)


def test_servers_in_containers_are_told_apart_and_passed_on():
    first = {**SHOP, "container": "shop-db", "container_engine": "docker", "login_password": "x", "login_port": "5433"}
    made_job = next(iter(made([first]).document["jobs"].values()))
    assert (made_job["container"], made_job["container_engine"]) == ("shop-db", "docker")
    roles = database_roles([first, {**first, "name": "b", "container": "wiki-db"}], "lifeboat")
    server = {"login_port": 5433, "container": "shop-db", "container_engine": "docker"}
    assert [role["server"] for role in roles] == [server, {**server, "container": "wiki-db"}]


def test_one_role_serves_all_databases_of_a_server():
    jobs = [SHOP, {**SHOP, "name": "wiki", "database": "wiki"}, {**SHOP, "name": "again"}, ETC]
    far = {**SHOP, "login_host": "db2", "login_user": "backup", "login_password": "x", "login_port": 5433}
    assert database_roles([*jobs, far], "lifeboat") == [
        {"name": "lifeboat", "password": "", "databases": ["shop", "wiki"], "all_databases": False, "server": {}},
        {
            "name": "backup",
            "password": "x",
            "databases": ["shop"],
            "all_databases": False,
            "server": {"login_host": "db2", "login_port": 5433},
        },
    ]


def test_what_repositories_keep_is_in_the_configuration_and_mistakes_are_refused():
    document = made([{**SHOP, "keep": {"daily": "7", "within": "36h"}, "timezone": "Europe/Berlin"}]).document
    assert document["jobs"]["db1-shop"]["keep"] == {"daily": "7", "within": "36h"}
    with pytest.raises(UsageError, match="dayly"):
        made([{**SHOP, "keep": {"dayly": 7}}])


def test_the_secret_of_a_keyring_becomes_a_file_of_each_user_of_the_repository():
    keyring = {"keyring": {"secret": "keyring-secret"}}
    found = made(jobs=(SHOP, {**ETC, "run_as": "root"}), repositories=(LOCAL, {**SITE, **keyring}))
    path = "/etc/lifeboat/secrets/{user}/keyring-site.secret"
    assert found.document["repositories"]["site"]["keyring"] == {"secret_file": path}
    secrets = {secret.path: secret.value for secret in found.secrets if "keyring" in secret.path}
    assert secrets == {path.replace("{user}", user): "keyring-secret" for user in ("lifeboat", "root")}
    assert "keyring-secret" not in json.dumps(found.document)
    assert parsed(found).repositories["site"].keyring.secret_file == path


def test_a_file_with_the_secret_of_a_keyring_is_passed_on():
    found = made(repositories=({**LOCAL, "keyring": {"secret_file": "/root/secret"}}, SITE))
    assert found.document["repositories"]["local"]["keyring"] == {"secret_file": "/root/secret"}


def test_the_role_of_all_databases_is_told_so_and_that_of_a_service_is_left_to_its_file():
    all_of_them = {"name": "all", "kind": "pg_database", "databases": "all", "parallel": "4"}
    some = {**all_of_them, "name": "some", "databases": ["shop", "wiki"]}
    by_service = {**SHOP, "name": "far", "login_service": "lab"}
    (role,) = database_roles([all_of_them, some, SHOP, by_service], "lifeboat")
    assert (role["databases"], role["all_databases"]) == (["shop", "wiki"], True)


def test_a_job_for_all_databases_is_translated():
    job = {"name": "all", "kind": "pg_database", "databases": "all", "exclude": ["test_*"], "parallel": "4"}
    found = host_files("db1", [job], [{"name": "local", "path": "/srv"}]).document["jobs"]["db1-all"]
    assert (found["databases"], found["exclude"], found["parallel"]) == ("all", ["test_*"], 4)

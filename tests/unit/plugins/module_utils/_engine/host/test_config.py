# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy
import json
import os

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import UsageError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import config
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.container import Container
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.bucket import BucketStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.rclone import RcloneStore

REMOVE = object()
GIVEN = {
    "repositories": {
        "local": {"path": "/srv/backup"},
        "site": {
            "bucket": "backups",
            "prefix": "db1",
            "endpoint_url": "https://minio.example.com:9000",
            "access_key": "writer",
            "secret_key_file": "/etc/lifeboat/site.key",
        },
    },
    "jobs": {
        "db1-shop": {
            "kind": "pg_database",
            "database": "shop",
            "repositories": ["local", "site"],
            "objectives": {"rpo_hours": 26, "rto_hours": 4},
        }
    },
}


def changed(path, value):
    """Return GIVEN with one value set, or removed."""
    document = copy.deepcopy(GIVEN)
    *parents, last = path.split("/")
    place = document
    for name in parents:
        place = place[name]
    if value is REMOVE:
        del place[last]
    else:
        place[last] = value
    return document


def parsed(document):
    return config.parse(json.dumps(document).encode(), "config.json")


def refused(document):
    with pytest.raises(UsageError) as error:
        parsed(document)
    return error.value


def test_defaults_are_those_of_a_careful_operator():
    job = parsed(GIVEN).job("db1-shop")
    assert (job.proof, job.compression, job.on_shrink, job.allow_partial) == ("content", "zstd", "fail", False)
    assert (job.server.host, job.server.port, job.server.user) == ("/var/run/postgresql", 5432, "")
    assert (job.lock_timeout_s, job.run_as, job.rpo_hours) == (300, "", 26.0)


def test_every_key_of_a_job_reaches_it():
    job = {
        **GIVEN["jobs"]["db1-shop"],
        "login_host": "db.example.com",
        "login_port": 5433,
        "login_user": "backup",
        "login_password_file": "/etc/lifeboat/db.password",
        "ssl_mode": "verify-full",
        "ca_cert": "/etc/ssl/db.pem",
        "bin_dir": "/opt/pg/bin",
        "proof": "restore",
        "compression": "gzip",
        "on_shrink": "warn",
        "allow_partial": True,
        "lock_timeout_s": 5,
        "scratch_dir": "/scratch",
        "run_as": "postgres",
    }
    found = parsed(changed("jobs/db1-shop", job)).job("db1-shop")
    server = found.server
    assert (server.host, server.port, server.user) == ("db.example.com", 5433, "backup")
    assert (server.ssl_mode, server.ca_file, server.bin_dir) == ("verify-full", "/etc/ssl/db.pem", "/opt/pg/bin")
    assert (found.proof, found.compression, found.on_shrink, found.allow_partial) == ("restore", "gzip", "warn", True)
    assert (found.lock_timeout_s, found.run_as) == (5, "postgres")
    assert (found.drill.bin_dir, found.drill.folder) == ("/opt/pg/bin", "/scratch")
    assert found.password_file == "/etc/lifeboat/db.password"


def test_a_job_of_a_container_has_its_programs_there_and_is_looked_for_when_it_runs():
    job = {**GIVEN["jobs"]["db1-shop"], "container": "shop-db", "container_engine": "podman", "bin_dir": "/opt/pg/bin"}
    found = parsed(changed("jobs/db1-shop", job)).job("db1-shop")
    assert found.server.container == Container("shop-db", "podman", "/opt/pg/bin")
    assert (found.server.host, found.server.bin_dir, found.server.is_local) == ("", "", False)
    assert (found.drill.bin_dir, found.drill.container) == ("", found.server.container)


@pytest.mark.parametrize(
    ("changes", "key", "allowed"),
    [
        ({"container": "a b"}, "jobs.db1-shop.container cannot be the name of a container", "letters"),
        ({"container": "--rm"}, "jobs.db1-shop.container cannot be the name of a container", "letters"),
        ({"container": "a", "container_engine": "lxc"}, "jobs.db1-shop.container_engine is 'lxc'", "docker, podman"),
        ({"container_engine": "docker"}, "jobs.db1-shop.container_engine stands alone", "name the container"),
    ],
)
def test_a_mistake_about_a_container_is_named_by_its_key(changes, key, allowed):
    error = refused(changed("jobs/db1-shop", {**GIVEN["jobs"]["db1-shop"], **changes}))
    assert key in error.cause and allowed in error.remedy


BUCKETS = {
    "kind": "bucket",
    "source": {
        "endpoint_url": "https://minio.example.com:9000",
        "access_key": "reader",
        "secret_key_file": "/etc/lifeboat/minio.key",
    },
    "buckets": ["shop", "media-*"],
    "repositories": ["local", "site"],
}
FILES = {"kind": "files", "roots": ["/etc", "/srv/www"], "repositories": ["local"]}


def test_every_key_of_a_job_of_buckets_reaches_it(tmp_path):
    secret = tmp_path / "minio.key"
    secret.write_text("hush\n")
    secret.chmod(0o600)
    more = {
        "source": {**BUCKETS["source"], "secret_key_file": str(secret)},
        "exclude_buckets": ["media-tmp"],
        "prefix": "live/",
        "reread": "2/9",
        "on_mass_delete": "warn",
        "on_mass_rewrite": "ignore",
        "allow_empty": True,
        "concurrency": 3,
        "proof": "none",
        "compression": "none",
        "objectives": {"rpo_hours": 2},
    }
    found = parsed(changed("jobs/minio", {**BUCKETS, **more})).job("minio")
    job = found.job(())
    assert (job.name, job.kind, job.mode, found.rpo_hours) == ("minio", "bucket", "incremental", 2.0)
    assert (found.buckets.buckets, found.buckets.exclude_buckets) == (("shop", "media-*"), ("media-tmp",))
    assert found.buckets.prefix == "live/"
    assert (job.reread.parts, job.reread.of, job.allow_empty, job.concurrency) == (2, 9, True, 3)
    assert job.policy == {"mass_delete": "warn", "mass_rewrite": "ignore", "entropy_jump": "fail"}
    assert (job.proof, job.compression) == ("none", "none")
    assert job.open_source.args[0].endpoint.secret_key == "hush"  # noqa: S105


def test_every_key_of_a_job_of_folders_reaches_it():
    more = {"exclude": ["cache/"], "include": ["*.conf"], "one_file_system": True, "devices": True}
    found = parsed(changed("jobs/web", {**FILES, **more})).job("web")
    selection = found.files
    assert (selection.roots, selection.exclude) == (("/etc", "/srv/www"), ("cache/",))
    assert (selection.include, selection.one_file_system, selection.devices) == (("*.conf",), True, True)
    assert found.job(()).kind == "files"


def test_a_folder_of_sockets_may_stand_instead_of_a_host():
    assert parsed(changed("jobs/db1-shop/login_unix_socket", "/tmp/s")).job("db1-shop").server.host == "/tmp/s"


def test_a_job_of_a_server_has_the_login_of_its_admin_api(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("the secret\n")
    secret.chmod(0o600)
    source = {"endpoint_url": "https://minio.example.com:9000", "access_key": "a", "secret_key_file": str(secret)}
    given = {"kind": "minio", "source": source, "repositories": ["local"]}
    job = parsed(changed("jobs/minio", given)).jobs["minio"].job(())
    assert (job.name, job.proof) == ("minio", "content")
    assert (job.endpoint.url, job.endpoint.secret_key) == ("https://minio.example.com:9000", "the secret")
    assert "buckets is not known" in str(refused(changed("jobs/minio", {**given, "buckets": ["a"]})))


def test_every_key_of_a_bucket_reaches_its_endpoint():
    site = {
        **GIVEN["repositories"]["site"],
        "id": "2f7c0b6e-0000-4000-8000-000000000000",
        "endpoint_url": "http://minio.example.com:9000",
        "allow_plaintext": True,
        "region": "eu-west-1",
        "ca_cert": "/etc/ssl/minio.pem",
        "validate_certs": False,
        "addressing_style": "virtual",
        "session_token_file": "/etc/lifeboat/site.token",
    }
    found = parsed(changed("repositories/site", site)).repositories["site"]
    endpoint = found.login.endpoint
    assert (endpoint.url, endpoint.region, endpoint.ca_file) == (
        "http://minio.example.com:9000",
        "eu-west-1",
        "/etc/ssl/minio.pem",
    )
    assert (endpoint.verify_tls, endpoint.allow_plaintext, endpoint.addressing_style) == (False, True, "virtual")
    assert (found.bucket, found.prefix, found.id) == ("backups", "db1", "2f7c0b6e-0000-4000-8000-000000000000")


@pytest.mark.parametrize(
    ("path", "value", "key", "allowed"),
    [
        ("repository", {}, "repository is not known", "did you mean repositories?"),
        ("repositories/local/bukket", "x", "repositories.local.bukket is not known", "known here: id, keyring, media"),
        ("repositories/local/rclone", "drive:x", "repositories.local.path has both path and rclone", "or rclone"),
        (
            "repositories/local",
            {"rclone": ":s3,secret_access_key=x:b"},
            "repositories.local.rclone cannot be used",
            "rclone config",
        ),
        ("repositories/local/offsite", "no", "repositories.local.offsite is a text", "true or false"),
        ("repositories/site/lock", {"mode": "NONE"}, "repositories.site.lock is wrong", "COMPLIANCE"),
        ("repositories/site/lock", {"most": "long"}, "repositories.site.lock is wrong", "36h, 14d or 8w"),
        ("repositories/site/lock", {"access_key": "a"}, "repositories.site.lock has half a login", "or neither"),
        ("repositories/site/lock", {"days": 3}, "repositories.site.lock.days is not known", "known here"),
        ("repositories/local/lock", {}, "repositories.local.lock is not known", "known here"),
        ("repositories/site/archive", {"tier": "Fast"}, "repositories.site.archive is wrong", "Bulk"),
        ("repositories/site/archive", {"days": 0}, "repositories.site.archive.days is 0", "1 to 365"),
        ("repositories/site/archive", {"wait": "soon"}, "repositories.site.archive is wrong", "36h, 14d or 8w"),
        ("jobs/db1-shop/objectives/copies", {"all": 3}, "jobs.db1-shop.objectives.copies is wrong", "total, media"),
        ("repositories/local/bucket", "x", "repositories.local.path has both", "either path, or bucket"),
        ("repositories/local/path", REMOVE, "repositories.local.path is missing", "either path, or bucket"),
        ("repositories/local/path", "backup", "repositories.local.path is 'backup'", "absolute path"),
        ("repositories/local/path", 3, "repositories.local.path is 3", "a text"),
        ("repositories/local", "x", "repositories.local is not an object", "key"),
        ("repositories/site/endpoint_url", "http://far.example.com", "site.endpoint_url cannot be used", "https"),
        ("repositories/site/addressing_style", "x", "site.addressing_style is 'x'", "auto, path, virtual"),
        ("repositories/site/validate_certs", "no", "site.validate_certs is a text", "true or false"),
        ("repositories/site/secret_key_file", REMOVE, "site.secret_key_file is missing", "both"),
        ("repositories/site/access_key", REMOVE, "site.access_key is missing", "both"),
        ("repositories/site/secret_key", "canary", "site.secret_key is not known", "did you mean secret_key_file?"),
        ("repositories/twin", {"path": "/srv//backup/"}, "repositories has local and twin", "once"),
        ("jobs/db1-shop/kind", "pg_cluster", "jobs.db1-shop.kind is 'pg_cluster'", "pg_database"),
        ("jobs/db1-shop/kind", REMOVE, "jobs.db1-shop.kind is missing", "a text"),
        ("jobs/db1-shop/database", REMOVE, "jobs.db1-shop.database is missing", "a text"),
        ("jobs/db1-shop/database", "", "jobs.db1-shop.database is empty", "value"),
        ("jobs/db1-shop/database", "a\0b", "jobs.db1-shop.database holds a null", "remove"),
        ("jobs/db1-shop/repositories", [], "jobs.db1-shop.repositories is not a list", "write it as"),
        ("jobs/db1-shop/repositories", "local", "jobs.db1-shop.repositories is a text", "a list"),
        ("jobs/db1-shop/repositories", ["local", "local"], "db1-shop.repositories has a name twice", "once"),
        ("jobs/db1-shop/repositories", ["locale"], "names locale", "there are: local, site"),
        ("jobs/db1-shop/login_port", "5432", "jobs.db1-shop.login_port is a text", "a whole number"),
        ("jobs/db1-shop/login_port", True, "jobs.db1-shop.login_port is true", "a whole number"),
        ("jobs/db1-shop/login_port", 70000, "jobs.db1-shop.login_port is 70000", "1 to 65535"),
        ("jobs/db1-shop/login_password", "canary", "login_password is not known", "did you mean login_password_file?"),
        ("jobs/db1-shop/ssl_mode", "on", "jobs.db1-shop.ssl_mode is 'on'", "verify-full"),
        ("jobs/db1-shop/proof", "full", "jobs.db1-shop.proof is 'full'", "none, content, restore"),
        ("jobs/db1-shop/compression", "lz4", "jobs.db1-shop.compression is 'lz4'", "zstd, gzip, none"),
        ("jobs/db1-shop/on_shrink", "panic", "jobs.db1-shop.on_shrink is 'panic'", "fail, warn, ignore"),
        ("jobs/db1-shop/allow_partial", 1, "jobs.db1-shop.allow_partial is 1", "true or false"),
        ("jobs/db1-shop/lock_timeout_s", -1, "jobs.db1-shop.lock_timeout_s is -1", "0 to 86400"),
        ("jobs/db1-shop/objectives", [], "jobs.db1-shop.objectives is a list", "an object"),
        ("jobs/db1-shop/objectives/rpo_hours", 0, "objectives.rpo_hours is 0", "above 0"),
        ("jobs/db1-shop/objectives/rto_hours", -1, "objectives.rto_hours is -1", "above 0"),
        ("jobs/db1-shop/objectives/rpo_hours", True, "objectives.rpo_hours is true", "above 0"),
        ("jobs/db1-shop/objectives/rpo_hour", 3, "objectives.rpo_hour is not known", "did you mean rpo_hours?"),
        ("jobs/db1-shop/schedule", "daily", "jobs.db1-shop.schedule is a text", "an object"),
    ],
)
def test_a_mistake_is_named_by_its_key_with_what_is_allowed(path, value, key, allowed):
    error = refused(changed(path, value))
    assert error.exit_code == 2
    assert error.problem == "Cannot use config.json"
    assert key in error.cause
    assert allowed in error.remedy
    assert "canary" not in str(error)


@pytest.mark.parametrize(
    ("job", "changes", "key", "allowed"),
    [
        (BUCKETS, {"buckets": REMOVE}, "jobs.x.buckets is missing", "a list"),
        (BUCKETS, {"buckets": []}, "jobs.x.buckets is not a list of names", "write it as"),
        (BUCKETS, {"exclude_buckets": "a"}, "jobs.x.exclude_buckets is a text", "a list"),
        (BUCKETS, {"source": {"secret_key": "canary"}}, "jobs.x.source.secret_key is not known", "secret_key_file"),
        (BUCKETS, {"source": {"access_key": "a"}}, "jobs.x.source.secret_key_file is missing", "both"),
        (BUCKETS, {"reread": "7"}, "jobs.x.reread is '7'", "1/7"),
        (BUCKETS, {"on_mass_delete": "stop"}, "jobs.x.on_mass_delete is 'stop'", "fail, warn, ignore"),
        (BUCKETS, {"proof": "restore"}, "jobs.x.proof is 'restore'", "none, content"),
        (BUCKETS, {"concurrency": 0}, "jobs.x.concurrency is 0", "1 to 256"),
        (BUCKETS, {"roots": ["/etc"]}, "jobs.x.roots is not known", "known here"),
        (FILES, {"roots": ["etc"]}, "jobs.x.roots has 'etc'", "absolute paths"),
        (FILES, {"roots": REMOVE}, "jobs.x.roots is missing", "a list"),
        (FILES, {"database": "shop"}, "jobs.x.database is not known", "known here"),
        (FILES, {"exclude": [3]}, "jobs.x.exclude is not a list of names", "write it as"),
    ],
)
def test_a_mistake_in_a_job_of_objects_is_named_by_its_key(job, changes, key, allowed):
    given = {name: value for name, value in {**job, **changes}.items() if value is not REMOVE}
    error = refused(changed("jobs/x", given))
    assert key in error.cause and allowed in error.remedy and "canary" not in str(error)


def test_host_and_folder_of_sockets_exclude_each_other():
    document = changed("jobs/db1-shop/login_unix_socket", "/tmp/s")
    document["jobs"]["db1-shop"]["login_host"] = "db"
    assert "login_host stands beside login_unix_socket" in refused(document).cause


@pytest.mark.parametrize("name", ["../etc", "a b", "", "x" * 129])
@pytest.mark.parametrize("kind", ["jobs", "repositories"])
def test_names_that_cannot_be_part_of_a_path_are_refused(kind, name):
    document = copy.deepcopy(GIVEN)
    document[kind][name] = next(iter(document[kind].values()))
    assert f"{name!r} cannot be the name of a" in refused(document).cause


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"{", "not valid JSON"),
        (b"\xff", "not valid JSON"),
        (b'{"jobs": {}, "jobs": {}}', "key jobs is there twice"),
        (b'{"jobs": NaN}', "NaN is not JSON"),
        (b'{"jobs": {"x\\ud800": {}}}', "surrogates not allowed"),
        (b"[]", "it is not an object"),
        (b"[" * 100000, "not valid JSON"),
    ],
)
def test_what_is_not_a_json_object_is_refused(data, words):
    with pytest.raises(UsageError, match=words):
        config.parse(data, "config.json")


def test_an_unknown_job_is_refused_with_those_that_there_are():
    with pytest.raises(UsageError, match="its jobs are: db1-shop"):
        parsed(GIVEN).job("db1-shops")


def test_a_misspelt_rule_is_not_taken_for_a_repository():
    error = refused(changed("jobs/db1-shop/keep", {"dayly": 7}))
    assert "dayly, which is no rule" in error.cause and "did you mean daily?" in error.remedy


def test_a_pipe_that_nobody_writes_to_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "config.json", 0o600)
    with pytest.raises(UsageError, match="not valid JSON"):
        config.load(str(tmp_path / "config.json"))


def write(path, text, mode):
    path.write_text(text)
    path.chmod(mode)
    return str(path)


@pytest.mark.parametrize("mode", [0o660, 0o646])
def test_a_configuration_that_others_may_write_to_is_refused(tmp_path, mode):
    path = write(tmp_path / "config.json", json.dumps(GIVEN), mode)
    with pytest.raises(UsageError, match="others than root and you may write to it"):
        config.load(path)


def test_a_configuration_that_a_group_may_read_is_accepted(tmp_path):
    assert config.load(write(tmp_path / "config.json", json.dumps(GIVEN), 0o640)).jobs


def test_a_missing_configuration_is_wrong_usage(tmp_path):
    with pytest.raises(UsageError, match="there is no such file"):
        config.load(str(tmp_path / "config.json"))


def with_secret(tmp_path, mode=0o600, text="s3cret-canary\n"):
    return changed("repositories/site/secret_key_file", write(tmp_path / "key", text, mode))


def test_secrets_are_read_when_a_repository_is_opened_and_not_before(tmp_path):
    document = with_secret(tmp_path)
    os.unlink(tmp_path / "key")
    found = parsed(document)
    with pytest.raises(UsageError, match="No such file"):
        found.repositories["site"].opened()


def test_repositories_are_opened_by_their_kind(tmp_path):
    found = parsed(with_secret(tmp_path))
    local, site = found.places(found.job("db1-shop"))
    assert (local.name, type(local.store)) == ("local", DirectoryStore)
    assert (site.name, type(site.store)) == ("site", BucketStore)
    assert site.store.name == "s3://backups/db1 at https://minio.example.com:9000"
    assert "s3cret-canary" not in repr(found)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_secret_that_others_may_use_is_refused_with_the_way_to_mend_it(tmp_path, mode):
    found = parsed(with_secret(tmp_path, mode))
    with pytest.raises(UsageError) as error:
        found.places(found.job("db1-shop"))
    assert error.value.remedy == f"chmod 0600 {tmp_path / 'key'}"


@pytest.mark.parametrize("text", ["", "\n", "canary one\ncanary two\n", "canary\0", "canary" * 20000])
def test_what_cannot_be_a_secret_is_refused_without_being_shown(tmp_path, text):
    found = parsed(with_secret(tmp_path, text=text))
    with pytest.raises(UsageError) as error:
        found.places(found.job("db1-shop"))
    assert "canary" not in str(error.value)


def test_reading_goes_on_without_the_repositories_whose_secrets_are_lost(tmp_path):
    found = parsed(with_secret(tmp_path, 0o644))
    places, refused_ones = found.usable_places(found.job("db1-shop"))
    assert [place.name for place in places] == ["local"]
    assert "chmod" not in refused_ones["site"]
    assert "others than its owner" in refused_ones["site"]


def test_a_password_comes_from_its_file_when_it_is_needed(tmp_path):
    path = write(tmp_path / "password", "pässword\n", 0o600)
    job = parsed(changed("jobs/db1-shop/login_password_file", path)).job("db1-shop")
    assert job.server.password == ""
    assert job.login().password == "pässword"


def test_each_repository_of_a_job_keeps_by_its_own_rules_or_all_by_the_same():
    assert parsed(GIVEN).job("db1-shop").keep == {}
    own = parsed(changed("jobs/db1-shop/keep", {"site": {"daily": "7", "monthly": 12}})).job("db1-shop").keep
    assert {name: keep.words for name, keep in own.items()} == {"site": "daily 7, monthly 12, verified_min 2"}
    common = parsed(changed("jobs/db1-shop/keep", {"last": 3})).job("db1-shop").keep
    assert {name: keep.last for name, keep in common.items()} == {"local": 3, "site": 3}


def test_the_time_zone_of_a_job_is_its_own_or_that_of_its_schedule():
    schedule = {"cron": "17 2 * * *", "timezone": "Europe/Berlin"}
    document = changed("jobs/db1-shop/schedule", schedule)
    assert parsed(GIVEN).job("db1-shop").timezone == "UTC"
    assert parsed(document).job("db1-shop").timezone == "Europe/Berlin"
    document["jobs"]["db1-shop"]["timezone"] = "Asia/Tokyo"
    assert parsed(document).job("db1-shop").timezone == "Asia/Tokyo"
    assert "Nowhere" in str(refused(changed("jobs/db1-shop/timezone", "Nowhere")))


def of_server(**values):
    document = changed("jobs/db1-shop", REMOVE)
    document["jobs"]["db1"] = {"kind": "pg_database", "repositories": ["local"], "databases": "all", **values}
    return document


def test_a_job_for_all_databases_has_a_part_for_each():
    job = parsed(of_server(exclude=["test_*"], parallel=4, on_gone="warn")).job("db1")
    assert job.has_members and job.database == ""
    assert (job.selection.names, job.selection.exclude, job.parallel, job.on_gone) == (None, ("test_*",), 4, "warn")
    part = parsed(of_server()).job("db1.my.2edb")
    assert (part.name, part.database, part.has_members, part.server_job) == ("db1.my.2edb", "my.db", False, "db1")
    assert parsed(of_server(databases=["a", "b"])).job("db1").selection.names == ("a", "b")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"databases": "some"}, "neither all nor a list"),
        ({"databases": []}, "empty list"),
        ({"database": "shop"}, "stands beside database"),
        ({"databases": ["a"], "exclude": ["b"]}, "exclude stands beside"),
        ({"parallel": 0}, "parallel is 0"),
        ({"on_gone": "shrug"}, "on_gone is 'shrug'"),
    ],
)
def test_what_makes_no_sense_for_several_databases_is_refused(values, words):
    assert words in str(refused(of_server(**values)))


def test_options_for_several_databases_are_refused_for_one():
    assert "stands without databases" in str(refused(changed("jobs/db1-shop/parallel", 2)))


def test_a_job_among_the_names_of_a_servers_databases_is_refused():
    document = of_server()
    document["jobs"]["db1.shop"] = GIVEN["jobs"]["db1-shop"]
    assert "has a name that databases of db1 have" in str(refused(document))


def test_a_name_that_leaves_no_room_for_databases_is_refused():
    document = of_server()
    document["jobs"]["d" * 61] = document["jobs"].pop("db1")
    assert "61 characters" in str(refused(document))


def test_a_repository_says_with_which_file_its_keyring_is_opened(tmp_path):
    path = tmp_path / "secret"
    document = changed("repositories/local/keyring", {"secret_file": str(path)})
    settings = parsed(document).repositories["local"]
    path.write_text("ab" * 32 + "\n")
    path.chmod(0o600)
    assert settings.opened().access.secret.key == bytes.fromhex("ab" * 32)
    assert parsed(GIVEN).repositories["local"].opened().access is None
    for mode in (0o640, 0o604):
        path.chmod(mode)
        with pytest.raises(UsageError, match="others"):
            settings.opened()
    path.chmod(0o600)
    path.write_text("a passphrase")
    with pytest.raises(UsageError) as error:
        settings.opened()
    assert "a passphrase" not in str(error.value).replace("for a passphrase see", "")
    path.unlink()
    with pytest.raises(UsageError, match="No such file"):
        settings.opened()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({}, "keyring.recovery_code_file is missing, and so is secret_file"),
        ({"secret_file": "/a", "recovery_code_file": "/b"}, "keyring.recovery_code_file stands beside secret_file"),
        ({"secret_file": "/a", "recovery_key_file": "/b"}, "keyring.recovery_key_file stands alone"),
        ({"secret_file": "a"}, "keyring.secret_file"),
        ({"secret": "canary"}, "keyring"),
        ("/etc/secret", "keyring is a text"),
    ],
)
def test_a_mistake_in_a_keyring_is_named(value, words):
    error = refused(changed("repositories/local/keyring", value))
    assert words in error.cause and "canary" not in str(error)


def test_a_server_is_reached_by_a_service_and_its_role():
    document = changed("jobs/db1-shop/login_service", "lab")
    document["jobs"]["db1-shop"].update(login_service_file="/srv/services", login_pass_file="/p", session_role="owner")
    server = parsed(document).job("db1-shop").server
    assert (server.service, server.service_file, server.pass_file) == ("lab", "/srv/services", "/p")
    assert (server.session_role, server.host, server.container) == ("owner", "", None)
    assert parsed(changed("jobs/db1-shop/session_role", "owner")).job("db1-shop").server.session_role == "owner"


@pytest.mark.parametrize(
    "key", ["login_host", "login_port", "login_unix_socket", "login_user", "ssl_mode", "container"]
)
def test_what_the_service_says_is_not_said_twice(key):
    document = changed("jobs/db1-shop/login_service", "lab")
    document["jobs"]["db1-shop"][key] = {"login_port": 5432, "container": "shop-db", "ssl_mode": "require"}.get(
        key, "/x"
    )
    assert f"{key} stands beside login_service" in str(refused(document))


def test_a_service_file_wants_a_service():
    assert "login_service is missing" in str(refused(changed("jobs/db1-shop/login_service_file", "/srv/services")))


def test_a_remote_of_rclone_is_a_repository_for_copies():
    given = {"rclone": "drive:lifeboat", "rclone_config": "/etc/lifeboat/rclone.conf", "offsite": True}
    found = parsed(changed("repositories/site", given))
    place = found.repositories["site"].opened()
    assert isinstance(place.store, RcloneStore) and place.store.copies_only and place.store.encrypted_only
    assert (place.site.media, place.site.is_offsite, place.store.name) == ("remote", True, "rclone drive:lifeboat")
    assert found.repositories["site"].location == "rclone drive:lifeboat"

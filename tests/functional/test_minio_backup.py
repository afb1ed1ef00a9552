# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Identities and bucket settings of one MinIO server, backed up and brought to another one."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import re
import secrets
import typing as t
from pathlib import Path

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import (
    DamagedError,
    GuardRefusal,
    IncompleteError,
    UsageError,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import cli, minio_backup, minio_restore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.minio_backup import MinioJob
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.minio_restore import (
    RestorePlan,
    RestoreRequest,
    RestoreResult,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.place import Place
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio import server_export, server_import
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.admin import AdminClient, AdminError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.identity_api import (
    AccessKey,
    IdentityApi,
    Proof,
    User,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.server_import import Selection
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects import bucket_documents
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import identity
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.keys import Keys
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.client import S3Client
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.steps import watch
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.stream.encryption import EpochKey
from ansible_collections.lifeboat.recovery.tests.functional.job_fixtures import directory_place, own_locks
from ansible_collections.lifeboat.recovery.tests.functional.s3_fixtures import VERSIONED, endpoint_of, quick_server
from servers import MinioServer

__all__ = ["own_locks"]

JOB = "minio1-server"
_SECRETS = ("alice-secret-1", "alice-key-secret", "root-key-secret", "carol-secret-1")
_POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": ["arn:aws:s3:::papers/*"]}],
}
_LIFECYCLE = (
    b"<LifecycleConfiguration><Rule><ID>old</ID><Status>Enabled</Status><Filter><Prefix></Prefix></Filter>"
    b"<NoncurrentVersionExpiration><NoncurrentDays>90</NoncurrentDays></NoncurrentVersionExpiration></Rule>"
    b"</LifecycleConfiguration>"
)


class Pair(t.NamedTuple):
    """The server that is backed up, and an empty one."""

    old: MinioServer
    new: MinioServer

    def restore(self, place: Place, what: Selection | None = None, **changes: t.Any) -> RestoreResult:
        return minio_restore.restore(self.plan(place, what, **changes))

    def plan(self, place: Place, what: Selection | None = None, **changes: t.Any) -> RestorePlan:
        request = RestoreRequest(JOB, "latest_good", (place,), endpoint_of(self.new), what or Selection())
        return minio_restore.plan(dataclasses.replace(request, **changes))


@pytest.fixture(scope="module")
def old() -> t.Iterator[MinioServer]:
    with quick_server("lbs-") as server:
        _furnish(server)
        yield server


@pytest.fixture
def pair(old: MinioServer) -> t.Iterator[Pair]:
    with quick_server("lbs-") as new:
        yield Pair(old, new)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return a repository whose user has a keyring."""
    found = directory_place(tmp_path / "repository", "local")
    found.store.keys = Keys("k", (EpochKey("k", "1", secrets.token_bytes(32)),))
    return found


def _furnish(server: MinioServer) -> None:
    api, client, admin = (each(endpoint_of(server)) for each in (IdentityApi, S3Client, AdminClient))
    client.create_bucket("locked", object_lock=True)
    client.create_bucket("papers")
    client.document("PUT", "papers", "versioning", VERSIONED)
    client.document("PUT", "papers", "lifecycle", _LIFECYCLE)
    admin.set_quota("papers", 1 << 30)
    api.write_user("alice", _SECRETS[0], True)
    api.write_user("bob", "bob-secret-123", False)
    api.write_policy("read-papers", _POLICY)
    api.attach(["read-papers"], user="alice")
    api.change_members("staff", ["alice"], False)
    api.attach(["readonly"], group="staff")
    api.create_key("alicekey1", _SECRETS[1], AccessKey(user="alice", label="lab", policy=_POLICY))
    api.create_key("rootkey1", _SECRETS[2], AccessKey(user=server.access_key))


def _job(server: MinioServer, *places: Place, **changes: t.Any) -> MinioJob:
    return dataclasses.replace(MinioJob(JOB, endpoint_of(server), places), **changes)


def _facts(server: MinioServer) -> dict[str, t.Any]:
    """Return what the admin API and S3 say of identities and buckets, one by one."""
    api, client, admin = (each(endpoint_of(server)) for each in (IdentityApi, S3Client, AdminClient))
    return {
        "users": {name: api.user(name) for name in ("alice", "bob")},
        "group": api.group("staff"),
        "policy": api.policy("read-papers"),
        "keys": {name: api.access_key(name) for name in ("alicekey1", "rootkey1")},
        "proofs": [api.proof(name, secret) for name, secret in (("alice", _SECRETS[0]), ("alicekey1", _SECRETS[1]))],
        "buckets": {name: bucket_documents.read(client, name) for name in client.list_buckets()},
        "quota": admin.quota("papers"),
    }


def test_everything_comes_back_on_another_server(pair: Pair, place: Place) -> None:
    result = minio_backup.back_up(_job(pair.old, place))
    assert result.is_complete and result.copies[0].is_proved
    assert {name: result.statistics[name] for name in ("users", "groups", "access_keys", "buckets")} == {
        "users": 2,
        "groups": 1,
        "access_keys": 2,
        "buckets": 2,
    }
    restored = pair.restore(place)
    assert restored.problems == ()
    facts = _facts(pair.new)
    assert facts == _facts(pair.old)
    assert facts["proofs"] == [Proof.WORKS, Proof.WORKS]
    assert "object-lock" in facts["buckets"]["locked"]
    assert not pair.plan(place).changed


def test_a_repository_without_keys_is_refused_before_the_server_is_asked(pair: Pair, place: Place) -> None:
    plain = directory_place(Path(place.store.name).parent / "plain", "plain")
    away = dataclasses.replace(endpoint_of(pair.old), url="http://127.0.0.1:1")
    for places in ((plain,), (place, plain)):
        for work in (minio_backup.plan, minio_backup.back_up):
            with pytest.raises(GuardRefusal, match="in clear in plain") as refusal:
                work(MinioJob(JOB, away, places))
            assert refusal.value.guard == "plaintext"
    assert list(plain.store.entries("data/")) == []


def test_a_repository_holds_no_secret_in_clear(pair: Pair, place: Place) -> None:
    minio_backup.back_up(_job(pair.old, place, compression="none"))
    exports = [entry for entry in place.store.entries("data/") if ".zip" in entry.key]
    assert len(exports) == 2
    for entry in exports:
        data = b"".join(place.store.read(entry.key))
        assert not data.startswith(b"PK") and not any(secret.encode() in data for secret in _SECRETS)
        for parse in (server_export.parse_identities, server_export.parse_buckets):
            with pytest.raises(DamagedError):
                parse(data)


def test_a_part_can_be_restored(pair: Pair, place: Place) -> None:
    minio_backup.back_up(_job(pair.old, place))
    api, client = IdentityApi(endpoint_of(pair.new)), S3Client(endpoint_of(pair.new))
    pair.restore(place, Selection("buckets", buckets=("papers",)))
    assert client.list_buckets() == ["papers"]
    assert api.user("alice") is None
    pair.restore(place, Selection("identities", users=("alice",)))
    assert api.user("alice") == User(True, ("read-papers",), ())
    assert (api.user("bob"), api.group("staff")) == (None, None)
    assert api.proof("alicekey1", _SECRETS[1]) is Proof.WORKS
    for wrong in (Selection(buckets=("nope",)), Selection(users=("nope",)), Selection("buckets", users=("alice",))):
        with pytest.raises(UsageError):
            pair.plan(place, wrong)


def test_what_differs_is_changed_only_when_the_server_is_confirmed_and_the_rest_stays(pair: Pair, place: Place) -> None:
    minio_backup.back_up(_job(pair.old, place))
    pair.restore(place)
    api = IdentityApi(endpoint_of(pair.new))
    api.write_user("alice", "another-secret", True)
    api.write_user("dave", "dave-secret-1", True)
    planned = pair.plan(place)
    assert [(each.kind, each.name, each.action) for each in planned.found.changes] == [("users", "alice", "change")]
    with pytest.raises(GuardRefusal, match="users alice"):
        minio_restore.restore(planned)
    pair.restore(place, confirm=(endpoint_of(pair.new).url,))
    assert api.proof("alice", _SECRETS[0]) is Proof.WORKS
    assert api.user("dave") == User(True, (), ())


def test_no_secret_is_shown_anywhere(pair: Pair, place: Place) -> None:
    said: list[str] = []
    job = _job(pair.old, place)
    shown = [repr(minio_backup.plan(job)), repr(minio_backup.back_up(job, said.append))]
    planned = pair.plan(place)
    shown += [repr(planned), repr(planned.found), repr(minio_restore.restore(planned, said.append))]
    shown += [data.decode() for key, data in _documents(place) if key.startswith(("manifests/", "verified/", "jobs/"))]
    for secret in _SECRETS:
        assert not any(secret in text for text in (*shown, *said))


def test_a_server_that_does_not_take_all_is_told_without_its_secrets(pair: Pair, place: Place) -> None:
    minio_backup.back_up(_job(pair.old, place))
    planned = pair.plan(place)
    haunted = {**planned.wanted.identities, "groups": {"staff": {"version": 1, "status": "enabled", "members": ["no"]}}}
    wanted = dataclasses.replace(planned.wanted, identities=haunted)
    found = server_import.plan(wanted, server_export.fetch(AdminClient(endpoint_of(pair.new))))
    with pytest.raises(IncompleteError, match="groups staff failed") as error:
        minio_restore.restore(dataclasses.replace(planned, wanted=wanted, found=found))
    assert any("still to do: add groups staff" in each for each in error.value.result.problems)
    assert not any(secret in str(error.value) for secret in _SECRETS)
    assert IdentityApi(endpoint_of(pair.new)).user("alice") == User(True, ("read-papers",), ())


def test_a_key_without_rights_backs_nothing_up(pair: Pair, place: Place) -> None:
    weak = dataclasses.replace(endpoint_of(pair.old), access_key="alice", secret_key=_SECRETS[0])
    with pytest.raises(AdminError, match="AccessDenied"):
        minio_backup.back_up(MinioJob(JOB, weak, (place,)))
    assert list(place.store.entries("manifests/")) == []


def test_another_server_is_no_source_of_the_same_job(pair: Pair, place: Place) -> None:
    minio_backup.back_up(_job(pair.old, place))
    with pytest.raises(GuardRefusal, match="bound to"):
        minio_backup.back_up(_job(pair.new, place))
    assert minio_backup.back_up(_job(pair.new, place, rebind=True)).is_complete


def test_a_damaged_copy_is_passed_over(pair: Pair, place: Place, tmp_path: Path) -> None:
    other = directory_place(tmp_path / "other", "other")
    other.store.keys = place.store.keys
    minio_backup.back_up(_job(pair.old, place, other))
    for path in Path(place.store.name).glob("data/*/*/identities.zip*"):
        path.chmod(0o600)
        path.write_bytes(path.read_bytes()[:-7])
    request = RestoreRequest(JOB, "latest_good", (place, other), endpoint_of(pair.new))
    planned = minio_restore.plan(request)
    assert planned.candidate.place.name == "other"
    assert "local cannot be used" in planned.notes[0]
    with pytest.raises(DamagedError):
        minio_restore.plan(dataclasses.replace(request, places=(place,)))


@pytest.mark.parametrize("step", ["minio.stored_identities", "minio.stored_bucket_settings"])
def test_a_run_that_is_killed_leaves_no_backup_and_the_next_one_succeeds(pair: Pair, place: Place, step: str) -> None:
    _killed_at(step, lambda: minio_backup.back_up(_job(pair.old, place)))
    assert list(place.store.entries("manifests/")) == []
    assert minio_backup.back_up(_job(pair.old, place)).is_complete
    assert len(list(place.store.entries(f"intents/{JOB}/"))) == 0


def test_a_restore_that_is_killed_goes_on_where_it_was(pair: Pair, place: Place) -> None:
    minio_backup.back_up(_job(pair.old, place))
    _killed_at("minio.imported", lambda: pair.restore(place))
    assert pair.restore(place).problems == ()
    assert _facts(pair.new) == _facts(pair.old)


class Command:
    """The command of a host whose set has the server and a folder, in this process."""

    def __init__(self, folder: Path, pair: Pair) -> None:
        self.folder = folder / "etc"
        self.folder.mkdir()
        (self.folder / "app.conf").write_text("answer = 42")
        (folder / "repository").mkdir()
        identity.initialise(DirectoryStore(str(folder / "repository")))
        self._path = folder / "config.json"
        self._secrets = folder / "secret"
        self.configure(pair.old)

    def configure(self, server: MinioServer) -> None:
        """Let the job speak of this server."""
        self._secrets.write_text(server.secret_key)
        self._secrets.chmod(0o600)
        source = {"endpoint_url": server.endpoint, "access_key": server.access_key}
        jobs = {
            JOB: {"kind": "minio", "source": {**source, "secret_key_file": str(self._secrets)}, "repositories": ["r"]},
            "etc": {"kind": "files", "roots": [str(self.folder)], "repositories": ["r"]},
            "whole": {"kind": "set", "members": ["etc", JOB]},
        }
        place = {"path": str(self._path.parent / "repository")}
        self._path.write_text(json.dumps({"repositories": {"r": place}, "jobs": jobs}))
        self._path.chmod(0o600)

    def __call__(self, *words: str, code: int = 0) -> dict[str, t.Any]:
        shown = io.StringIO()
        with contextlib.redirect_stdout(shown):
            found = cli.main(["--config", str(self._path), "--json", *words])
        assert found == code, shown.getvalue()
        assert not any(secret in shown.getvalue() for secret in _SECRETS)
        return t.cast("dict[str, t.Any]", json.loads(shown.getvalue()))


def test_the_command_and_sets_know_servers(pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ask = Command(tmp_path, pair)
    assert ask("run", JOB, code=3)["error"]["guard"] == "plaintext"
    assert ask("check", JOB, code=3)["good"] is False
    monkeypatch.setattr(DirectoryStore, "keys", Keys("k", (EpochKey("k", "1", b"k" * 32),)))
    assert ask("check")["good"]
    point = ask("run", "whole")
    assert [each["complete"] for each in point["members"]] == [True, True]
    assert ask("verify", "whole", "--level", "restore")["id"] == point["id"]
    assert ask("show", JOB)["source"]["deployment"]
    assert ask("status")["healthy"]
    (ask.folder / "app.conf").write_text("ruined")
    ask.configure(pair.new)
    planned = ask("restore", "whole", "--dry-run", "--confirm", str(ask.folder))
    assert [each["job"] for each in planned["members"]] == [JOB, "etc"]
    ask("restore", "whole", "--confirm", str(ask.folder))
    assert _facts(pair.new) == _facts(pair.old)
    assert (ask.folder / "app.conf").read_text() == "answer = 42"
    assert ask("restore", JOB, "--part", "buckets", "--only", "papers", "--dry-run")["changes"] == []
    assert "of kind minio" in ask("restore", JOB, "--prefix", "a", code=2)["error"]["cause"]
    assert "it would need a server" in ask("verify", JOB, "--level", "restore", code=1)["copies"][0]["problems"][0]


def _killed_at(step: str, work: t.Callable[[], object]) -> None:
    pid = os.fork()
    if pid == 0:
        watch(lambda reached: os.kill(os.getpid(), 9) if reached == step else None)
        work()
        os._exit(0)
    _pid, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status)


def _documents(place: Place) -> t.Iterator[tuple[str, bytes]]:
    for entry in place.store.entries(""):
        if re.search(r"\.json$", entry.key):
            yield entry.key, b"".join(place.store.read(entry.key))

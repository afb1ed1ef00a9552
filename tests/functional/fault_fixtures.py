# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import contextlib
import dataclasses
import hashlib
import itertools
import json
import os
import pathlib
import shutil
import subprocess
import sys
import typing as t

import psycopg2
import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import errors
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import (
    catalog,
    identity,
    keyring,
    organisation_secret,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.bucket import open_bucket
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.keyring import Access
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.store import Entry, Store
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.client import S3Client
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.endpoint import Endpoint
from ansible_collections.lifeboat.recovery.tests.functional.crash_driver import Order
from ansible_collections.lifeboat.recovery.tests.functional.lock_folder import lock_folder
from ansible_collections.lifeboat.recovery.tests.functional.quick_folder import quick_folder
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository import keyrings

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "environment"))

from servers import MinioServer, PostgresServer

BUCKET = "backups"
PART_BYTES = 5 * 1024 * 1024  # the smallest part that S3 takes ("Amazon S3 multipart upload limits")
# What the sources of these tests hold, and what it is called: rows, an object, their names. Random bytes and rows of
# dumps that are not compressed lie in a repository as they are, unless it is encrypted.
MARKERS = (
    b"Patient 1",
    b"All work and no play",
    b"CREATE TABLE",
    b"folder-0/",
    hashlib.shake_128(b"0").digest(32),
)
_ROOT = pathlib.Path(errors.__file__).parents[6]
_numbers = itertools.count(1)


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a run ended; all but `status` is empty when it was killed."""

    status: int  # exit code of the process, negative for a signal
    exit_code: int = -1  # what the host command would end with
    error: str = ""
    kind: str = ""  # class of the error
    guard: str = ""
    result: t.Sequence[t.Mapping[str, t.Any]] = ()  # what the use case returned, one or several
    steps: t.Sequence[str] = ()
    said: t.Sequence[str] = ()
    peak_kib: int = 0

    @property
    def is_good(self) -> bool:
        return self.status == 0 and self.exit_code == 0

    @property
    def one(self) -> t.Mapping[str, t.Any]:
        (only,) = self.result
        return only


_idle: list[subprocess.Popen[str]] = []  # programs of drivers that were closed; they end with this process


def _program() -> subprocess.Popen[str]:
    program = pathlib.Path(__file__).with_name("crash_driver.py")
    command = [sys.executable, str(program), str(_ROOT), lock_folder()]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


class Driver:
    """The program that carries out runs, one at a time (`crash_driver.py`).

    It serves one driver after another, for its start takes longer than most runs, and nothing of a run stays in it.
    """

    def __init__(self) -> None:
        self._process = _idle.pop() if _idle else _program()
        self._is_idle = True
        self._is_closed = False

    def begin(self, order: Order) -> None:
        self._is_idle = False
        self._send(json.dumps(dataclasses.asdict(order)))

    def _send(self, line: str) -> None:
        if self._process.stdin is None:
            raise RuntimeError("the driver has no input")
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _event(self) -> dict[str, t.Any]:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise RuntimeError("the driver has ended")
        event: dict[str, t.Any] = json.loads(line)
        return event

    def wait_until_held(self) -> int:
        """Return when the run stands still at its step; how much memory it needed until then, in KiB."""
        event = self._event()
        if event["event"] != "held":
            raise RuntimeError(f"the run ended before it came to the step: {event}")
        return int(event["peak_kib"])

    def wait_until_stopped(self) -> int:
        """Return the id of the run's process when every thread of it stands still (proc(5), state T)."""
        event = self._event()
        if event["event"] != "stopped":
            raise RuntimeError(f"the run ended before it came to the step: {event}")
        pid = int(event["pid"])
        while pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            pass
        return pid

    def go_on(self) -> None:
        self._send("")

    def ended(self) -> Ended:
        """Wait for the end of the run and return how it ended."""
        event = self._event()
        if event.pop("event") != "ended":
            raise RuntimeError("the run is held up at its step")
        self._is_idle = True
        return Ended(**event)

    def run(self, order: Order) -> Ended:
        self.begin(order)
        return self.ended()

    def close(self) -> None:
        is_closed, self._is_closed = self._is_closed, True
        if is_closed:
            return
        if self._is_idle:
            _idle.append(self._process)
        else:
            self._process.kill()
            self._process.communicate()


@dataclasses.dataclass(frozen=True)
class Site:
    """A repository of a test, judged by its bytes."""

    facts: t.Mapping[str, t.Any]  # as orders have it
    store: Store
    _read: dict[Entry, bytes] = dataclasses.field(default_factory=dict)  # so that what is as it was is read once
    _searched: set[Entry] = dataclasses.field(default_factory=set)
    _shown: dict[bytes, str] = dataclasses.field(default_factory=dict)  # what was searched for and found → under a key

    @property
    def name(self) -> str:
        return str(self.facts["name"])

    def opened_like(self, other: Site) -> Site:
        """Return it as somebody opens it who has the secret of another one, whose keyring may come with a copy."""
        if other.store.keys is None:
            return self
        self.store.keys = other.store.keys
        return dataclasses.replace(self, facts={**self.facts, "secret": other.facts["secret"]})

    def _search(self, key: str, data: bytes) -> None:
        """Look for what nobody may see in a repository with a keyring, and for keys, which nobody may see anywhere."""
        epochs = self.store.keys.epochs if self.store.keys is not None else ()
        keys = [organisation_secret.from_text(self.facts["secret"], "a test").key] if "secret" in self.facts else []
        keys += [epoch.secret for epoch in epochs]
        forms = [form for key in keys for form in (key, key.hex().encode(), base64.b64encode(key))]
        self._shown.update({word: key for word in (*MARKERS, *forms) if word in data or word in key.encode()})

    def leaks(self) -> list[str]:
        """Return where something was found that should not be there; in a repository without keyring all may be read.

        Only what `documents` has read was searched.
        """
        are_wrong = self._shown if self.store.keys is not None else self._shown.keys() - {*MARKERS}
        return [f"{self.name}: {self._shown[word]} shows {word[:4]!r}" for word in are_wrong]

    @property
    def is_readable_by_all(self) -> bool:
        """Say whether something of the source was found: if not even here, the search would find nothing anywhere."""
        return bool(self._shown.keys() & {*MARKERS})

    def documents(self, prefix: str) -> dict[str, bytes]:
        """Return all that lies below a prefix, by key."""
        entries = list(self.store.entries(prefix))
        for entry in entries:
            if entry not in self._read:
                self._read[entry] = b"".join(self.store.read(entry.key))
            if entry not in self._searched:
                self._searched.add(entry)
                self._search(entry.key, self._read[entry])
        return {entry.key: self._read[entry] for entry in entries}

    def remember(self, written: t.Mapping[str, bytes]) -> None:
        """Take what was just written as what was read, so that it is read only once somebody else has changed it."""
        self._read.update({entry: written[entry.key] for entry in self.store.entries("")})

    def faults(self, job: str) -> list[str]:
        """Say what is wrong with what the manifests of a job promise, and what can be read there and should not.

        Reads every byte of every backup.
        """
        there = self.documents(f"data/{job}/")  # also what killed runs have left
        found = self.leaks()
        for key, text in self.documents(f"manifests/{job}/").items():
            manifest = json.loads(text)
            for file in manifest["files"]:
                data = there.get(f"data/{job}/{manifest['id']}/{file['name']}")
                if data is None:
                    found.append(f"{self.name}: {key} names {file['name']}, which is not there")
                elif hashlib.sha256(data).hexdigest() != file["stored_sha256"]:
                    found.append(f"{self.name}: {key} names {file['name']}, which has other bytes")
        return found

    def ids(self, job: str) -> list[str]:
        return [backup.id for backup in catalog.backups(self.store, job)]

    def good_ids(self, job: str) -> list[str]:
        return [backup.id for backup in catalog.backups(self.store, job) if backup.is_good]

    def good_without_proof(self, job: str, good_ids: t.Iterable[str] | None = None) -> list[str]:
        """Return the backups that the catalog calls good though no record says that every file was read back.

        `good_ids` is what the catalog has just said, if it was asked.
        """
        found, good = [], self.good_ids(job) if good_ids is None else good_ids
        manifests, verified = (self.documents(f"{folder}/{job}/") for folder in ("manifests", "verified"))
        for backup_id in good:
            manifest = json.loads(manifests[f"manifests/{job}/{backup_id}.json"])
            records = f"verified/{job}/{backup_id}/"
            read = [json.loads(text) for key, text in verified.items() if key.startswith(records)]
            proved = {
                (verdict["name"], verdict["stored_sha256"])
                for record in read
                if record["level"] in ("content", "restore")
                for verdict in record["files"]
                if verdict["is_good"]
            }
            if not proved >= {(file["name"], file["stored_sha256"]) for file in manifest["files"]}:
                found.append(backup_id)
        return found

    def temporary_files(self) -> list[str]:
        root = pathlib.Path(self.facts["directory"]) if "directory" in self.facts else None
        return [str(path.relative_to(root)) for path in root.rglob(".tmp-*")] if root else []


class Lab:
    """Servers, and a driver: what a test of faults works with."""

    def __init__(self, folder: pathlib.Path, postgres: PostgresServer, minio: MinioServer) -> None:
        self.folder = folder
        self.postgres = postgres
        self.minio = minio
        self._stack = contextlib.ExitStack()

    @property
    def server(self) -> dict[str, t.Any]:
        return {
            "host": str(self.postgres.socket_dir),
            "port": self.postgres.port,
            "user": self.postgres.user,
            "bin_dir": str(self.postgres.bin_dir),
            "ssl_mode": "disable",
        }

    def rows(self, statement: str, database: str) -> list[str]:
        """Run SQL as the superuser, on a connection of its own, and return the first column of its rows as text."""
        server = self.postgres
        where = {"host": str(server.socket_dir), "port": server.port, "user": server.user, "dbname": database}
        with contextlib.closing(psycopg2.connect(**where)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return [str(row[0]) for row in cursor.fetchall()] if cursor.description else []

    def endpoint(self, **changes: t.Any) -> dict[str, t.Any]:
        given = {"url": self.minio.endpoint, "access_key": self.minio.access_key, "secret_key": self.minio.secret_key}
        return {**given, "max_attempts": 3, **changes}

    def driver(self) -> Driver:
        driver = Driver()
        self._stack.callback(driver.close)
        return driver

    def directory(self, root: str = "") -> Site:
        """Return a fresh repository in a directory."""
        path = pathlib.Path(root) if root else self.folder / f"repository-{next(_numbers)}"
        path.mkdir(exist_ok=True)
        store = DirectoryStore(str(path))
        identity.initialise(store)
        return Site({"name": "local", "directory": str(path)}, store)

    def bucket(self) -> Site:
        """Return a fresh repository in the bucket."""
        prefix = f"repository-{next(_numbers)}"
        facts = {"name": "site", "bucket": BUCKET, "prefix": prefix, "endpoint": self.endpoint()}
        store = open_bucket(Endpoint(**self.endpoint()), BUCKET, prefix)
        identity.initialise(store)
        return Site(facts, store)

    def encrypted(self, *sites: Site) -> tuple[Site, ...]:
        """Give fresh repositories one keyring, and return them as somebody opens them who has its secret."""
        secret = keyrings.fresh_secret()
        keyrings.create([site.store for site in sites], secret, is_single=True)
        for site in sites:
            site.store.keys = keyring.read(site.store, Access(secret))
        return tuple(dataclasses.replace(site, facts={**site.facts, "secret": secret.to_text()}) for site in sites)

    def job(self) -> str:
        """Return a name that no job has, on this host."""
        return f"test-{os.getpid()}-{next(_numbers)}"

    def unfinished_uploads(self) -> list[str]:
        """Return what lies in the server's folder for parts: MinIO lists uploads by their full key only."""
        folder = self.minio.folder / "drive1" / ".minio.sys" / "multipart"
        return [str(path.relative_to(folder)) for path in folder.glob("*/*") if path.is_dir()]

    def close(self) -> None:
        self._stack.close()


# A few rows; and 5.4 MB that a dump without compression keeps, which is two parts of an upload.
_TINY = """
CREATE TABLE patient (id serial PRIMARY KEY, name text, notes jsonb);
INSERT INTO patient (name, notes) SELECT 'Patient ' || i, jsonb_build_object('n', i) FROM generate_series(1, 500) i;
SELECT lo_from_bytea(4711, 'a letter');
"""
_LONG = "CREATE TABLE letter AS SELECT i AS id, repeat('All work and no play makes', 40) AS text"
_LONG += " FROM generate_series(1, 5200) i"


@contextlib.contextmanager
def running_lab() -> t.Iterator[Lab]:
    """Start a PostgreSQL and a MinIO with a bucket; databases `tiny` and `long` are filled."""
    folder = quick_folder("lbf-")
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        postgres = stack.enter_context(PostgresServer(folder / "p"))
        minio = stack.enter_context(MinioServer(folder / "m"))
        lab = Lab(folder, postgres, minio)
        stack.callback(lab.close)
        client = S3Client(Endpoint(**lab.endpoint()))
        stack.callback(client.close)
        client.create_bucket(BUCKET)
        for name, script in (("tiny", _TINY), ("long", _LONG)):
            postgres.sql(f"CREATE DATABASE {name}")
            postgres.sql(script, name)
        yield lab


@pytest.fixture(scope="session")
def lab() -> t.Iterator[Lab]:
    with running_lab() as running:
        yield running


@pytest.fixture
def driver(lab: Lab) -> t.Iterator[Driver]:
    driver = Driver()
    yield driver
    driver.close()

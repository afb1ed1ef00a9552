# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""List 10,000 proved backups of a job in a MinIO, by the host command in a process of its own.

They are signed, as those of a repository with a keyring are, unless `--unsigned` is given.

Targets: 20 s without what the host remembers of them (its cache), 2 s with it.
"""

from __future__ import annotations

import argparse
import base64
import concurrent.futures
import datetime as dt
import hashlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import typing as t
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(CHECKOUT / "tests" / "environment"))
sys.path.insert(0, str(CHECKOUT / "plugins" / "module_utils"))  # the engine needs nothing but itself
BUCKET, JOB = "bench", "host1-lab"
TARGETS_S = {"without a cache": 20.0, "with a cache": 2.0}
_WRITERS = 16  # threads
_NEWEST = dt.datetime(2026, 11, 20, 12, tzinfo=dt.timezone.utc)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backups", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--unsigned", action="store_true", help="without a keyring")
    options, _others = parser.parse_known_args()
    import servers
    from _engine.repository import identity
    from _engine.repository.bucket import open_bucket
    from _engine.s3.client import S3Client
    from _engine.s3.endpoint import Endpoint

    with tempfile.TemporaryDirectory(prefix="lifeboat-bench-") as name, servers.MinioServer(Path(name) / "m") as server:
        endpoint = Endpoint(server.endpoint, access_key=server.access_key, secret_key=server.secret_key)
        S3Client(endpoint).create_bucket(BUCKET)
        store = open_bucket(endpoint, BUCKET)
        identity.initialise(store)
        secret = "" if options.unsigned else base64.b64encode(os.urandom(32)).decode("ascii")
        keys = _keyring(store, secret) if secret else None
        with concurrent.futures.ThreadPoolExecutor(_WRITERS) as pool:
            list(pool.map(lambda each: store.put(*each), _documents(options.backups, keys)))
        taken = _measured(_configured(Path(name), server, secret), Path(name), options)
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    worst = 0
    for what, seconds in taken.items():
        median = statistics.median(seconds)
        verdict = "reached" if median < TARGETS_S[what] else "MISSED"
        print(f"{options.backups} backups {what}: {median:.2f} s ({min(seconds):.2f} to {max(seconds):.2f}; {verdict})")
        worst |= verdict == "MISSED"
    return worst


def _keyring(store: t.Any, text: str) -> t.Any:
    """Make a keyring that a secret opens, and return its keys."""
    from _engine.repository import keyring, keyring_changes, organisation_secret

    secret = organisation_secret.from_text(text, "the benchmark")
    ring = keyring_changes.begun(keyring_changes.look([store]), store.now(), True, (secret,))
    for each in keyring_changes.writes(ring, {}):
        keyring_changes.write(each)
    return keyring.read(store, keyring.Access(secret))


def _documents(count: int, keys: t.Any) -> t.Iterator[tuple[str, bytes]]:
    """Yield the manifests of hourly backups of a database and a proof of each, under their keys."""
    from _engine import clock
    from _engine.repository import layout
    from _engine.repository.manifest import Manifest, file_list, need_list
    from _engine.repository.proof import FileVerdict, ProofRecord

    for number in range(count):
        began = _NEWEST - dt.timedelta(hours=number)
        backup_id = f"{clock.compact(began)}-{number:06x}"
        data = [_file("database.dump.zst", "dump", b"%d" % number), _file("globals.sql.zst", "globals", b"roles")]
        lists = (_file("files.jsonl", "files", file_list(data)), _file("needs.jsonl", "needs", need_list([])))
        manifest = Manifest(
            id=backup_id,
            job=JOB,
            kind="pg_database",
            base="",
            started=began,
            finished=began + dt.timedelta(seconds=40),
            host="host1.example.org",
            versions={"lifeboat": "1.0.0", "pg_dump": "15.18", "server": "15.18", "zstd": "zstandard"},
            source={"database": "lab", "encoding": "UTF8", "extensions": ["plpgsql"], "server_version": "15.18"},
            files=(*data, *lists),
            statistics={"plain_bytes": 123456789, "stored_bytes": 23456789, "tables": 40},
        )
        yield layout.manifest(JOB, backup_id), manifest.signed(keys).to_bytes()
        verdicts = tuple(FileVerdict(file.name, file.facts.stored_sha256, True) for file in manifest.files)
        record = ProofRecord(JOB, backup_id, "content", manifest.finished, manifest.host, verdicts, {"rows": 4711})
        yield f"{layout.verified(JOB, backup_id)}{clock.compact(record.time)}-0a1b-content.json", record.to_bytes(keys)


def _file(name: str, role: str, data: bytes) -> t.Any:
    from _engine.repository.manifest import StoredFile
    from _engine.stream.pipeline import StreamFacts

    digest = hashlib.sha256(data).hexdigest()
    return StoredFile(name, role, StreamFacts(len(data), digest, len(data), digest, "none"))


def _configured(folder: Path, server: t.Any, of_keyring: str) -> Path:
    """Write the configuration of a host with the job, and return its file."""
    secret = _private(folder / "secret", server.secret_key)
    keyring = {"secret_file": str(_private(folder / "keyring", of_keyring))} if of_keyring else None
    document = {
        "repositories": {
            "site": {
                "bucket": BUCKET,
                "endpoint_url": server.endpoint,
                "access_key": server.access_key,
                "secret_key_file": str(secret),
                **({"keyring": keyring} if keyring else {}),
            }
        },
        "jobs": {JOB: {"kind": "pg_database", "database": "lab", "repositories": ["site"]}},
    }
    return _private(folder / "config.json", json.dumps(document))


def _private(file: Path, text: str) -> Path:
    file.write_text(text)
    file.chmod(0o600)
    return file


def _measured(config: Path, folder: Path, options: argparse.Namespace) -> dict[str, list[float]]:
    """Return the seconds of each listing; every other one finds what the one before it remembered."""
    taken: dict[str, list[float]] = {what: [] for what in TARGETS_S}
    for number in range(options.rounds):
        variables = {**os.environ, "XDG_CACHE_HOME": str(folder / f"cache-{number}")}
        shown = []
        for what in TARGETS_S:
            begun, used = time.perf_counter(), _used_s()
            shown.append(_ids(_listing(config, variables)))
            taken[what].append(time.perf_counter() - begun)
            print(f"{what}: {taken[what][-1]:.2f} s, {_used_s() - used:.2f} s of CPU", flush=True)
        if shown[0] != shown[1] or len(shown[0]) != options.backups:
            raise SystemExit("the listings differ, or do not show every backup")
    return taken


def _ids(listing: str) -> list[str]:
    return [line.split()[0] for line in listing.splitlines()[1:]]


def _used_s() -> float:
    """Return the CPU seconds of the listings so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _listing(config: Path, variables: t.Mapping[str, str]) -> str:
    code = "from _engine.host.cli import main; raise SystemExit(main())"
    command = [sys.executable, "-c", code, "--config", str(config), "list", JOB]
    path = str(CHECKOUT / "plugins" / "module_utils")
    done = subprocess.run(command, env={**variables, "PYTHONPATH": path}, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


if __name__ == "__main__":
    raise SystemExit(main())

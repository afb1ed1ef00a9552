# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Back a database up and restore it, with Lifeboat and by hand, in turns, on the same servers.

Every way runs in a process of its own; its CPU seconds are its own and its children's (pg_dump, zstd …), not those
of the servers. The work by hand is what a careful script does: pg_dump through sha256sum and zstd into a file, each
exit code checked, then a copy to MinIO. Targets: 1.2 times its CPU and wall time without the proof; 4 times faster
than the usual `pg_dump -Z9 | gzip`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import typing as t
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(CHECKOUT / "tests" / "environment"))
BUCKET = "bench"
DATABASE = "lab"

# Half of the bytes are text that compresses like that of applications, half are random: about 290 bytes a row.
_FILL = """
CREATE TABLE measurement (id bigint PRIMARY KEY, taken timestamptz, device text, note text, raw bytea);
INSERT INTO measurement
SELECT g, timestamptz '2026-01-01' + g * interval '1 second', 'device-' || g % 500,
       repeat('sample ' || g % 1000 || ' within limits; ', 4), decode(repeat(md5(g::text), 1) || md5(random()::text)
       || md5(random()::text) || md5(random()::text), 'hex')
  FROM generate_series(1, {rows}) g;
CREATE INDEX ON measurement (device);
ANALYZE;
"""

_BY_HAND = """set -euo pipefail
pg_dump -h "$HOST" -p "$PORT" -U postgres -Fc -Z0 -d lab | tee >(sha256sum > "$OUT/plain.sum") \
  | zstd -q -3 -T2 | tee >(sha256sum > "$OUT/stored.sum") > "$OUT/lab.dump.zst"
wait
"$PYTHON" "$COPY" "$OUT/lab.dump.zst"
"""
_USUAL = 'set -euo pipefail; pg_dump -h "$HOST" -p "$PORT" -U postgres -Fc -Z9 -d lab | gzip > "$OUT/lab.dump.gz"'
_COPY = """
import os, sys, boto3
boto3.client("s3", endpoint_url=os.environ["S3_URL"], region_name="us-east-1",
    aws_access_key_id=os.environ["S3_ACCESS_KEY"], aws_secret_access_key=os.environ["S3_SECRET_KEY"],
).upload_file(sys.argv[1], "bench", "by-hand/" + os.path.basename(os.path.dirname(sys.argv[1])) + ".dump.zst")
"""


def main() -> int:
    """Run the rounds and print the figures; the exit code says only whether the benchmark could run."""
    options = _options()
    if options.lifeboat:
        print(json.dumps(_lifeboat(options.lifeboat)))
        return 0
    return _compare(options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=4_000_000, help="rows of the table; the default makes about 1 GB")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2, help="connections of the restores")
    parser.add_argument("--lifeboat", choices=("plain", "encrypted", "proved", "restore"), help=argparse.SUPPRESS)
    return parser.parse_args()


def _compare(options: argparse.Namespace) -> int:
    from servers import MinioServer, PostgresServer

    with tempfile.TemporaryDirectory(prefix="lifeboat-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with PostgresServer(folder / "pg") as server, MinioServer(folder / "minio") as minio:
            server.sql(f"CREATE DATABASE {DATABASE}")
            server.sql(_FILL.format(rows=options.rows), DATABASE)
            size = int(server.sql(f"SELECT pg_database_size('{DATABASE}')"))
            environment = _environment(folder, server, minio, options)
            _prepare(folder, environment)
            print(f"database of {size / 1e6:.0f} MB on disk; MinIO and PostgreSQL on {_file_system(folder)}")
            backups = _backups(options, environment)
            _report("backup to a directory and MinIO", backups, "by hand")
            _report_encryption(backups)
            _report(f"restore with {options.jobs} jobs", _restores(options, environment, server), "pg_restore")
    return 0


def _environment(folder: Path, server: t.Any, minio: t.Any, options: argparse.Namespace) -> dict[str, str]:
    return {
        "PATH": f"{server.bin_dir}:{os.environ['PATH']}",
        "HOME": str(folder),
        "HOST": str(server.socket_dir),
        "PORT": str(server.port),
        "BIN_DIR": str(server.bin_dir),
        "FOLDER": str(folder),
        "PYTHON": sys.executable,
        "COPY": str(folder / "upload_to_minio.py"),
        "JOBS": str(options.jobs),
        "S3_URL": minio.endpoint,
        "S3_ACCESS_KEY": minio.access_key,
        "S3_SECRET_KEY": minio.secret_key,
    }


def _prepare(folder: Path, environment: t.Mapping[str, str]) -> None:
    (folder / "upload_to_minio.py").write_text(_COPY)
    os.environ.update(environment)
    engine = _engine()
    engine.s3_client().create_bucket(BUCKET)
    for is_encrypted in (False, True):
        (folder / _repository(is_encrypted)).mkdir()
        for place in engine.places(is_encrypted):
            engine.identity.initialise(place.store)


def _repository(is_encrypted: bool) -> str:
    """Return the name of the folder, and of the prefix in the bucket."""
    return "encrypted" if is_encrypted else "repository"


def _backups(options: argparse.Namespace, environment: t.Mapping[str, str]) -> dict[str, list[dict[str, float]]]:
    out = Path(environment["FOLDER"]) / "out"
    ways: dict[str, t.Callable[[], dict[str, float]]] = {
        "by hand": lambda: _measured(["bash", "-c", _BY_HAND], environment, out),
        "lifeboat": lambda: _measured([sys.executable, __file__, "--lifeboat", "plain"], environment, out),
        "lifeboat, encrypted": lambda: _measured(
            [sys.executable, __file__, "--lifeboat", "encrypted"], environment, out
        ),
        "lifeboat, proved": lambda: _measured([sys.executable, __file__, "--lifeboat", "proved"], environment, out),
        "pg_dump -Z9 | gzip": lambda: _measured(["bash", "-c", _USUAL], environment, out),
    }
    return _rounds(options.rounds, ways)


def _restores(
    options: argparse.Namespace, environment: t.Mapping[str, str], server: t.Any
) -> dict[str, list[dict[str, float]]]:
    out = Path(environment["FOLDER"]) / "out"
    _measured(["bash", "-c", _BY_HAND], environment, out)
    kept = Path(environment["FOLDER"]) / "kept.dump"
    subprocess.run(["zstd", "-q", "-d", "-f", str(out / "lab.dump.zst"), "-o", str(kept)], check=True)

    def by_hand() -> dict[str, float]:
        server.sql("DROP DATABASE IF EXISTS back")
        server.sql("CREATE DATABASE back TEMPLATE template0")
        argv = ["pg_restore", "-h", environment["HOST"], "-p", environment["PORT"], "-U", "postgres"]
        return _measured([*argv, "-j", str(options.jobs), "-d", "back", str(kept)], environment, out)

    def ours() -> dict[str, float]:
        server.sql("DROP DATABASE IF EXISTS back")
        return _measured([sys.executable, __file__, "--lifeboat", "restore"], environment, out)

    return _rounds(options.rounds, {"pg_restore": by_hand, "lifeboat (fetched, proved, compared)": ours})


def _rounds(count: int, ways: t.Mapping[str, t.Callable[[], dict[str, float]]]) -> dict[str, list[dict[str, float]]]:
    found: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
    for number in range(count):
        names = list(ways)
        for name in names if number % 2 == 0 else reversed(names):
            found[name].append(ways[name]())
    return found


def _measured(argv: t.Sequence[str], environment: t.Mapping[str, str], out: Path) -> dict[str, float]:
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    before, begun = _children_cpu_s(), time.perf_counter()
    done = subprocess.run(argv, env={**environment, "OUT": str(out)}, check=True, stdout=subprocess.PIPE, text=True)
    wall = time.perf_counter() - begun
    figures = {"wall_s": wall, "cpu_s": _children_cpu_s() - before}
    if done.stdout.strip():
        figures.update(json.loads(done.stdout.splitlines()[-1]))
    return figures


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _report(title: str, found: t.Mapping[str, list[dict[str, float]]], peer: str) -> None:
    print(f"\n{title}")
    print(f"{'':40} {'wall s (spread)':>24} {'CPU s':>8} {'wall':>7} {'CPU':>7} {'peak MiB':>9}")
    middle = {
        name: {each: statistics.median(r[each] for r in rounds) for each in ("wall_s", "cpu_s")}
        for name, rounds in found.items()
    }
    for name, rounds in found.items():
        walls = [each["wall_s"] for each in rounds]
        spread = f"{middle[name]['wall_s']:.1f} ({min(walls):.1f}–{max(walls):.1f})"
        ratios = [f"{middle[name][each] / middle[peer][each]:.2f} ×" for each in ("wall_s", "cpu_s")]
        peak = max((each.get("peak_mib", 0.0) for each in rounds), default=0.0)
        print(
            f"{name:40} {spread:>24} {middle[name]['cpu_s']:>8.1f} {ratios[0]:>7} {ratios[1]:>7}"
            f" {peak if peak else float('nan'):>9.0f}"
        )


def _report_encryption(found: t.Mapping[str, list[dict[str, float]]]) -> None:
    plain, encrypted = (
        statistics.median(each["cpu_s"] for each in found[name]) for name in ("lifeboat", "lifeboat, encrypted")
    )
    word = "reached" if encrypted <= 1.1 * plain else "MISSED"
    print(f"  encrypted: {encrypted / plain:.3f} x the CPU of plain (target 1.1: {word})")


def _file_system(folder: Path) -> str:
    done = subprocess.run(["stat", "-f", "-c", "%T", str(folder)], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()


class _Engine:
    """The engine's use cases on the servers that the environment names."""

    def __init__(self) -> None:
        sys.path.insert(0, str(CHECKOUT / "plugins" / "module_utils"))
        from _engine.host import database_backup, place, restore_run
        from _engine.postgres.connection import Server
        from _engine.postgres.restore import RestoreOptions
        from _engine.repository import bucket, directory, identity, keys
        from _engine.s3.client import S3Client
        from _engine.s3.endpoint import Endpoint
        from _engine.stream.encryption import EpochKey

        self._keys, self._key = keys.Keys, EpochKey
        self.database_backup, self.restore_run, self.identity = database_backup, restore_run, identity
        self._place, self._bucket, self._directory = place.Place, bucket.BucketStore, directory.DirectoryStore
        self._client, self._endpoint, self._options = S3Client, Endpoint, RestoreOptions
        where = os.environ
        self.server = Server(where["HOST"], int(where["PORT"]), "postgres", bin_dir=where["BIN_DIR"])

    def s3_client(self) -> t.Any:
        where = os.environ
        keys = {"access_key": where["S3_ACCESS_KEY"], "secret_key": where["S3_SECRET_KEY"]}
        return self._client(self._endpoint(where["S3_URL"], **keys))

    def places(self, is_encrypted: bool = False) -> tuple[t.Any, ...]:
        name = _repository(is_encrypted)
        local = self._directory(os.path.join(os.environ["FOLDER"], name))
        minio = self._bucket(self.s3_client(), BUCKET, name)
        if is_encrypted:
            local.keys = minio.keys = self._keys("bench", (self._key("bench", "1", bytes(range(32))),))
        return self._place("local", local), self._place("minio", minio)

    def back_up(self, proof: str, is_encrypted: bool) -> None:
        places = self.places(is_encrypted)
        job = self.database_backup.DatabaseJob("bench", self.server, DATABASE, places, proof=proof)
        self.database_backup.back_up(job)

    def restore(self) -> None:
        options = self._options(jobs=int(os.environ["JOBS"]))
        request = self.restore_run.RestoreRequest(
            "bench", "latest_good", self.places(), self.server, "back", options=options, folder=os.environ["FOLDER"]
        )
        self.restore_run.restore(self.restore_run.plan(request))


def _engine() -> _Engine:
    return _Engine()


def _lifeboat(way: str) -> dict[str, float]:
    engine = _engine()
    if way == "restore":
        engine.restore()
    else:
        engine.back_up("content" if way == "proved" else "none", way == "encrypted")
    return {"peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


if __name__ == "__main__":
    raise SystemExit(main())

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Put and get many small objects with the engine's S3 client and with boto3, in turns, on one MinIO.

The server keeps its data on tmpfs, so that the disk does not hide the clients. Each client runs in a process of its
own, with the same number of threads on the same server; the rounds alternate, and the ratio is that of the medians.
Target: 6 times the objects per second of boto3.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import typing as t
from pathlib import Path

TARGET = 6.0
CHECKOUT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(CHECKOUT / "tests" / "environment"))


def main() -> int:
    """Run the rounds and print the figures; the exit code says only whether the benchmark could run."""
    options = _options()
    if options.client:
        print(json.dumps(_measured(options)))
        return 0
    return _compare(options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--objects", type=int, default=10_000, help="objects per round")
    parser.add_argument("--bytes", type=int, default=10_000, help="size of each")
    parser.add_argument("--threads", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of a table")
    parser.add_argument("--client", choices=("lifeboat", "boto3"), help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--bucket", help=argparse.SUPPRESS)
    return parser.parse_args()


def _compare(options: argparse.Namespace) -> int:
    from servers import MinioServer

    shared = Path("/dev/shm")
    is_tmpfs = shared.is_dir() and os.access(shared, os.W_OK)
    results: dict[str, list[dict[str, float]]] = {"lifeboat": [], "boto3": []}
    scratch = tempfile.TemporaryDirectory(prefix="lifeboat-bench-", dir=shared if is_tmpfs else None)
    with scratch as folder, MinioServer(Path(folder)) as server:
        for number in range(options.rounds):
            for name in ("lifeboat", "boto3") if number % 2 == 0 else ("boto3", "lifeboat"):
                results[name].append(_in_own_process(options, server, name, f"{name}-{number}"))
    _report(options, results, f"one MinIO on loopback, data on {'tmpfs (/dev/shm)' if is_tmpfs else 'DISK'}")
    return 0


def _in_own_process(options: argparse.Namespace, server: t.Any, name: str, bucket: str) -> dict[str, float]:
    argv = [sys.executable, __file__, "--client", name, "--url", server.endpoint, "--bucket", bucket]
    argv += ["--objects", str(options.objects), "--bytes", str(options.bytes), "--threads", str(options.threads)]
    environment = {**os.environ, "BENCH_ACCESS_KEY": server.access_key, "BENCH_SECRET_KEY": server.secret_key}
    done = subprocess.run(argv, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def _measured(options: argparse.Namespace) -> dict[str, float]:
    bodies = [random.Random(number).randbytes(options.bytes) for number in range(64)]
    objects = {f"folder-{n % 100:02d}/object-{n:07d}": bodies[n % 64] for n in range(options.objects)}
    warm_up = {f"warm-up-{number}": b"x" for number in range(options.threads)}
    figures: dict[str, float] = {}
    with (_Lifeboat if options.client == "lifeboat" else _Boto3)(options) as client:
        client.put_all(warm_up)
        for name, work in (("put", client.put_all), ("get", client.get_all)):
            wall, cpu = time.perf_counter(), _cpu_s()
            work(objects)
            figures[f"{name}_per_s"] = options.objects / (time.perf_counter() - wall)
            figures[f"{name}_cpu_s"] = _cpu_s() - cpu
    figures["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return figures


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


Objects = t.Mapping[str, bytes]


class _Lifeboat:
    """The engine's client as the engine uses it for small objects: one thread, several requests on their way."""

    def __init__(self, options: argparse.Namespace) -> None:
        # The engine needs nothing but itself: its folder is a package anywhere.
        sys.path.insert(0, str(CHECKOUT / "plugins" / "module_utils"))
        from _engine.s3.client import S3Client
        from _engine.s3.endpoint import Endpoint
        from _engine.s3.flight import Flight

        keys = {"access_key": os.environ["BENCH_ACCESS_KEY"], "secret_key": os.environ["BENCH_SECRET_KEY"]}
        self._client = S3Client(Endpoint(options.url, **keys))
        self._client.create_bucket(options.bucket)
        self._bucket = options.bucket
        self._flight = Flight(options.threads)

    def __enter__(self) -> _Lifeboat:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def put_all(self, objects: Objects) -> None:
        """Write all objects."""
        tasks = (self._client.put_task(self._bucket, key, body, {}) for key, body in objects.items())
        for _done in self._flight.run(lambda _may_wait: next(tasks, None)):
            pass

    def get_all(self, objects: Objects) -> None:
        """Read all objects and compare them."""
        tasks = (self._checked(key, body) for key, body in objects.items())
        for _done in self._flight.run(lambda _may_wait: next(tasks, None)):
            pass

    def _checked(self, key: str, expected: bytes) -> t.Any:
        body, _stored = yield from self._client.get_task(self._bucket, key, 1 << 30)
        if body != expected:
            raise SystemExit("lifeboat read other bytes than were written")


class _Boto3:
    """boto3 with a pool of threads."""

    def __init__(self, options: argparse.Namespace) -> None:
        import boto3
        import botocore.config

        self._client = boto3.session.Session().client(
            "s3",
            endpoint_url=options.url,
            region_name="us-east-1",
            aws_access_key_id=os.environ["BENCH_ACCESS_KEY"],
            aws_secret_access_key=os.environ["BENCH_SECRET_KEY"],
            config=botocore.config.Config(max_pool_connections=options.threads, s3={"addressing_style": "path"}),
        )
        self._client.create_bucket(Bucket=options.bucket)
        self._bucket = options.bucket
        self._pool = concurrent.futures.ThreadPoolExecutor(options.threads)

    def __enter__(self) -> _Boto3:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def put_all(self, objects: Objects) -> None:
        """Write all objects."""
        self._all(lambda key, body: self._client.put_object(Bucket=self._bucket, Key=key, Body=body), objects)

    def get_all(self, objects: Objects) -> None:
        """Read all objects and compare them."""

        def checked(key: str, expected: bytes) -> None:
            if self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read() != expected:
                raise SystemExit("boto3 read other bytes than were written")

        self._all(checked, objects)

    def _all(self, work: t.Callable[[str, bytes], object], objects: Objects) -> None:
        for _done in self._pool.map(work, objects.keys(), objects.values()):
            pass


def _report(options: argparse.Namespace, results: dict[str, list[dict[str, float]]], server: str) -> None:
    names = [name for name in results["lifeboat"][0] if name.endswith("_per_s")]
    medians = {
        client: {name: statistics.median(found[name] for found in rounds) for name in rounds[0]}
        for client, rounds in results.items()
    }
    ratios = {name: medians["lifeboat"][name] / medians["boto3"][name] for name in names}
    if options.json:
        print(json.dumps({"server": server, "rounds": results, "medians": medians, "ratios": ratios}, indent=2))
        return
    print(f"{options.objects} x {options.bytes} bytes, {options.threads} threads, {options.rounds} rounds; {server}")
    print(f"{'':22}{'objects/s':>11}{'spread':>16}{'client CPU s':>14}{'peak MiB':>10}")
    for client, rounds in results.items():
        for name in names:
            found = sorted(one[name] for one in rounds)
            spread = f"{found[0]:.0f} to {found[-1]:.0f}"
            cpu, peak = medians[client][name.replace("_per_s", "_cpu_s")], medians[client]["peak_mib"]
            print(f"{client + ' ' + name[:3]:22}{medians[client][name]:11.0f}{spread:>16}{cpu:14.1f}{peak:10.0f}")
    for name in names:
        word = "reached" if ratios[name] >= TARGET else "MISSED"
        print(f"{name[:3]}: {ratios[name]:.1f} x boto3 (target {TARGET:.0f} x: {word})")


if __name__ == "__main__":
    raise SystemExit(main())

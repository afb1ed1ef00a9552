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
    put, get = (_lifeboat if options.client == "lifeboat" else _boto3)(options)
    bodies = [random.Random(number).randbytes(options.bytes) for number in range(64)]
    keys = [f"folder-{number % 100:02d}/object-{number:07d}" for number in range(options.objects)]

    def checked_get(number: int) -> None:
        if get(keys[number]) != bodies[number % 64]:
            raise SystemExit(f"{options.client} read other bytes than were written")

    figures: dict[str, float] = {}
    with concurrent.futures.ThreadPoolExecutor(options.threads) as pool:
        list(pool.map(lambda _number: put("warm-up", b"x"), range(options.threads)))
        for name, work in (("put", lambda number: put(keys[number], bodies[number % 64])), ("get", checked_get)):
            wall, cpu = time.perf_counter(), _cpu_s()
            list(pool.map(work, range(options.objects)))
            figures[f"{name}_per_s"] = options.objects / (time.perf_counter() - wall)
            figures[f"{name}_cpu_s"] = _cpu_s() - cpu
    figures["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return figures


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


Put = t.Callable[[str, bytes], object]
Get = t.Callable[[str], bytes]


def _lifeboat(options: argparse.Namespace) -> tuple[Put, Get]:
    # The engine needs nothing but itself: its folder is a package anywhere.
    sys.path.insert(0, str(CHECKOUT / "plugins" / "module_utils"))
    from _engine.s3.client import S3Client
    from _engine.s3.endpoint import Endpoint

    keys = {"access_key": os.environ["BENCH_ACCESS_KEY"], "secret_key": os.environ["BENCH_SECRET_KEY"]}
    client = S3Client(Endpoint(options.url, **keys))
    client.create_bucket(options.bucket)
    return (
        lambda key, body: client.put_object(options.bucket, key, body),
        lambda key: client.get_bytes(options.bucket, key, 1 << 30)[0],
    )


def _boto3(options: argparse.Namespace) -> tuple[Put, Get]:
    import boto3
    import botocore.config

    client = boto3.session.Session().client(
        "s3",
        endpoint_url=options.url,
        region_name="us-east-1",
        aws_access_key_id=os.environ["BENCH_ACCESS_KEY"],
        aws_secret_access_key=os.environ["BENCH_SECRET_KEY"],
        config=botocore.config.Config(max_pool_connections=options.threads, s3={"addressing_style": "path"}),
    )
    client.create_bucket(Bucket=options.bucket)
    return (
        lambda key, body: client.put_object(Bucket=options.bucket, Key=key, Body=body),
        lambda key: bytes(client.get_object(Bucket=options.bucket, Key=key)["Body"].read()),
    )


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

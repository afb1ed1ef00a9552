# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mirror many small objects to a fresh versioned bucket with Lifeboat, tuned rclone and mc, in turns.

Two MinIO servers with their data on tmpfs, so that the disk does not hide the clients. Every
client runs in a process of its own, which lists both sides, copies, and is measured whole. Then each of them compares
what it has copied once more. Ratios are those of medians over the rounds.
"""

from __future__ import annotations

import argparse
import json
import sys
import typing as t

import objects
from objects import Bench, Measured, Results

CASES = ("small-http", "small-https")
VERSIONED = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"


def main() -> int:
    """Run the cases and print the figures; the exit code says only whether the benchmark could run."""
    if sys.argv[1:2] == ["--work"]:
        _mirror(json.loads(sys.argv[2]))
        return 0
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--case", action="append", choices=CASES, help="only this one; may be repeated")
    parser.add_argument("--objects", type=int, default=10_000, help="objects per round")
    parser.add_argument("--bytes", type=int, default=10_000, help="size of each")
    parser.add_argument("--threads", type=int, default=objects.THREADS, help="objects that Lifeboat copies at once")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    options.scratch = ""
    for case in options.case or CASES:
        with MirrorBench(case, options) as bench:
            bench.small()
    return 0


class MirrorBench(Bench):
    """Two servers, and the clients that mirror from one to the other."""

    def small(self) -> None:
        """Fill a fresh target; then compare both sides again."""
        count = self.options.objects
        self._fill("data", ((f"folder-{n % 100:02d}/object-{n:07d}", self.options.bytes) for n in range(count)))
        copied: Results = {}
        compared: Results = {}
        for _round in self._rounds():
            buckets = {name: self._versioned(name) for name in ("lifeboat", "rclone", "mc")}
            clients: dict[str, t.Callable[[], Measured]] = {
                "lifeboat": lambda to=buckets["lifeboat"]: self._lifeboat_mirror(to),  # type: ignore[misc]
                "rclone": lambda to=buckets["rclone"]: self._rclone("a:data", to),  # type: ignore[misc]
                "mc": lambda to=buckets["mc"]: self._mc("a/data", to),  # type: ignore[misc]
            }
            self._turn(copied, clients)
            self._turn(compared, clients)
        target = 1.1 if self.case.endswith("http") else 0.9
        for name, results in (("a fresh target", copied), ("no difference", compared)):
            print(f"{name}:")
            self._report(results, count, "objects/s")
            is_fresh = results is copied
            self._ratio(results, "lifeboat", ("rclone", "mc"), "objects/s", target if is_fresh else None)
            if is_fresh:
                self._cpu_ratio(results, "lifeboat", ("rclone", "mc"), 0.85)

    def _versioned(self, name: str) -> str:
        bucket = self._bucket(name)
        objects._client(self.target).document("PUT", bucket, "versioning", VERSIONED)
        return bucket

    def _lifeboat_mirror(self, bucket: str) -> Measured:
        order = {
            "source": objects._login(self.source),
            "target": objects._login(self.target),
            "to": bucket,
            "threads": self.options.threads,
        }
        return objects._measured(*objects.client(__file__, order))


def _mirror(order: t.Mapping[str, t.Any]) -> None:
    """Be a client."""
    from _engine.host import mirror_run
    from _engine.s3.endpoint import Endpoint

    source = mirror_run.Side("", Endpoint(**order["source"]), "data")
    target = mirror_run.Side("there", Endpoint(**order["target"]), order["to"])
    job = mirror_run.MirrorJob(source, (target,), threads=order["threads"])
    with mirror_run.opened(job) as request:
        planned = mirror_run.plan(request, job)
        with planned.steps:
            if not planned.is_empty:
                mirror_run.run(planned)


if __name__ == "__main__":
    raise SystemExit(main())

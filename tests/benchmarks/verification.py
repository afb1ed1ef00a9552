# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Verify a backup of files at level `content`, in a directory, in turns with the SHA-256 of OpenSSL on one core.

Every stored byte and every plain byte is hashed once, and all is decompressed: what a core does of that in a second
follows from its SHA-256. Half of each file is text that compresses, half is random. Target: 300 MB of plain data per
CPU second, all threads counted, where SHA-256 does 1 GB/s; elsewhere what its speed allows: 0.3 of it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(CHECKOUT / "plugins" / "module_utils"))  # the engine needs nothing but itself
MIB = 1024 * 1024
TARGET_MB_S, TARGET_OF_SHA = 300.0, 0.3
JOB = "bench"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=1024, help="plain data")
    parser.add_argument("--file-kib", type=int, default=256, help="size of each file")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--verify", default="", help=argparse.SUPPRESS)
    options, _others = parser.parse_known_args()
    if options.verify:
        print(json.dumps(_verified(options.verify)))
        return 0
    shared = Path("/dev/shm")
    where = shared if shared.is_dir() and os.access(shared, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="lifeboat-bench-", dir=where) as name:
        _fill(Path(name) / "data", options.mib * MIB, options.file_kib * 1024)
        stored = _backed_up(Path(name))
        rates, speeds, walls = [], [], []
        for _round in range(options.rounds):
            speeds.append(_sha256())
            command = [sys.executable, __file__, "--verify", name]
            found = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
            if not found["is_good"] or found["plain_bytes"] < options.mib * MIB:
                raise SystemExit(f"not everything was verified: {found}")
            rates.append(found["plain_bytes"] / 1e6 / found["cpu_s"])
            walls.append(found["plain_bytes"] / 1e6 / found["wall_s"])
    return _reported(options.mib * MIB / 1e6, stored, rates, walls, speeds)


def _reported(plain: float, stored: float, rates: list[float], walls: list[float], speeds: list[float]) -> int:
    rate, speed = statistics.median(rates), statistics.median(speeds)
    target = min(TARGET_MB_S, TARGET_OF_SHA * speed)
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; {plain:.0f} MB plain, {stored:.0f} stored")
    print(f"SHA-256 of OpenSSL  {speed:6.0f} MB/s of CPU ({min(speeds):.0f} to {max(speeds):.0f})")
    print(f"content             {rate:6.0f} MB/s of CPU ({min(rates):.0f} to {max(rates):.0f})")
    print(f"content             {statistics.median(walls):6.0f} MB/s of time ({min(walls):.0f} to {max(walls):.0f})")
    print(f"target {target:.0f} MB/s of CPU: {'reached' if rate >= target else 'MISSED'}")
    return int(rate < target)


def _fill(folder: Path, size: int, each: int) -> None:
    for number in range(size // each):
        file = folder / f"{number % 40:02d}" / f"file-{number:05d}"
        file.parent.mkdir(parents=True, exist_ok=True)
        text = b"".join(b"%06d sample within its limits;" % (number * 7919 + line) for line in range(each // 60))
        file.write_bytes((text + hashlib.shake_128(b"%d" % number).digest(each))[:each])


def _sha256() -> float:
    """Return megabytes per CPU second of the library that Python hashes with."""
    block, count = os.urandom(MIB), 128
    digest, begun = hashlib.sha256(), time.process_time()
    for _number in range(count):
        digest.update(block)
    return count * MIB / 1e6 / (time.process_time() - begun)


def _backed_up(folder: Path) -> float:
    """Back the files up, and return how many megabytes that took."""
    from _engine.host import object_sources, objects_backup
    from _engine.host.objects_job import ObjectsJob
    from _engine.host.place import Place
    from _engine.repository import identity
    from _engine.repository.directory import DirectoryStore

    (folder / "repository").mkdir()
    store = DirectoryStore(str(folder / "repository"))
    identity.initialise(store)
    opened = object_sources.FileSelection((str(folder / "data"),)).opened
    objects_backup.back_up(ObjectsJob(JOB, "files", opened, (Place("local", store),), proof="none"))
    return sum(entry.size for entry in store.entries("data/")) / 1e6


def _verified(folder: str) -> dict[str, float | bool]:
    """Verify the newest backup, and return what that took of this process."""
    from _engine.host import verify_run
    from _engine.host.place import Place
    from _engine.repository.directory import DirectoryStore

    place = Place("local", DirectoryStore(f"{folder}/repository"))
    wall, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    (verdict,) = verify_run.verify(verify_run.plan(verify_run.VerifyRequest(JOB, "latest", (place,), "content")))
    now = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "is_good": verdict.is_good,
        "plain_bytes": verdict.report["plain_bytes"],
        "cpu_s": now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime,
        "wall_s": time.perf_counter() - wall,
    }


if __name__ == "__main__":
    raise SystemExit(main())

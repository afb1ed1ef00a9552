# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Back buckets up, restore and verify them with Lifeboat, and copy them with tuned rclone and mc, in turns.

Two MinIO servers: the source, and the one that has the repository (for peers: the copy). Every client runs in a process
of its own, whose wall time, CPU seconds and peak memory are measured; bodies cannot be compressed. Each case says where
the servers keep their data. Ratios are those of medians over the rounds.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import hashlib
import json
import os
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
sys.path.insert(0, str(CHECKOUT / "plugins" / "module_utils"))  # the engine needs nothing but itself
THREADS = 16
MIB = 1024 * 1024
CASES = ("small-http", "small-https", "small-disk", "large", "unchanged", "changed", "encrypted")


class Measured(t.NamedTuple):
    """What a client process needed."""

    wall_s: float
    cpu_s: float
    peak_mib: float


Run = t.Callable[[], Measured]
Results = t.Dict[str, t.List[Measured]]  # noqa: UP006 - evaluated at run time on Python 3.9 as well


def main() -> int:
    """Run the cases and print the figures; the exit code says only whether the benchmark could run."""
    if sys.argv[1:2] == ["--work"]:
        _work(json.loads(sys.argv[2]))
        return 0
    options = _options()
    for case in options.case or CASES:
        with Bench(case, options) as bench:
            getattr(bench, case.partition("-")[0])()
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--case", action="append", choices=CASES, help="only this one; may be repeated")
    parser.add_argument("--objects", type=int, default=10_000, help="small objects per round")
    parser.add_argument("--bytes", type=int, default=10_000, help="size of each")
    parser.add_argument("--large", type=int, default=4, help="large objects")
    parser.add_argument("--large-mib", type=int, default=512, help="size of each")
    parser.add_argument("--keys", type=int, default=100_000, help="objects of the cases without and with few changes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scratch", default="", help="folder on a disk, for the cases that are about disks")
    return parser.parse_args()


class Bench:
    """One case: two servers, and the clients that work on them."""

    def __init__(self, case: str, options: argparse.Namespace) -> None:
        self.case = case
        self.options = options
        self._stack = contextlib.ExitStack()
        self._number = 0

    def __enter__(self) -> Bench:
        from peers import Peers
        from servers import MinioServer

        shared = Path("/dev/shm")
        is_tmpfs = not self.case.endswith("-disk") and shared.is_dir() and os.access(shared, os.W_OK)
        where = shared if is_tmpfs else self.options.scratch or None
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="lifeboat-bench-", dir=where)))
        tls = self.case.endswith("https")
        source, target = (
            self._stack.enter_context(MinioServer(self.folder / name, tls=tls)) for name in ("source", "target")
        )
        self.source, self.target = source, target
        self.peers = Peers(source, target, self.folder)
        _measured(*client(__file__, self._order("start")))
        self.place = f"two MinIO on loopback, data on {'tmpfs' if is_tmpfs else 'DISK'}{', TLS' if tls else ''}"
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    # Cases

    def small(self) -> None:
        """Many small objects: back up, verify, restore; peers copy there, and back."""
        count = self.options.objects
        self._fill("data", ((f"folder-{n % 100:02d}/object-{n:07d}", self.options.bytes) for n in range(count)))
        results: Results = {}
        for _round in self._rounds():
            repository, back = self._repository(), self._bucket("back")
            self._turn(
                results,
                {
                    "backup": lambda at=repository: self._lifeboat("back_up", at),
                    "rclone": lambda: self._rclone("a:data", self._bucket("rclone")),
                    "mc": lambda: self._mc("a/data", self._bucket("mc")),
                },
            )
            self._turn(
                results,
                {
                    "verify": lambda at=repository: self._lifeboat("verify", at),
                    "verify one by one": lambda at=repository: self._lifeboat("read_each", at),
                    "read copies": lambda: self._lifeboat("read_copies", self._copy("rclone")),
                    "restore": lambda at=repository, to=back: self._lifeboat("restore", at, to=to),
                    "rclone back": self._rclone_back,
                    "mc back": self._mc_back,
                },
            )
        self._report(results, count, "objects/s")
        self._ratio(results, "backup", ("rclone", "mc"), "objects/s", 3.0 if "disk" in self.case else 2.0)
        self._cpu_ratio(results, "backup", ("rclone", "mc"), 0.6)
        self._ratio(results, "restore", ("rclone back", "mc back"), "objects/s", 1.2)
        self._ratio(results, "verify", ("verify one by one",), "objects/s", 5.0)
        self._ratio(results, "verify", ("read copies",), "objects/s", None)

    def large(self) -> None:
        """A few large objects, compared with peers that check content; and the distance to one that does not."""
        from peers import RCLONE_IN_PARTS, RCLONE_ONE_PUT

        count, size = self.options.large, self.options.large_mib * MIB
        self._fill("data", ((f"large-{number}", size) for number in range(count)))
        results: Results = {}
        for _round in self._rounds():
            repository = self._repository()
            clients: dict[str, Run] = {
                "backup": lambda at=repository: self._lifeboat("back_up", at),
                "rclone in parts": lambda: self._rclone("a:data", self._bucket("parts"), RCLONE_IN_PARTS),
                "mc": lambda: self._mc("a/data", self._bucket("mc")),
                "rclone unchecked": lambda: self._rclone("a:data", self._bucket("put"), RCLONE_ONE_PUT),
            }
            self._turn(results, clients)
            self._turn(results, {"verify": lambda at=repository: self._lifeboat("verify", at)})
            self._empty_target()  # on tmpfs several rounds would not fit into memory
        amount = count * size / 1e6
        self._report(results, amount, "MB/s")
        self._ratio(results, "backup", ("rclone in parts", "mc"), "MB/s", 1.3)
        self._ratio(results, "backup", ("rclone unchecked",), "MB/s", None)
        print(f"  peak memory: {_median(results['backup'], 'peak_mib'):.0f} MiB (target 200)")

    def unchanged(self) -> None:
        """A backup of what did not change, and the peers' comparison of both sides."""
        self._fill_many()
        repository, rclone, mc = self._repository(), self._bucket("rclone"), self._bucket("mc")
        self._lifeboat("back_up", repository)
        self._rclone("a:data", rclone)
        self._mc("a/data", mc)
        before = self._lifeboat_files(repository)
        results: Results = {}
        for _round in self._rounds():
            self._turn(
                results,
                {
                    "backup": lambda: self._lifeboat("back_up", repository),
                    "rclone": lambda: self._rclone("a:data", rclone),
                    "mc": lambda: self._mc("a/data", mc),
                },
            )
        self._report(results, self.options.keys, "keys/s")
        self._cpu_ratio(results, "backup", ("rclone", "mc"), 0.3)
        print(f"  peak memory: {_median(results['backup'], 'peak_mib'):.0f} MiB (target 96)")
        written = sorted(name.rpartition("/")[2] for name in self._lifeboat_files(repository) - before)
        print(f"  written by {self.options.rounds} runs: {', '.join(written)}")

    def changed(self) -> None:
        """One key in a thousand has changed: anywhere, or side by side."""
        self._fill_many()
        repository, rclone = self._repository(), self._bucket("rclone")
        self._lifeboat("back_up", repository)
        self._rclone("a:data", rclone)
        few = max(1, self.options.keys // 1000)
        for name, numbers in (("scattered", range(0, self.options.keys, 1000)), ("clustered", range(few))):
            results: Results = {}
            for turn in self._rounds():
                size = self.options.bytes // 10 + turn
                self._fill("data", ((_key(number), size) for number in numbers), make=False)
                self._turn(
                    results,
                    {
                        "backup": lambda: self._lifeboat("back_up", repository),
                        "rclone": lambda: self._rclone("a:data", rclone),
                    },
                )
            print(f"  {name}: {len(numbers)} of {self.options.keys} keys")
            self._report(results, self.options.keys, "keys/s")

    def encrypted(self) -> None:
        """The same work on small objects with and without encryption."""
        count = self.options.objects
        self._fill("data", ((f"folder-{n % 100:02d}/object-{n:07d}", self.options.bytes) for n in range(count)))
        results: Results = {}
        for _round in self._rounds():
            repositories = {way: self._repository(f"repository{way}") for way in ("", "-encrypted")}
            for use_case in ("back_up", "verify", "restore"):
                self._turn(
                    results,
                    {
                        f"{use_case}{way}": lambda use=use_case, way=way, at=at: self._lifeboat(
                            use, at, self._new("back") if use == "restore" else "", bool(way)
                        )
                        for way, at in repositories.items()
                    },
                )
        self._report(results, count, "objects/s")
        for use_case in ("back_up", "verify", "restore"):
            self._cpu_ratio(results, f"{use_case}-encrypted", (use_case,), 1.1)

    # Clients

    def _lifeboat(self, use_case: str, repository: str, to: str = "", is_encrypted: bool = False) -> Measured:
        order = {**self._order(use_case), "repository": repository, "to": to, "is_encrypted": is_encrypted}
        return _measured(*client(__file__, order))

    def _order(self, use_case: str) -> dict[str, t.Any]:
        return {
            "use_case": use_case,
            "job": f"bench-{os.getpid()}",  # no other benchmark on this host has this one
            "source": _login(self.source),
            "target": _login(self.target),
        }

    def _rclone(self, source: str, bucket: str, tuning: t.Sequence[str] = ()) -> Measured:
        from peers import RCLONE_TUNED

        return _measured(*self.peers.rclone("sync", *(tuning or RCLONE_TUNED), source, f"b:{bucket}"))

    def _rclone_back(self) -> Measured:
        from peers import RCLONE_TUNED

        return _measured(*self.peers.rclone("sync", *RCLONE_TUNED, self._copy("b:rclone"), f"a:{self._new('back')}"))

    def _mc(self, source: str, bucket: str) -> Measured:
        return _measured(*self.peers.mc("mirror", "--overwrite", f"--max-workers={THREADS}", source, f"b/{bucket}"))

    def _mc_back(self) -> Measured:
        words = ("mirror", f"--max-workers={THREADS}", self._copy("b/mc"), f"a/{self._new('back')}")
        return _measured(*self.peers.mc(*words))

    def _copy(self, name: str) -> str:
        """Return the newest bucket of a peer."""
        return f"{name}-{self._number}"

    # Data

    def _rounds(self) -> t.Iterator[int]:
        for turn in range(self.options.rounds):
            self._number += 1
            yield turn

    def _bucket(self, name: str) -> str:
        """Make a bucket of this round on the target, if it is not there."""
        made = f"{name}-{self._number}"
        _client(self.target).create_bucket(made)
        return made

    def _new(self, name: str) -> str:
        self._made = getattr(self, "_made", 0) + 1
        bucket = f"{name}-{self._number}-{self._made}"
        _client(self.source).create_bucket(bucket)
        return bucket

    def _repository(self, name: str = "repository") -> str:
        bucket = self._bucket(name)
        from _engine.repository import identity
        from _engine.repository.bucket import BucketStore

        identity.initialise(BucketStore(_client(self.target), bucket))
        return bucket

    def _empty_target(self) -> None:
        """Remove what the rounds so far have written, and do not wait until the server empties its trash."""
        target = _client(self.target)
        for bucket in target.list_buckets():
            for found in target.list_objects(bucket):
                target.delete(bucket, found.key)
        for trash in self.folder.glob("target/*/.minio.sys/tmp/.trash"):
            shutil.rmtree(trash)
            trash.mkdir()

    def _lifeboat_files(self, repository: str) -> set[str]:
        return {each.key for each in _client(self.target).list_objects(repository)}

    def _fill_many(self) -> None:
        size = self.options.bytes // 10
        self._fill("data", ((_key(number), size) for number in range(self.options.keys)))

    def _fill(self, bucket: str, objects: t.Iterable[tuple[str, int]], make: bool = True) -> None:
        """Write objects; a process does that whose memory is not taken for that of the clients, which begin as copies
        of this one.
        """
        if make:
            _client(self.source).create_bucket(bucket)
        pid = os.fork()
        if not pid:
            status = 1
            try:
                _put_all(_client(self.source), bucket, objects)
                status = 0
            finally:
                os._exit(status)
        if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
            raise SystemExit(f"the bucket {bucket} could not be filled")

    # Results

    def _turn(self, results: Results, clients: t.Mapping[str, Run]) -> None:
        """Run all clients once, each round in another order."""
        names = list(clients)
        first = self._number % len(names) if "verify" not in names else 0
        for name in names[first:] + names[:first]:
            results.setdefault(name, []).append(clients[name]())

    def _report(self, results: Results, amount: float, unit: str) -> None:
        print(f"-- {self.case}: {self.options.rounds} rounds; {self.place}")
        print(f"{'':22}{unit:>11}{'spread':>18}{'CPU s':>9}{'peak MiB':>10}")
        for name, found in results.items():
            rates = sorted(amount / each.wall_s for each in found)
            spread = f"{rates[0]:.0f} to {rates[-1]:.0f}"
            cpu, peak = _median(found, "cpu_s"), _median(found, "peak_mib")
            print(f"{name:22}{statistics.median(rates):11.0f}{spread:>18}{cpu:9.2f}{peak:10.0f}", flush=True)

    def _ratio(self, results: Results, ours: str, peers: t.Sequence[str], unit: str, target: float | None) -> None:
        best = min(peers, key=lambda name: _median(results[name], "wall_s"))
        found = _median(results[best], "wall_s") / _median(results[ours], "wall_s")
        word = "" if target is None else f" (target {target}: {'reached' if found >= target else 'MISSED'})"
        print(f"  {ours}: {found:.2f} x the {unit} of {best}{word}")

    def _cpu_ratio(self, results: Results, ours: str, peers: t.Sequence[str], target: float) -> None:
        best = min(peers, key=lambda name: _median(results[name], "cpu_s"))
        found = _median(results[ours], "cpu_s") / _median(results[best], "cpu_s")
        word = "reached" if found <= target else "MISSED"
        print(f"  {ours}: {found:.2f} x the CPU of {best} (target {target}: {word})")


def _put_all(client: t.Any, bucket: str, objects: t.Iterable[tuple[str, int]]) -> None:
    def put(each: tuple[str, int]) -> None:
        key, size = each
        client.put_object(bucket, key, hashlib.shake_128(f"{key} {size}".encode()).digest(size))

    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        for _done in pool.map(put, objects):
            pass


def _key(number: int) -> str:
    return f"2026/{number // 3000 % 12 + 1:02d}/{number // 100 % 30 + 1:02d}/object-{number:09d}"


def _median(found: t.Sequence[Measured], field: str) -> float:
    return statistics.median(getattr(each, field) for each in found)


def _measured(argv: t.Sequence[str], environment: t.Mapping[str, str]) -> Measured:
    """Run a client to its end, and return what it needed. Raises SystemExit when it failed."""
    begun = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(argv, env=environment, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        _pid, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - begun
        if status:
            said.seek(0)
            raise SystemExit(f"{argv[0]} failed: {said.read()[-2000:].decode('utf-8', 'replace')}")
    return Measured(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def client(program: str, order: t.Mapping[str, t.Any]) -> tuple[list[str], dict[str, str]]:
    """Return command line and environment of a client of ours, which starts from bytecode as an installed one does."""
    folder = Path(tempfile.gettempdir(), f"lifeboat-bench-bytecode-{os.getuid()}")
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(folder), "PYTHONDONTWRITEBYTECODE": ""}
    return [sys.executable, program, "--work", json.dumps(order)], environment


def _login(server: t.Any) -> dict[str, str]:
    return {
        "url": server.endpoint,
        "access_key": server.access_key,
        "secret_key": server.secret_key,
        "ca_file": str(server.ca_file or ""),
    }


def _client(server: t.Any) -> t.Any:
    return _engine_client(_login(server))


def _engine_client(login: t.Mapping[str, str]) -> t.Any:
    from _engine.s3.client import S3Client
    from _engine.s3.endpoint import Endpoint

    return S3Client(Endpoint(**login))


def _work(order: t.Mapping[str, t.Any]) -> None:
    """Be a client: do one piece of work with the engine, of which it loads what a command for that would."""
    if order["use_case"] == "start":  # so that there is bytecode of all
        from _engine.host import objects_backup, objects_restore, verify_run  # noqa: F401

        return
    source, target = _engine_client(order["source"]), _engine_client(order["target"])
    from _engine.host.place import Place
    from _engine.repository.bucket import BucketStore

    place = Place("site", BucketStore(target, order["repository"]))
    if order["is_encrypted"]:
        from _engine.repository.keys import Keys
        from _engine.stream.encryption import EpochKey

        place.store.keys = Keys("bench", (EpochKey("bench", "1", bytes(range(32))),))
    use_case, job = order["use_case"], order["job"]
    if use_case == "back_up":
        _back_up(source, place, job)
    elif use_case == "verify":
        _verify(place, job)
    elif use_case == "read_each":
        _read_each(place, job)
    elif use_case == "read_copies":
        _read_copies(target, order["repository"])
    else:
        _restore(source, place, job, order["to"])


def _back_up(source: t.Any, place: t.Any, job: str) -> None:
    from _engine.host import objects_backup
    from _engine.host.object_sources import BucketSelection
    from _engine.host.objects_job import ObjectsJob

    opened = BucketSelection(("data",)).opened
    objects_backup.back_up(ObjectsJob(job, "bucket", lambda remark: opened(source, remark), (place,), proof="none"))


def _verify(place: t.Any, job: str) -> None:
    from _engine.host import verify_run

    (verdict,) = verify_run.verify(verify_run.plan(verify_run.VerifyRequest(job, "latest", (place,), "content")))
    if not verdict.is_good:
        raise SystemExit("; ".join(verdict.problems))


def _restore(server: t.Any, place: t.Any, job: str, bucket: str) -> None:
    from _engine.host import objects_restore
    from _engine.host.objects_choice import Choice
    from _engine.host.objects_destination import Server

    choice = Choice(job, "latest")
    request = objects_restore.RestoreRequest(choice, (place,), Server(server), map={"data": bucket})
    objects_restore.restore(objects_restore.plan(request))


def _read_copies(client: t.Any, bucket: str) -> None:
    """Read what a copier wrote object by object, and hash it, as the engine reads small objects at its fastest."""
    from _engine.s3.flight import Flight

    def read(key: str) -> t.Any:
        body, _stored = yield from client.get_task(bucket, key, 1 << 30)
        hashlib.sha256(body).digest()

    tasks = (read(each.key) for each in client.list_objects(bucket))
    for _done in Flight(THREADS).run(lambda _may_wait: next(tasks, None)):
        pass


def _read_each(place: t.Any, job: str) -> None:
    """Verify a backup object by object: read each by its range, and compare it with its row."""
    from _engine.objects.index_reader import IndexReader
    from _engine.objects.pack_reader import member
    from _engine.repository import catalog

    manifest = catalog.backups(place.store, job, with_proof=False)[-1].manifest

    def read(row: t.Any) -> None:
        for _chunk in member(place.store, job, row):
            pass

    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        for _done in pool.map(read, IndexReader(place.store, manifest).rows("data")):
            pass


if __name__ == "__main__":
    raise SystemExit(main())

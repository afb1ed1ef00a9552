# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Back up a bucket of a million keys of which none or few have changed, and say what that costs beside the listing.

The server is a stub that lists as MinIO does, with metadata, and the repository is a directory, so that nothing but the
client is measured: its CPU seconds and its peak memory, in a process of its own. Beside it, in turns, a client that
only reads the listing. The first backup takes the objects for empty: they are there to be listed.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import hashlib
import http.server
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import typing as t
import urllib.parse
from pathlib import Path

import objects
from objects import Measured

PAGE = 1000  # keys
SIZE = 1000  # bytes of each object
CASES = ("unchanged", "scattered", "clustered")
_TYPE = "binary/octet-stream"
_ENTRY = (
    "<Contents><Key>%s</Key><LastModified>%s</LastModified><ETag>&#34;%s&#34;</ETag><Size>%d</Size><Owner><ID>stub</ID>"
    "<DisplayName>stub</DisplayName></Owner><StorageClass>STANDARD</StorageClass>"
    f"<UserMetadata><content-type>{_TYPE}</content-type></UserMetadata></Contents>"
)


def main() -> int:
    """Run the cases and print the figures; the exit code says only whether the benchmark could run."""
    if sys.argv[1:2] == ["--work"]:
        _work(json.loads(sys.argv[2]))
        return 0
    if sys.argv[1:2] == ["--serve"]:
        _serve(int(sys.argv[2]))
        return 0
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--case", action="append", choices=CASES, help="only this one; may be repeated")
    parser.add_argument("--keys", type=int, default=1_000_000, help="keys of the bucket")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    shared = Path("/dev/shm")
    where = shared if shared.is_dir() and os.access(shared, os.W_OK) else None
    command = [sys.executable, __file__, "--serve", str(options.keys)]
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="lifeboat-bench-", dir=where))
        server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        stack.enter_context(server)
        stack.callback(server.kill)
        port = int(t.cast(t.TextIO, server.stdout).readline())
        Bench(Path(folder), port, options).run(options.case or CASES)
    return 0


class Bench:
    """A listing, a repository with one backup of it, and the clients."""

    def __init__(self, folder: Path, port: int, options: argparse.Namespace) -> None:
        self._folder = folder
        self._url = f"http://127.0.0.1:{port}"
        self._options = options
        self._state = 0  # objects that change have another content in each
        self._do("initialise")
        self._do("back_up_empty")

    def run(self, cases: t.Sequence[str]) -> None:
        """Measure each case, and print what it needs for a million keys."""
        keys = self._options.keys
        for case in cases:
            self._do("back_up")  # what the case before has changed is as it was
            before = self._files()
            found: list[tuple[Measured, Measured]] = []
            for _round in range(self._options.rounds):
                self._state += 1
                state = case if case == "unchanged" else f"{case}-{self._state}"
                found.append((self._do("list", state), self._do("back_up", state)))
            written = self._files() - before
            print(f"-- {case}: {_count(case, keys):,} of {keys:,} keys; {self._options.rounds} rounds; stub, directory")
            listed = [each.cpu_s * 1e6 / keys for each, _backup in found]
            whole = [each.cpu_s * 1e6 / keys for _list, each in found]
            more = [one - other for one, other in zip(whole, listed)]
            for name, figures in (("listing", listed), ("backup", whole), ("beside the listing", more)):
                spread = f"{min(figures):.2f} to {max(figures):.2f}"
                print(f"{name:22}{statistics.median(figures):9.2f} CPU s per million{spread:>18}")
            peak = max(each.peak_mib for _list, each in found)
            print(f"  peak memory: {peak:.0f} MiB (target 96)")
            if case == "unchanged":
                word = "reached" if statistics.median(more) <= 6 else "MISSED"
                print(f"  beside the listing: target 6 CPU s: {word}")
            names = sorted(name.rpartition("/")[2] for name in written)
            print(f"  written: {len(written)} files, {sum(map(self._size, written)):,} bytes: {', '.join(names[:12])}")

    def _do(self, what: str, state: str = "unchanged") -> Measured:
        order = {"what": what, "url": self._url, "state": state, "folder": str(self._folder), "pid": os.getpid()}
        return objects._measured(*objects.client(__file__, order))

    def _files(self) -> set[str]:
        return {str(path) for path in self._folder.rglob("*") if path.is_file()}

    def _size(self, name: str) -> int:
        return Path(name).stat().st_size


def _count(case: str, keys: int) -> int:
    return 0 if case == "unchanged" else max(1, keys // 1000)


def _work(order: t.Mapping[str, t.Any]) -> None:
    """Be a client."""
    from _engine.host import objects_backup
    from _engine.host.objects_job import ObjectsJob
    from _engine.host.place import Place
    from _engine.objects.bucket_source import BucketSource
    from _engine.objects.source import Described
    from _engine.repository import identity
    from _engine.repository.directory import DirectoryStore
    from _engine.s3.client import S3Client
    from _engine.s3.endpoint import Endpoint

    class Stubbed(BucketSource):
        """A bucket of a server that knows nothing but its objects."""

        def identity(self) -> dict[str, str]:
            return {"bucket": "data"}

        def collections(self) -> list[str]:
            return ["data"]

        def documents(self) -> dict[str, t.Any]:
            return {}

        def _look_at_locks(self, collection: str, _key: str, _version_id: str) -> None:
            self._seen_locks[collection] = True

    class Empty(Stubbed):
        """The same with objects that have no bytes."""

        def read_through(self, take: t.Any, _at_once: int) -> t.Iterator[t.Any]:
            for each in iter(functools.partial(take, True), None):
                yield each.token, (Described(each.item, "", {}, has_bytes=False), b"")

    store = DirectoryStore(order["folder"])
    client = S3Client(Endpoint(order["url"], access_key=order["state"], secret_key="stub"))
    if order["what"] == "initialise":
        identity.initialise(store)
    elif order["what"] == "list":
        for _each in client.list_detailed("data"):
            pass
    else:
        made = Empty if order["what"] == "back_up_empty" else Stubbed
        job = ObjectsJob(
            f"listing-{order['pid']}",
            "bucket",
            lambda report: made(client, ("data",), report=report),
            (Place("site", store),),
            proof="none",
            policy={"mass_rewrite": "ignore"},
        )
        objects_backup.back_up(job)


# The stub


def _serve(keys: int) -> None:
    """Be the server until standard input ends; the state that is asked for is the access key of the request."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            url = urllib.parse.urlsplit(self.path)
            state = self.headers["authorization"].partition("Credential=")[2].partition("/")[0]
            if url.query:
                token = dict(urllib.parse.parse_qsl(url.query)).get("continuation-token", "0")
                self._answer(_page(state, keys, int(token)), {"content-type": "application/xml"})
                return
            number = int(url.path.rpartition("-")[2])
            body = _body(_etag(state, keys, number))
            written = {"last-modified": f"Fri, 20 Nov 2026 {_time(number)[:8]} GMT", "content-type": _TYPE}
            self._answer(body, {"etag": f'"{_etag(state, keys, number)}"', **written})

        def _answer(self, body: bytes, headers: t.Mapping[str, str]) -> None:
            self.send_response(200)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_words: t.Any) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(server.server_address[1], flush=True)
        sys.stdin.read()


def _page(state: str, keys: int, start: int) -> bytes:
    end = min(start + PAGE, keys)
    entries = "".join(
        _ENTRY % (_key(number), f"2026-11-20T{_time(number)}Z", _etag(state, keys, number), SIZE)
        for number in range(start, end)
    )
    more = f"<NextContinuationToken>{end}</NextContinuationToken>" if end < keys else ""
    truncated = "true" if end < keys else "false"
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>data</Name><Prefix></Prefix>{more}<KeyCount>{end - start}</KeyCount><MaxKeys>{PAGE}</MaxKeys>"
        f"<IsTruncated>{truncated}</IsTruncated>{entries}<EncodingType>url</EncodingType></ListBucketResult>"
    ).encode("ascii")


def _key(number: int) -> str:
    return f"2026/{number // 30_000:04d}/{number // 1000 % 30 + 1:02d}/object-{number:09d}"


def _time(number: int) -> str:
    """Return the time of day at which an object was written; hardly any two are the same."""
    second, millisecond = divmod(number * 53 % 86_400_000, 1000)
    return f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}.{millisecond:03d}"


def _etag(state: str, keys: int, number: int) -> str:
    """Return what an object's bytes are made of: a changed one has others in each state."""
    case, _dash, _turn = state.partition("-")
    is_changed = number % 1000 == 0 if case == "scattered" else case == "clustered" and number < _count(case, keys)
    return f"{number:024x}{int(hashlib.md5(state.encode()).hexdigest()[:8], 16) if is_changed else 0:08x}"


def _body(etag: str) -> bytes:
    return hashlib.shake_128(etag.encode()).digest(SIZE)


if __name__ == "__main__":
    raise SystemExit(main())

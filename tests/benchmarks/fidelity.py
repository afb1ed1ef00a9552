# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Send a bucket of odd keys and properties through Lifeboat, rclone and mc, and write down what each of them loses.

Two MinIO servers; the corpus is that of the tests (tests/functional/key_corpus.py). The table goes to docs/fidelity.md
with `--write`, and is printed otherwise. Run it by `tests/environment/run.py`.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import typing as t
from pathlib import Path

from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.place import Place
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import identity
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.client import S3Client
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.endpoint import Endpoint
from ansible_collections.lifeboat.recovery.tests.functional import key_corpus, round_trips
from ansible_collections.lifeboat.recovery.tests.functional.key_corpus import Losses, State
from peers import MODULES, Peers, run
from servers import MinioServer

CHECKOUT = Path(__file__).resolve().parents[2]
PAGE = CHECKOUT / "docs" / "fidelity.md"
BUCKET = "corpus"
OURS = "Lifeboat"
ROUTES = ("bucket to bucket", "bucket to folder to bucket")
COLUMNS = ("missing", "renamed", "content", "headers", "metadata", "tags", "etags", "strangers")
TITLES = (
    "lost",
    "under another key, and listed",
    "other bytes",
    "headers lost",
    "metadata lost",
    "tags lost",
    "other ETag",
    "objects added",
)
HEAD = """# What comes back of odd objects

A bucket with {count} objects whose keys, headers, metadata and tags have broken copiers before: every sign of ASCII,
signs that XML forbids, keys of 1,024 bytes and components of 255, twins that differ in their Unicode form only, empty
objects, names like those of our own files (`tests/functional/key_corpus.py`). It went from one MinIO to another,
directly and by way of a folder. The numbers are objects. This page is written by `tests/benchmarks/fidelity.py`; a test
compares the lines about Lifeboat with what it does today.

| way | with | {titles} |
|---|---|{rule}|
"""
NOTES = """
Lifeboat: backup into a repository, restore out of it; by way of a folder: restore into the folder, backup of the
folder, restore into the bucket. What a file system cannot name is written under another name and listed with the true
one, as are objects whose keys end in a slash; folders come back as objects of their own. rclone {rclone}: `rclone sync
--metadata`. mc of {mc}: `mc mirror -a --skip-errors`. A copier may add metadata of its own (rclone: `mtime`); that
counts as no loss. Keys that MinIO itself hides or refuses are not in the bucket, and so not in these numbers.
"""


def main() -> int:
    """Print or write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.relative_to(CHECKOUT)}")
    options, _others = parser.parse_known_args()
    with tempfile.TemporaryDirectory(prefix="lifeboat-fidelity-") as folder:
        page = measured(Path(folder))
    if options.write:
        PAGE.write_text(page, encoding="utf-8")
    else:
        print(page)
    return 0


def measured(folder: Path) -> str:
    """Return the page."""
    with contextlib.ExitStack() as stack:
        a, b = (stack.enter_context(MinioServer(folder / name)) for name in ("a", "b"))
        source, target = client_of(a), client_of(b)
        source.create_bucket(BUCKET)
        key_corpus.fill(source, BUCKET, chosen())
        before = key_corpus.state(source, BUCKET)
        lines = ours(folder, source, target, before)
        lines += _peers(Peers(a, b, folder), target, before)
    head = HEAD.format(count=len(before), titles=" | ".join(TITLES), rule="|".join(["---"] * len(TITLES)))
    examples = "\n".join(each for _line, each in lines if each)
    notes = NOTES.format(rclone=MODULES["rclone"][1], mc=MODULES["mc"][1].partition("-")[2][:8])
    return head + "\n".join(line for line, _each in sorted(lines)) + "\n" + notes + "\n" + examples + "\n"


def chosen() -> list[key_corpus.Example]:
    """Return the corpus without keys of 500 components, for which MinIO needs minutes once they are folders, and with
    one of the objects `twin` and `twin/` only: in a folder, either may give way to the other.
    """
    return [each for each in key_corpus.examples() if each.key != "twin" and not each.key.startswith("a/a/a/")]


def client_of(server: MinioServer) -> S3Client:
    return S3Client(Endpoint(server.endpoint, access_key=server.access_key, secret_key=server.secret_key))


def ours(folder: Path, source: S3Client, target: S3Client, before: t.Mapping[str, State]) -> list[tuple[str, str]]:
    """Return the lines about Lifeboat."""
    repository = folder / "repository"
    repository.mkdir()
    store = DirectoryStore(str(repository))
    identity.initialise(store)
    place, found = Place("local", store), []
    for name in ("direct", "through"):
        target.create_bucket(name)
    round_trips.back_up_bucket(source, BUCKET, place, "bucket")
    brought = round_trips.restore_to_bucket(place, "bucket", target, BUCKET, "direct", folder)
    found.append(line(ROUTES[0], OURS, before, key_corpus.state(target, "direct"), brought.renamed))
    inner = folder / "inner"
    there = round_trips.restore_to_folder(place, "bucket", BUCKET, inner, folder)
    round_trips.back_up_folder(inner, place, "folder")
    back = round_trips.restore_to_bucket(place, "folder", target, str(inner), "through", folder)
    renamed = {key: back.renamed.get(name, name) for key, name in there.renamed.items()}
    found.append(line(ROUTES[1], OURS, before, key_corpus.state(target, "through"), renamed))
    return found


def _peers(peers: Peers, target: S3Client, before: t.Mapping[str, State]) -> list[tuple[str, str]]:
    folder = peers.folder / "copies"
    folder.mkdir()
    rclone, mc = ("sync", "--metadata"), ("mirror", "-a", "--skip-errors")
    ways = {
        (ROUTES[0], "rclone"): [peers.rclone(*rclone, f"a:{BUCKET}", "b:rclone-0")],
        (ROUTES[0], "mc"): [peers.mc(*mc, f"a/{BUCKET}", "b/mc-0")],
        (ROUTES[1], "rclone"): [
            peers.rclone(*rclone, f"a:{BUCKET}", f"{folder}/r"),
            peers.rclone(*rclone, f"{folder}/r", "b:rclone-1"),
        ],
        (ROUTES[1], "mc"): [peers.mc(*mc, f"a/{BUCKET}", f"{folder}/m"), peers.mc(*mc, f"{folder}/m", "b/mc-1")],
    }
    found = []
    for (route, name), commands in ways.items():
        bucket = f"{name}-{ROUTES.index(route)}"
        target.create_bucket(bucket)
        for command in commands:
            run(command)
        found.append(line(route, name, before, key_corpus.state(target, bucket), {}))
    return found


def line(
    route: str, name: str, before: t.Mapping[str, State], after: t.Mapping[str, State], renamed: t.Mapping[str, str]
) -> tuple[str, str]:
    """Return the line of the table, and examples of what is missing."""
    found: Losses = key_corpus.losses(before, after, renamed)
    counts = [len(getattr(found, column)) for column in COLUMNS]
    examples = ", ".join(f"`{ascii(key)[1:-1]}`" for key in sorted(found.missing)[:10])
    return f"| {route} | {name} | {' | '.join(map(str, counts))} |", (
        f"- {route}, {name}: lost {examples}" if examples else ""
    )


if __name__ == "__main__":
    raise SystemExit(main())

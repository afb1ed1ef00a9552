# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Gets backups back from an encrypted repository with the recovery code alone (docs/keys.md).

It needs Python 3.6 or later and libcrypto, and nothing else: no network and no other part of Lifeboat. To decompress it
takes Python's own zstd (3.14 and later) or libzstd; where neither is there, it leaves files for the program `zstd`.
In a repository, as RESCUE/rescue.py, it is one file of three: see rescue_files.
"""

# ruff: noqa: UP006, UP007, UP031, UP032, UP035, UP045 - for Python 3.6

from __future__ import annotations

import argparse
import getpass
import hashlib
import json
import os
import re
import sys
import typing as t

from .rescue_crypto import CHUNK, RescueError, gunzipped, zstd_reader
from .rescue_keys import Repository, code_from, refuse_path, say

_UNSAFE = re.compile("[\0-\x1f\x7f-\x9f%\\\\\ud800-\udfff]")


class Restore:
    """Writes one backup into a new folder."""

    def __init__(self, repository: Repository, manifest: t.Dict[str, t.Any], into: str, is_raw: bool) -> None:
        self._repository, self._manifest, self._into = repository, manifest, into
        self._unzstd = None if is_raw else zstd_reader()
        self._lists = {}  # type: t.Dict[str, t.List[t.List[t.Any]]]
        self._packs = []  # type: t.List[str]

    def run(self) -> str:
        """Return in words what was written."""
        os.mkdir(self._into, 0o700)
        files = [each for each in self._own() if each["role"] not in ("files", "needs")]
        segments = [each for each in files if each["role"] == "segments"]
        if segments and self._unzstd is not None:
            return self._objects(segments[0])
        for each in files:
            self._file(each)
        if not segments:
            return "%d files" % len(files)
        needed = self._needed()
        for owner, line in needed:
            self._file(_as_file(owner, line))
        return "%d files, still compressed: see docs/format.md, Index of objects" % (len(files) + len(needed))

    def _own(self) -> t.List[t.Dict[str, t.Any]]:
        own = [dict(each, owner=self._manifest["id"]) for each in self._manifest["files"]]
        return own + list(self._manifest.get("taken_over", []))

    def _needed(self) -> t.List[t.Tuple[str, t.List[t.Any]]]:
        """Return owner and line of all packs and indexes: of this backup, and those it needs of earlier ones."""
        found, own = [], self._manifest["id"]
        for line in self._list(own):
            if line[1] == "pack":
                found.append((own, line))
        with open(os.path.join(self._repository.folder, "data", self._manifest["job"], own, "needs.jsonl")) as file:
            for owner, _digest, ranges in map(json.loads, file):
                numbers = [number for first, last in ranges for number in range(first, last + 1)]
                found += [(owner, self._list(owner)[number]) for number in numbers]
        return found

    def _list(self, owner: str) -> t.List[t.List[t.Any]]:
        """Return the lines of `files.jsonl` of a backup."""
        if owner not in self._lists:
            refuse_path(owner)
            name = os.path.join(self._repository.folder, "data", self._manifest["job"], owner, "files.jsonl")
            with open(name, encoding="ascii") as file:
                self._lists[owner] = [json.loads(line) for line in file]
        return self._lists[owner]

    def _compressed(self, each: t.Dict[str, t.Any]) -> t.Iterator[bytes]:
        job, owner = self._manifest["job"], each["owner"]
        return self._repository.stored(job, owner, each["name"], each["encryption"])

    def _plain(self, chunks: t.Iterable[bytes], compression: str) -> t.Iterator[bytes]:
        if compression == "zstd" and self._unzstd is not None:
            return self._unzstd(chunks)
        return gunzipped(chunks) if compression == "gzip" else iter(chunks)

    def _file(self, each: t.Dict[str, t.Any]) -> None:
        """Write one stored file, as it was before compression where that can be."""
        name = each["name"][:-4] if each["name"].endswith(".enc") else each["name"]
        is_plain = each["compression"] != "zstd" or self._unzstd is not None
        chunks = self._compressed(each)
        if is_plain:
            name = re.sub(r"\.(zst|gz)$", "", name)
            chunks = self._plain(chunks, each["compression"])
        if each["owner"] != self._manifest["id"]:
            name = each["owner"] + "-" + name
        digest = _written(os.path.join(self._into, name), chunks)
        if is_plain and each["plain_sha256"] and digest != each["plain_sha256"]:
            raise RescueError("%s is not what was backed up" % name)
        say("%s%s" % (name, "" if is_plain else " (decompress it with: zstd -d)"))

    def _objects(self, segments: t.Dict[str, t.Any]) -> str:
        """Write the objects of a bucket, or files, by the index of the backup."""
        text = b"".join(self._plain(self._compressed(segments), segments["compression"]))
        if hashlib.sha256(text).hexdigest() != segments["plain_sha256"]:
            raise RescueError("the list of segments is not what was backed up")
        count = 0
        with open(os.path.join(self._into, "objects.jsonl"), "x", encoding="ascii") as told:
            for line in text.decode("ascii").splitlines():
                collection, _first, _last, _rows, _size, digest, _listing, owner, number, offset, length = json.loads(
                    line
                )[:11]
                data = b"".join(self._part(owner, number, offset, length))
                if hashlib.sha256(data).hexdigest() != digest:
                    raise RescueError("a part of the index is not what was backed up")
                for row in map(json.loads, data.decode("ascii").splitlines()):
                    path = self._object(collection, row)
                    told.write(json.dumps([collection, row[0], path, row[8]]) + "\n")
                    count += 1
        for name in self._packs:
            os.unlink(os.path.join(self._into, name))
        for each in self._own():  # such as the settings of a bucket
            if each["role"] not in ("files", "needs", "segments", "index"):
                self._file(each)
        return "%d objects, and their properties in objects.jsonl" % count

    def _part(self, owner: str, number: int, offset: int, length: int) -> t.Iterator[bytes]:
        """Yield what some frames of an index or a pack hold."""
        each = _as_file(owner, self._list(owner)[number])
        name = ".%s-%s" % (owner, each["name"])
        if name not in self._packs:
            if len(self._packs) > 7:
                os.unlink(os.path.join(self._into, self._packs.pop(0)))
            _written(os.path.join(self._into, name), self._compressed(each))
            self._packs.append(name)
        return self._plain(_cut(os.path.join(self._into, name), offset, length), each["compression"])

    def _object(self, collection: str, row: t.List[t.Any]) -> t.Optional[str]:
        """Write an object under a name that is safe, and return that; None for what has no bytes."""
        key, size, sha256, location, properties = row[0], row[1], row[6], row[7], row[8]
        kind = properties.get("type", "file")
        if location is None and kind not in ("file", "directory"):
            return None  # links and devices: objects.jsonl says what they were
        parts = [_safe(collection).replace("/", "%2F")] + [_safe(part) for part in key.split("/") if key]
        path = self._folder(parts if kind == "directory" else parts[:-1])
        if kind == "directory":
            return os.path.relpath(path, self._into)
        path = os.path.join(path, parts[-1])
        digest = _written(path, self._bytes(location, size))
        if sha256 and digest != sha256:
            raise RescueError("%s is not what was backed up" % key)
        os.chmod(path, properties.get("mode", 0o600) & 0o777)
        return os.path.relpath(path, self._into)

    def _bytes(self, location: t.Optional[t.List[t.Any]], size: int) -> t.Iterator[bytes]:
        if location is None:
            return
        owner, pack, offset, length, skip = location
        for chunk in self._part(owner, pack, offset, length):
            piece = chunk[skip : skip + size]
            skip, size = max(0, skip - len(chunk)), size - len(piece)
            if piece:
                yield piece
        if size:
            raise RescueError("a pack ends before its object does")

    def _folder(self, parts: t.List[str]) -> str:
        """Make a folder below the target; one whose name an object has gets a percent sign."""
        path = self._into
        for part in parts:
            path = os.path.join(path, part)
            if os.path.lexists(path) and not os.path.isdir(path):
                path += "%"
            if not os.path.isdir(path):
                os.mkdir(path, 0o700)
        return path


def _as_file(owner: str, line: t.List[t.Any]) -> t.Dict[str, t.Any]:
    names = ("name", "role", "plain_size", "plain_sha256", "stored_size", "stored_sha256", "compression", "encryption")
    return dict(zip(names, line), owner=owner)


def _cut(path: str, offset: int, length: int) -> t.Iterator[bytes]:
    with open(path, "rb") as file:
        file.seek(offset)
        while length > 0:
            chunk = file.read(min(CHUNK, length))
            if not chunk:
                raise RescueError("%s is cut" % path)
            length -= len(chunk)
            yield chunk


def _written(path: str, chunks: t.Iterable[bytes]) -> str:
    """Write a new file, and return the SHA-256 of it."""
    digest = hashlib.sha256()
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
        for chunk in chunks:
            file.write(chunk)
            digest.update(chunk)
    return digest.hexdigest()


def _safe(text: str) -> str:
    """Return a part of a key as the name of a file: docs/format.md, Packs."""
    if text in ("", ".", ".."):
        return text.replace(".", "%2E") or "%"
    raw = text.encode("utf-8", "surrogateescape")
    found = _UNSAFE.sub(
        lambda each: "".join("%%%02X" % byte for byte in each.group().encode("utf-8", "surrogateescape")), text
    )
    if len(found.encode("utf-8")) > 200:
        found = found.encode("utf-8")[:120].decode("utf-8", "ignore") + "%~" + hashlib.sha256(raw).hexdigest()
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Get backups back with the recovery code alone.")
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    parser.add_argument(
        "--repository", default=here, help="the directory with lifeboat.json; by default that above this file"
    )
    parser.add_argument("--code-file", help="file with the recovery code; without, it is asked for")
    parser.add_argument("--raw", action="store_true", help="decrypt only, and leave files for the program zstd")
    commands = parser.add_subparsers(dest="command", metavar="list | check | restore")
    commands.add_parser("list", help="show jobs and backups; needs no code")
    commands.add_parser("check", help="open the keys and write nothing")
    restore = commands.add_parser("restore", help="write a backup into a new folder")
    restore.add_argument("job")
    restore.add_argument("backup", help="an id, or latest")
    restore.add_argument("into", help="a folder that is not there yet")
    return parser


def _unlocked(options: argparse.Namespace) -> Repository:
    repository = Repository(options.repository)
    if options.code_file:
        with open(options.code_file, encoding="utf-8") as file:
            text = file.read()
    else:
        text = getpass.getpass("Recovery code: ")
    repository.unlock(code_from(text))
    return repository


def _done(options: argparse.Namespace) -> str:
    if options.command == "list":
        repository = Repository(options.repository)
        for job in repository.names("manifests"):
            for name in repository.names("manifests", job):
                sys.stdout.write("%s %s\n" % (job, name[:-5]))
        return "these are all"
    repository = _unlocked(options)
    if options.command == "check":
        return "the code opens epochs %s of keyring %s" % (", ".join(sorted(repository.epochs)), repository.keyring)
    manifest = repository.manifest(options.job, options.backup)
    said = Restore(repository, manifest, options.into, options.raw).run()
    return "%s are in %s" % (said, options.into)


def main(arguments: t.Optional[t.List[str]] = None) -> int:
    """Do what the command line says, and return 0 when all of it was done."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return 2
    try:
        say(_done(options))
    except (RescueError, OSError, ValueError, KeyError) as error:
        say("Failed: %s" % error)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backups of directories that are held in memory, and pictures of directories to compare."""

from __future__ import annotations

import hashlib
import os
import stat
import typing as t

from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.directory_source import DirectorySource
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.directory_target import DirectoryTarget
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.rows import Row, from_line, to_line
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.target import Written

Backup = t.List[t.Tuple[Row, bytes]]  # noqa: UP006 - evaluated on Python 3.9

C = "bucket"


def object_row(key: str, data: bytes = b"", **properties: t.Any) -> Row:
    """Return a row as a bucket has it."""
    etag, moment = hashlib.md5(data).hexdigest(), "2026-11-21T02:36:20.639906Z"
    return Row(key, len(data), etag, moment, "", "", hashlib.sha256(data).hexdigest(), None, properties)


def file_row(key: str, data: bytes = b"", **properties: t.Any) -> Row:
    """Return a row as a directory has it."""
    own = {"mode": 0o640, "uid": os.geteuid(), "gid": os.getegid(), "mtime_ns": 1_700_000_000_123_456_789}
    return object_row(key, data)._replace(properties={**own, **properties})


def taken(source: DirectorySource, collection: str) -> Backup:
    """Read everything of a root, as rows that went through an index."""
    backup = []
    for item in source.items(collection):
        described, data = source.read_whole(collection, item)
        digest = hashlib.sha256(data).hexdigest() if described.has_bytes else ""
        row = Row(*described.item, described.version, digest, None, described.properties)
        backup.append((from_line(to_line(row)), data))
    return backup


def brought(target: DirectoryTarget, collection: str, backup: Backup) -> tuple[list[Written], list[str]]:
    """Write everything to a directory, hard links after all else, and return what became of it."""
    target.prepare(collection)
    links = [each for each in backup if each[0].properties.get("type") == "hardlink"]
    others = [each for each in backup if each[0].properties.get("type") != "hardlink"]
    written = [target.write(collection, row, iter([data] if data else [])) for row, data in [*others, *links]]
    return written, list(target.finish(collection))


def picture(folder: str | os.PathLike[str], with_times: bool = True) -> dict[bytes, t.Any]:
    """Return all that can be known of what is in a directory, by path, without reading through links."""
    seen: dict[tuple[int, int], bytes] = {}
    found: dict[bytes, t.Any] = {}
    root = os.fsencode(folder)
    paths = [root]
    for above, folders, files in os.walk(root):
        paths += [os.path.join(above, name) for name in (*folders, *files)]
    for path in sorted(paths):
        facts = os.lstat(path)
        key = os.path.relpath(path, root)
        same_as = seen.setdefault((facts.st_dev, facts.st_ino), key) if not stat.S_ISDIR(facts.st_mode) else key
        found[key] = {
            "mode": oct(facts.st_mode),
            "owner": (facts.st_uid, facts.st_gid),
            "time": facts.st_mtime_ns if with_times else 0,
            "link": os.readlink(path) if stat.S_ISLNK(facts.st_mode) else b"",
            "device": facts.st_rdev if stat.S_ISCHR(facts.st_mode) or stat.S_ISBLK(facts.st_mode) else 0,
            "same as": same_as,
            "attributes": {
                name: os.getxattr(path, name, follow_symlinks=False)
                for name in os.listxattr(path, follow_symlinks=False)
            },
        }
        if stat.S_ISREG(facts.st_mode):
            with open(path, "rb") as file:
                found[key]["bytes"] = hashlib.sha256(file.read()).hexdigest()
            found[key]["is sparse"] = facts.st_blocks * 512 < facts.st_size
    return found

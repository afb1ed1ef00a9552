# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import collections
import json
import tempfile
import threading
import typing as t

SAMPLE = 20  # remarks that a result shows
_IN_MEMORY = 1024 * 1024  # bytes; more goes to a temporary file
_CHUNK = 1024 * 1024

UNREADABLE = "unreadable"  # the object could not be read, and the backup does not have it
OUTDATED = "outdated"  # the object could not be read, and the backup has it as the last one had it
UNSEEN = "unseen"  # something of it is not in the backup because the access key may not read it
SKIPPED = "skipped"  # left out although nobody asked for that: a socket, a name that cannot be stored


class Remarks:
    """What a run has to say about single objects: all of it, in constant memory, whatever thread says it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: t.IO[bytes] = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - closed by `close`
        self._counts: collections.Counter[str] = collections.Counter()
        self._sample: list[str] = []

    def add(self, collection: str, key: str, what: str, why: str) -> None:
        """Take a remark; `what` is one word for what became of the object."""
        line = json.dumps([collection, key, what, why], separators=(",", ":")).encode("ascii") + b"\n"
        with self._lock:
            self._lines.write(line)
            self._counts[what] += 1
            if len(self._sample) < SAMPLE:
                self._sample.append(f"{what}: {shown(collection, key)}: {why}")

    def clear(self) -> None:
        """Forget everything: the run starts over."""
        with self._lock:
            self._lines.seek(0)
            self._lines.truncate()
            self._counts.clear()
            self._sample.clear()

    def close(self) -> None:
        self._lines.close()

    @property
    def counts(self) -> dict[str, int]:
        """Return how many remarks there are, by what became of the objects."""
        return dict(self._counts)

    @property
    def sample(self) -> tuple[str, ...]:
        return tuple(self._sample)

    def chunks(self) -> t.Iterator[bytes]:
        """Yield the lines, a JSON array [collection, key, what, why] for each remark; adding has ended."""
        self._lines.seek(0)
        yield from iter(lambda: self._lines.read(_CHUNK), b"")


def shown(collection: str, key: str) -> str:
    """Return an object for people; names may hold anything, and bytes that are no text."""
    return ascii(f"{collection}/{key}")[1:-1]

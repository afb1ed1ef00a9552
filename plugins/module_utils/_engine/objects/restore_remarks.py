# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import threading
import typing as t

from .restore_plan import SAMPLE, printable


class Remarks:
    """What did not go as the backup has it, object by object: all of it in a file, the first few for results.

    Several threads may add.
    """

    def __init__(self, file: t.BinaryIO | None = None) -> None:
        self._file = file
        self._lock = threading.Lock()
        self.count = 0
        self.sample: list[dict[str, str]] = []

    def add(self, collection: str, key: str, what: str, why: str) -> None:
        """Take a remark on an object: `what` became of it, and why."""
        fields = {"collection": printable(collection), "key": printable(key), "what": what, "why": printable(why)}
        with self._lock:
            self.count += 1
            if len(self.sample) < SAMPLE:
                self.sample.append(fields)
            if self._file is not None:
                self._file.write(json.dumps(fields, sort_keys=True).encode("ascii") + b"\n")

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import itertools
import json
import tempfile
import types
import typing as t

from ..errors import LifeboatError
from ..repository.whole_file import whole_file
from .mirror_plan import Action, Difference, Step
from .rows import Item


class Spool:
    """The steps of a plan, kept in an unnamed file so that memory does not depend on their number."""

    def __init__(self) -> None:
        self._file: t.IO[bytes] = tempfile.TemporaryFile(prefix="lifeboat-mirror-")  # noqa: SIM115 - closed by `close`
        self._size = 0

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: types.TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the file back."""
        self._file.close()

    def fill(self, differences: t.Iterable[Difference]) -> None:
        """Keep all that comes."""
        for each in differences:
            self._size += self._file.write(_line(each))
        self._file.flush()

    def __iter__(self) -> t.Iterator[Difference]:
        """Read all from the begin."""
        return self.part(0, 1)

    def part(self, number: int, parts: int) -> t.Iterator[Difference]:
        """Read every so manyeth step; readers in processes that were forked off do not disturb each other."""
        with open(f"/proc/self/fd/{self._file.fileno()}", "rb") as file:
            for line in itertools.islice(file, number, None, parts):
                yield _difference(line)


def _line(difference: Difference) -> bytes:
    steps = [[step.target, step.action.value, step.own] for step in difference.steps]
    return json.dumps([difference.key, difference.item, steps], separators=(",", ":")).encode("ascii") + b"\n"


def _difference(line: bytes) -> Difference:
    key, item, steps = json.loads(line)
    return Difference(
        key, _item(item), tuple(Step(number, Action(action), _item(own)) for number, action, own in steps)
    )


def _item(fields: list[t.Any] | None) -> Item | None:
    return None if fields is None else Item(*fields)


def write_plan_file(path: str, differences: t.Iterable[Difference], names: t.Sequence[str]) -> None:
    """Write a plan as a file of JSON lines, one for each step: target, action, key, bytes.

    The file appears as a whole, and only its owner may read it: keys can be secrets. Raises LifeboatError.
    """
    try:
        with whole_file(path) as file:
            for difference in differences:
                file.writelines(row.encode("ascii") for row in _rows(difference, names))
    except OSError as error:
        raise LifeboatError(
            f"Cannot write the plan to {path}", error.strerror or str(error), "name a file in a folder that is there"
        ) from error


def _rows(difference: Difference, names: t.Sequence[str]) -> t.Iterator[str]:
    for step in difference.steps:
        subject = difference.item or step.own
        row = {
            "target": names[step.target],
            "action": step.action.value,
            "key": difference.key,
            "bytes": subject.size if subject else 0,
        }
        yield json.dumps(row) + "\n"

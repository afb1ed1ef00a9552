# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files that are written as a whole or not at all: plans and remarks, and what the host remembers."""

from __future__ import annotations

import contextlib
import typing as t

from ..errors import UsageError
from ..objects.remarks import Remarks
from ..repository.whole_file import check_place, whole_file


@contextlib.contextmanager
def written_whole(path: str) -> t.Iterator[t.BinaryIO | None]:
    """Write a file of the operator as a whole or not at all; names of objects are for nobody else."""
    if not path:
        yield None
        return
    try:
        with contextlib.ExitStack() as stack:
            yield stack.enter_context(whole_file(path))
    except OSError as error:
        raise _refused(path, error) from error


def check_report(path: str) -> None:
    """Raise UsageError where `written_whole` could not write a file; an empty path is none."""
    if path:
        try:
            check_place(path)
        except OSError as error:
            raise _refused(path, error) from error


def _refused(path: str, error: OSError) -> UsageError:
    return UsageError(f"Cannot write {path}", error.strerror or str(error), "name a file in a folder that is there")


def write_remarks(path: str, remarks: Remarks) -> None:
    """Write all remarks to a file of the operator; an empty path is none."""
    with written_whole(path) as file:
        if file is not None:
            for chunk in remarks.chunks():
                file.write(chunk)


def replaced_whole(path: str, data: bytes, mode: int) -> None:
    """Put a file in the place of another one, or of nothing, at one moment (`whole_file`). Raises OSError."""
    with whole_file(path, mode) as file:
        file.write(data)

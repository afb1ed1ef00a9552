# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import signal
import sys
import typing as t

from ..errors import LifeboatError
from .worker_processes import most_processes

_WORTH = 1_000  # objects: for fewer a second process wins nothing

Answer = t.Dict[str, t.Any]  # JSON  # noqa: UP006 - evaluated at run time on Python 3.9 as well


def processes_for(objects: int, threads: int) -> int:
    """Return how many processes are to copy: one Python interpreter alone uses one core, and servers need some too."""
    if objects < _WORTH:
        return 1
    return max(1, most_processes(threads))


def in_processes(count: int, work: t.Callable[[int], Answer]) -> list[Answer]:
    """Let `count` children each do its part of the work, and return what each answers, in the order of their numbers.

    There must be no other threads. Raises LifeboatError where a child does not answer.
    """
    children: list[tuple[int, int]] = []
    try:
        for number in range(count):
            children.append(_forked(number, work))
        return [_answer_of(reader) for _pid, reader in children]
    finally:
        _end(children)


def _forked(number: int, work: t.Callable[[int], Answer]) -> tuple[int, int]:
    reader, writer = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        os.close(writer)
        return pid, reader
    status = 1
    try:
        os.close(reader)
        answer = json.dumps(work(number)).encode("ascii")
        with open(writer, "wb") as pipe:
            pipe.write(answer)
        status = 0
    except BaseException as error:  # nothing of the parent's work may go on here
        os.write(2, f"{type(error).__name__}: {error}\n".encode("utf-8", "replace"))
    finally:
        os._exit(status)


def _answer_of(reader: int) -> Answer:
    with open(reader, "rb", closefd=False) as pipe:
        text = pipe.read()
    if not text:
        raise LifeboatError(
            "A process of the mirror ended early", "it gave no answer", "run it again: it goes on with what is missing"
        )
    answer: Answer = json.loads(text)
    return answer


def _end(children: t.Sequence[tuple[int, int]]) -> None:
    """End what still runs, and wait for all: a child that has answered ends by itself."""
    for pid, reader in children:
        os.close(reader)
        found, _status = os.waitpid(pid, os.WNOHANG)
        if not found:
            os.kill(pid, signal.SIGTERM)
    for pid, _reader in children:
        try:
            os.waitpid(pid, 0)
        except ChildProcessError:  # it was seen to have ended above
            continue

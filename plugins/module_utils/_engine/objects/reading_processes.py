# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import pickle
import select
import signal
import socket
import struct
import threading
import types
import typing as t

from ..errors import LifeboatError
from .batch_reading import Batch, Built, Compress, Job, read_batches
from .source import ReadsSeveral

Report = t.Callable[[str, str, str, str], None]  # collection, key, what, why
Open = t.Callable[[Report], ReadsSeveral]

_MOST = 4
_LENGTH = struct.Struct(">Q")
_BUILT, _REPORT, _FAILED = "built", "report", "failed"


def processes_for(threads: int) -> int:
    """Return how many processes are to read: one Python interpreter alone uses one core, and servers need some too.

    0 where this one reads alone: on small machines, and where there are threads already, which must not be forked.
    """
    if threading.active_count() > 1:
        return 0
    count = min(_MOST, len(os.sched_getaffinity(0)) // 2, threads // 4)
    return count if count > 1 else 0


class ReadingProcesses:
    """Children that read batches of small objects, each by one thread with several requests on their way.

    They speak with this process alone, by sockets, and end with it. A child that ends early is the failure of all that
    it was to read.
    """

    def __init__(self, open_source: Open, compress: Compress, count: int, threads: int, report: Report) -> None:
        """Fork them; there must be no other threads yet. `report` takes what their sources tell, from any thread."""
        self._report = report
        self._told: set[tuple[str, str, str, str]] = set()
        self._lock = threading.Lock()
        self._last = 0
        self._futures: list[dict[int, concurrent.futures.Future[Built]]] = [{} for _child in range(count)]
        self._children: list[tuple[int, socket.socket]] = []
        self._threads: list[threading.Thread] = []
        try:
            for _child in range(count):
                self._children.append(_forked(open_source, compress, -(-threads // count)))
        except BaseException:
            self._end()
            raise
        self._threads = [
            threading.Thread(target=self._listen, args=(number,), name=f"lifeboat-readers-{number}", daemon=True)
            for number in range(count)
        ]

    def __enter__(self) -> ReadingProcesses:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: types.TracebackType | None
    ) -> None:
        self._end()

    def submit(self, collection: str, jobs: t.Sequence[Job]) -> concurrent.futures.Future[Built]:
        """Have some objects read by the child that has the least to do."""
        future: concurrent.futures.Future[Built] = concurrent.futures.Future()
        with self._lock:
            number = min(range(len(self._children)), key=lambda each: len(self._futures[each]))
            self._last += 1
            self._futures[number][self._last] = future
            token = self._last
        try:
            _send(self._children[number][1], (token, collection, list(jobs)))
        except OSError:
            self._lose(number, _early())
        return future

    def _listen(self, number: int) -> None:
        """Take what a child says, until it ends."""
        connection = self._children[number][1]
        error: BaseException = _early()
        with contextlib.suppress(OSError, EOFError):
            while True:
                word, *rest = _receive(connection)
                if word == _BUILT:
                    with self._lock:
                        future = self._futures[number].pop(rest[0])
                    future.set_result(rest[1])
                elif word == _REPORT:
                    self._tell(t.cast("tuple[str, str, str, str]", tuple(rest)))
                else:
                    error = _rebuilt(*rest)
                    break
        self._lose(number, error)

    def _tell(self, words: tuple[str, str, str, str]) -> None:
        """Pass on what a source tells; what concerns a whole collection each child finds out by itself."""
        with self._lock:
            is_known = not words[1] and words in self._told
            if not words[1]:
                self._told.add(words)
        if not is_known:
            self._report(*words)

    def _lose(self, number: int, error: BaseException) -> None:
        with self._lock:
            lost = list(self._futures[number].values())
            self._futures[number].clear()
        for future in lost:
            future.set_exception(error)

    def _end(self) -> None:
        for _pid, connection in self._children:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for pid, _connection in self._children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)  # it has nothing of its own to finish
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
        for thread in self._threads:
            if thread.ident is not None:  # a failure or a signal may have come before it was started
                thread.join()
        for _pid, connection in self._children:
            connection.close()


def _early() -> LifeboatError:
    return LifeboatError(
        "A process that reads objects ended early", "it was killed, or there is no memory left", "run the job again"
    )


def _forked(open_source: Open, compress: Compress, at_once: int) -> tuple[int, socket.socket]:
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid:
        theirs.close()
        return pid, ours
    try:
        _forget_files(theirs.fileno())
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # who gets these ends the connection, and with it this process
        _serve(theirs, open_source, compress, at_once)
    finally:
        os._exit(0)


def _forget_files(own: int) -> None:
    """Let go of the parent's files, such as its locks: their numbers stay taken, as objects that nobody uses any more
    may still close them.
    """
    nothing = os.open(os.devnull, os.O_RDWR)
    for name in os.listdir("/proc/self/fd"):
        number = int(name)
        if number > 2 and number not in (own, nothing):
            with contextlib.suppress(OSError):
                os.fstat(number)
                os.dup2(nothing, number, inheritable=False)


def _serve(connection: socket.socket, open_source: Open, compress: Compress, at_once: int) -> None:
    """Be a child."""
    try:
        source = open_source(lambda *words: _send(connection, (_REPORT, *words)))
        poll = select.poll()
        poll.register(connection, select.POLLIN)

        def take(may_wait: bool) -> Batch | None:
            if not may_wait and not poll.poll(0):
                return None
            token, collection, jobs = _receive(connection)
            return Batch(source, collection, jobs, token)

        for batch, built in read_batches(source, compress, at_once, take):
            _send(connection, (_BUILT, batch.token, built))
    except (EOFError, OSError):
        return  # the parent has ended, or needs nothing more
    except BaseException as error:  # whatever it is, the parent must hear of it
        _send(connection, (_FAILED, type(error), error.args, error.__dict__))


def _rebuilt(kind: type[BaseException], arguments: tuple[t.Any, ...], members: dict[str, t.Any]) -> BaseException:
    error = kind.__new__(kind, *arguments)
    error.args = arguments
    error.__dict__.update(members)
    return error


def _send(connection: socket.socket, message: t.Any) -> None:
    data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    connection.sendall(_LENGTH.pack(len(data)))
    connection.sendall(data)


def _receive(connection: socket.socket) -> t.Any:
    """Read a message. Raises EOFError when the other side has ended."""
    (length,) = _LENGTH.unpack(_exactly(connection, _LENGTH.size))
    return pickle.loads(_exactly(connection, length))


def _exactly(connection: socket.socket, count: int) -> bytearray:
    data = bytearray(count)
    rest = memoryview(data)
    while rest:
        got = connection.recv_into(rest)
        if not got:
            raise EOFError
        rest = rest[got:]
    return data

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import gc
import os
import pickle
import select
import signal
import socket
import struct
import threading
import types
import typing as t

from .. import clock
from ..errors import LifeboatError

Tell = t.Callable[..., None]
Take = t.Callable[[bool], t.Optional[t.Tuple[int, t.Any]]]  # noqa: UP006 - evaluated at run time on Python 3.9 as well
# What a child does: it takes numbered orders as from an `OrderQueue`, yields (number, result) of each, and may tell.
Work = t.Callable[[Tell, Take], t.Iterator[t.Tuple[int, t.Any]]]  # noqa: UP006

_MOST = 4
_THREADS = 4  # that a process has at least
_LENGTH = struct.Struct(">Q")
_ROOM = 64 * 1024  # bytes: smaller messages are sent in one piece, and several are received at once
_PATIENCE_S = 0.01  # how long a result may wait for others, while these come
_DONE, _TOLD, _FAILED = "done", "told", "failed"


def processes_for(threads: int) -> int:
    """Return how many processes are to work: one Python interpreter alone uses one core, and servers need some too.

    0 where this one works alone: on small machines, and where there are threads already, which must not be forked.
    """
    count = 0 if threading.active_count() > 1 else most_processes(threads)
    return count if count > 1 else 0


def most_processes(threads: int) -> int:
    """Return how many processes find cores of their own, and share `threads` so that each has enough."""
    return min(_MOST, len(os.sched_getaffinity(0)) // 2, threads // _THREADS)


class WorkerProcesses:
    """Children that carry out orders, each as it likes.

    They speak with this process alone, by sockets, and end with it. A child that ends early is the failure of all that
    it had in hand. Orders and results are pickled; secrets and open files stay where they are.
    """

    def __init__(self, work: Work, count: int, tell: Tell | None = None, together: int = 1) -> None:
        """Fork them; there must be no other threads yet. `tell` takes what the children tell, from any thread, and
        `together` is how many results they may send at once.
        """
        self._told = tell
        self._lock = threading.Lock()
        self._last = 0
        self._futures: list[dict[int, concurrent.futures.Future[t.Any]]] = [{} for _child in range(count)]
        self._children: list[tuple[int, socket.socket]] = []
        self._threads: list[threading.Thread] = []
        try:
            for _child in range(count):
                self._children.append(_forked(work, together))
        except BaseException:
            self._end()
            raise
        self._threads = [
            threading.Thread(target=self._listen, args=(number,), name=f"lifeboat-workers-{number}", daemon=True)
            for number in range(count)
        ]

    def __enter__(self) -> WorkerProcesses:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: types.TracebackType | None
    ) -> None:
        self._end()

    def submit(self, order: t.Any) -> concurrent.futures.Future[t.Any]:
        """Give an order to the child that has the least to do."""
        future: concurrent.futures.Future[t.Any] = concurrent.futures.Future()
        self.submit_all([(order, future)])
        return future

    def submit_all(self, orders: t.Sequence[tuple[t.Any, concurrent.futures.Future[t.Any]]]) -> None:
        """Give orders to the child that has the least to do, with the futures that get the results."""
        with self._lock:
            number = min(range(len(self._children)), key=lambda each: len(self._futures[each]))
            numbered = list(enumerate(orders, self._last + 1))
            self._last += len(numbered)
            self._futures[number].update({token: future for token, (_order, future) in numbered})
        try:
            _send(self._children[number][1], [(token, order) for token, (order, _future) in numbered])
        except OSError:
            self._lose(number, _early())

    def _listen(self, number: int) -> None:
        """Take what a child says, until it ends."""
        messages = _Messages(self._children[number][1])
        error: BaseException = _early()
        with contextlib.suppress(OSError, EOFError):
            while True:
                word, *rest = messages.next()
                if word == _DONE:
                    with self._lock:
                        done = [(self._futures[number].pop(token), result) for token, result in rest[0]]
                    for future, result in done:
                        future.set_result(result)
                elif word == _TOLD and self._told is not None:
                    self._told(*rest)
                elif word == _FAILED:
                    error = _rebuilt(*rest)
                    break
        self._lose(number, error)

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
        "A process that reads or writes objects ended early",
        "it was killed, or there is no memory left",
        "run it again",
    )


def _forked(work: Work, together: int) -> tuple[int, socket.socket]:
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid:
        theirs.close()
        return pid, ours
    try:
        _forget_files(theirs.fileno())
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # who gets these ends the connection, and with it this process
        _serve(theirs, work, together)
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


def _serve(connection: socket.socket, work: Work, together: int) -> None:
    """Be a child."""
    messages = _Messages(connection)
    orders: collections.deque[tuple[int, t.Any]] = collections.deque()
    results = _Results(connection, together)

    def take(may_wait: bool) -> tuple[int, t.Any] | None:
        if not orders:
            if may_wait:
                results.send()
            elif not messages.has_begun():
                return None
            orders.extend(messages.next())
        return orders.popleft()

    gc.freeze()  # what came from the parent is there for good: no need to go through it again and again
    try:
        for token, result in work(lambda *words: _send(connection, (_TOLD, *words)), take):
            results.add(token, result)
    except (EOFError, OSError):
        return  # the parent has ended, or needs nothing more
    except BaseException as error:  # whatever it is, the parent must hear of it
        results.send()
        _send(connection, (_FAILED, type(error), error.args, error.__dict__))


class _Results:
    """What a child has done, on its way to the parent."""

    def __init__(self, connection: socket.socket, together: int) -> None:
        self._connection = connection
        self._together = together
        self._done: list[tuple[int, t.Any]] = []
        self._until_s = 0.0  # when the first of them is to be sent, on the monotonic clock

    def add(self, token: int, result: t.Any) -> None:
        """Send a result, with others where they come quickly."""
        if not self._done:
            self._until_s = clock.monotonic() + _PATIENCE_S
        self._done.append((token, result))
        if len(self._done) >= self._together or clock.monotonic() >= self._until_s:
            self.send()

    def send(self) -> None:
        """Send what there is."""
        if self._done:
            _send(self._connection, (_DONE, self._done))
            self._done.clear()


def _rebuilt(kind: type[BaseException], arguments: tuple[t.Any, ...], members: dict[str, t.Any]) -> BaseException:
    error = kind.__new__(kind, *arguments)
    error.args = arguments
    error.__dict__.update(members)
    return error


def _send(connection: socket.socket, message: t.Any) -> None:
    data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    head = _LENGTH.pack(len(data))
    if len(data) <= _ROOM:
        connection.sendall(head + data)
    else:
        connection.sendall(head)
        connection.sendall(data)


class _Messages:
    """The messages of the other side. Small ones are taken from the connection together."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)
        self._room = memoryview(bytearray(_ROOM))
        self._start = self._end = 0  # of what was received and not taken yet

    def has_begun(self) -> bool:
        """Say whether at least the beginning of a message is there."""
        return self._start < self._end or bool(self._poll.poll(0))

    def next(self) -> t.Any:
        """Wait for a message. Raises EOFError when the other side has ended."""
        (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size))
        return pickle.loads(self._exactly(length))

    def _exactly(self, count: int) -> memoryview:
        data = memoryview(bytearray(count))
        done = 0
        while done < count:
            if self._start == self._end and count - done >= _ROOM:
                done += self._received(data[done:])
                continue
            if self._start == self._end:
                self._start, self._end = 0, self._received(self._room)
            piece = self._room[self._start : min(self._end, self._start + count - done)]
            data[done : done + len(piece)] = piece
            self._start += len(piece)
            done += len(piece)
        return data

    def _received(self, room: memoryview) -> int:
        got = self._connection.recv_into(room)
        if not got:
            raise EOFError
        return got

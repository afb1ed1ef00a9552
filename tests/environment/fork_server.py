# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Forks a process, which has imported what takes long, for each program that is to run."""

from __future__ import annotations

import atexit
import gc
import marshal
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
import types
import typing as t
from pathlib import Path

_LENGTH_BYTES = 4  # of an order, before it
_KILLED = 137  # what a shell says of a program that SIGKILL ended
# It asks for the fork, and waits for its end.
_CLIENT = """#!{python} -IS
import _socket, marshal, os, sys

argv = sys.argv[{begin}:]
if {begin} and argv and not argv[0].endswith(".py"):  # an option, or a command with its modules in one file
    os.execv({python!r}, [{python!r}, *argv])
server = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
server.connect({path!r})
streams = b"".join(number.to_bytes(4, sys.byteorder) for number in range(3))
order = marshal.dumps((argv, os.getcwd(), dict(os.environ)))
length = len(order).to_bytes({length_bytes}, "big")
server.sendmsg([length], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)])
server.sendall(order)
status = server.recv(1)
os._exit(status[0] if status else {killed})
"""


def start(words: t.Sequence[object], folder: Path, environment: t.Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a Python program that ends in `serve`, with the number of a listening socket and a folder as last words.

    The socket lies in the folder, which is the program's from now on. It ends when its standard input does.
    """
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "socket"))
        listening.listen()
        number = listening.fileno()
        command = [sys.executable, *(str(word) for word in words), str(number), str(folder)]
        return subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[number], env=dict(environment))


def interpreter(folder: Path) -> Path:
    """Write a program that Ansible can start as interpreter: it asks the server of a folder for a fork."""
    return _client(folder / "python", begin=1)


def program(folder: Path) -> Path:
    """Write a program that is what the server of a folder is for: it asks for a fork, with what it is called."""
    return _client(folder / "program", begin=0)


def _client(path: Path, begin: int) -> Path:
    """Write a client that hands on its arguments from this one on."""
    values = {"python": sys.executable, "path": str(path.with_name("socket")), "begin": begin}
    path.write_text(_CLIENT.format(**values, length_bytes=_LENGTH_BYTES, killed=_KILLED))
    path.chmod(0o755)
    return path


def ran(
    server: Path,
    argv: t.Sequence[str],
    folder: Path,
    environment: t.Mapping[str, str],
    out: t.IO[bytes],
    err: t.IO[bytes],
) -> int:
    """Run what the server of a folder is for, and return its exit code."""
    order = marshal.dumps((list(argv), str(folder), dict(environment)))
    with socket.socket(socket.AF_UNIX) as asking, open(os.devnull, "rb") as nothing:
        asking.connect(str(server / "socket"))
        streams = [nothing.fileno(), out.fileno(), err.fileno()]
        socket.send_fds(asking, [len(order).to_bytes(_LENGTH_BYTES, "big")], streams)
        asking.sendall(order)
        status = asking.recv(1)
    return status[0] if status else _KILLED


def serve(listening: int, folder: Path, execute: t.Callable[[], None]) -> None:
    """Fork for each order until there is nobody left who could give one; then remove the folder."""
    gc.collect()
    gc.freeze()  # else the first search for cycles of each fork would copy most of the memory
    try:
        with socket.socket(fileno=listening) as given:
            _serve(given, execute)
    finally:
        shutil.rmtree(folder)


def execute_file() -> None:
    """Execute the program in the file that is named first, or in standard input."""
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    path = sys.argv[0] if sys.argv else ""
    sys.argv = sys.argv or [""]
    if path:
        main.__file__ = path
    with open(path or 0, "rb", closefd=bool(path)) as source:
        code = compile(source.read(), path or "<stdin>", "exec")
    exec(code, vars(main))


def _serve(listening: socket.socket, execute: t.Callable[[], None]) -> None:
    """Fork for each order until whoever started this has gone."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks
    while True:
        ready, _writable, _failed = select.select([listening.fileno(), 0], [], [])
        if 0 in ready:
            return
        connection, _address = listening.accept()
        if os.fork() == 0:
            listening.close()
            _carry_out(connection, execute)
        connection.close()


def _carry_out(connection: socket.socket, execute: t.Callable[[], None]) -> t.NoReturn:
    """Take an order, become what it asks for, and say how that ended."""
    status = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        atexit._clear()
        _take_over(connection)
        status = _status_of(execute)
        threading._shutdown()  # type: ignore[attr-defined] # waits for threads, as interpreters do in the end
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        connection.sendall(bytes([status & 0xFF]))
        os._exit(status & 0xFF)


def _take_over(connection: socket.socket) -> None:
    length, streams, _flags, _address = socket.recv_fds(connection, _LENGTH_BYTES, 3)
    order = b""
    while len(order) < int.from_bytes(length, "big"):
        order += connection.recv(1 << 20)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.argv, folder, environment = marshal.loads(order)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None


def _status_of(execute: t.Callable[[], None]) -> int:
    """Return the exit code that an interpreter has for how a program ends."""
    try:
        execute()
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        sys.stderr.write(f"{end.code}\n")
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An interpreter for the modules of playbooks under test that forks instead of starting anew.

Most of the time of a module on this host would be the start of an interpreter that compiles what Ansible sends. Here
one process has imported the same sources already, and forks for each module; what Ansible sends is still what tells
the fork which module to run, and with what. That everything a module needs is sent is what ansible-test and the
scenarios on other hosts see.
"""

from __future__ import annotations

import atexit
import functools
import gc
import importlib
import marshal
import os
import pkgutil
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

_MODULE_UTILS = "ansible_collections.lifeboat.recovery.plugins.module_utils"
_BUILTIN = ("command", "copy", "file", "find", "setup", "slurp", "stat")
_OTHERS = ("base64", "concurrent.futures.thread", "psycopg2", "shutil", "tempfile", "zipfile")
# What Ansible starts: a small program, which lets the server run the module with its own streams and waits for the end.
_CLIENT = """#!{python} -IS
import _socket, marshal, os, sys

if sys.argv[1:2] and sys.argv[1].startswith("-"):
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
umask = os.umask(0o077)
server = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
server.connect({path!r})
streams = b"".join(number.to_bytes(4, sys.byteorder) for number in range(3))
order = marshal.dumps((sys.argv[1:], os.getcwd(), dict(os.environ), umask))
server.sendmsg([len(order).to_bytes(4, "big")], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)])
server.sendall(order)
status = server.recv(1)
os._exit(status[0] if status else 137)
"""


@functools.cache
def interpreter() -> str:
    """Return the path of the interpreter, whose server ends with this process."""
    folder = Path(tempfile.mkdtemp(prefix="lbw-", dir="/tmp"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path, listening = folder / "socket", socket.socket(socket.AF_UNIX)
    with listening:
        listening.bind(str(path))
        listening.listen()
        words = [sys.executable, __file__, str(listening.fileno())]
        process = subprocess.Popen(words, stdin=subprocess.PIPE, pass_fds=[listening.fileno()])
    atexit.register(process.communicate)  # closes its input, which ends it
    client = folder / "python"
    client.write_text(_CLIENT.format(python=sys.executable, path=str(path)))
    client.chmod(0o755)
    return str(client)


def _serve(listening: socket.socket) -> None:
    """Fork for each order until whoever started this has gone."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks
    while True:
        ready, _writable, _failed = select.select([listening, 0], [], [])
        if 0 in ready:
            return
        connection, _address = listening.accept()
        if os.fork() == 0:
            listening.close()
            _be_interpreter(connection)
        connection.close()


def _be_interpreter(connection: socket.socket) -> t.NoReturn:
    """Be the interpreter that a client asks for, and tell it how that ended."""
    status = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _length, streams, _flags, _address = socket.recv_fds(connection, 4, 3)
        order = _received(connection, int.from_bytes(_length, "big"))
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        status = _status_of(functools.partial(_execute, *marshal.loads(order)))
        threading._shutdown()  # type: ignore[attr-defined] # waits for threads, as an interpreter does in the end
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        connection.sendall(bytes([status & 0xFF]))
        os._exit(status)


def _received(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += connection.recv(size - len(data))
    return data


def _execute(arguments: t.Sequence[str], folder: str, environment: t.Mapping[str, str], umask: int) -> None:
    """Execute the file that the first argument names, or standard input."""
    os.chdir(folder)
    os.umask(umask)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None
    sys.argv = list(arguments) or [""]
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    if arguments:
        main.__file__ = arguments[0]
    with open(arguments[0] if arguments else 0, "rb", closefd=bool(arguments)) as source:
        code = compile(source.read(), arguments[0] if arguments else "<stdin>", "exec")
    exec(code, vars(main))


def _status_of(work: t.Callable[[], None]) -> int:
    """Return the exit code that an interpreter has for how a program ended."""
    try:
        work()
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _preload() -> None:
    from ansible.module_utils._internal._ansiballz import _loader  # noqa: F401

    for name in _OTHERS:
        importlib.import_module(name)
    for name in _BUILTIN:
        importlib.import_module(f"ansible.modules.{name}")
    ours = importlib.import_module(_MODULE_UTILS)
    for each in pkgutil.walk_packages(ours.__path__, f"{_MODULE_UTILS}."):
        importlib.import_module(each.name)
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    sys.path.pop(0)
    _preload()
    atexit._clear()  # of what was imported here
    with socket.socket(fileno=int(sys.argv[1])) as given:
        _serve(given)

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Interpreters for playbooks and commands under test that fork instead of starting anew.

Most of the time of a small playbook on this host would be imports: those of Ansible, and for each module those of what
Ansible sends, which is compiled every time; and most of the time of the host command, too. Here one process has
imported Ansible, another one the sources that are sent, a third one the file of the host command; each forks for what
is to run, and is given arguments, streams, folder and environment by who asks for it. What Ansible sends still says
which module runs, and with what. That all that a module needs is sent, ansible-test sees, and so do the scenarios on
other hosts.
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
import warnings
from pathlib import Path

ARCHIVES = "LIFEBOAT_MODULE_ARCHIVES"  # variable with the folder where all processes of a run keep them
_LENGTH_BYTES = 4  # of an order, before it
_LOOK_S = 0.01
_MANY = 50_000  # objects
_KILLED = 137  # what a shell says of a program that SIGKILL ended
_MODULE_UTILS = "ansible_collections.lifeboat.recovery.plugins.module_utils"
# What Ansible starts as interpreter: it asks for the fork, and waits for its end.
_CLIENT = """#!{python} -IS
import _socket, marshal, os, sys

if sys.argv[1:2] and sys.argv[1].startswith("-"):
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
server = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
server.connect({path!r})
streams = b"".join(number.to_bytes(4, sys.byteorder) for number in range(3))
order = marshal.dumps((sys.argv[1:], os.getcwd(), dict(os.environ)))
length = len(order).to_bytes({length_bytes}, "big")
server.sendmsg([length], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)])
server.sendall(order)
status = server.recv(1)
os._exit(status[0] if status else {killed})
"""


@functools.cache
def _server(kind: str) -> Path:
    """Start a process that forks on demand and ends with this one; return its socket."""
    folder = Path(tempfile.mkdtemp(prefix="lbw-", dir="/tmp"))
    environment = {**os.environ, "ANSIBLE_PIPELINING": "true"}  # a module takes one process instead of four
    if kind == "command":
        # Not above: this program must not import the collection before Ansible does, in its own way.
        from ansible_collections.lifeboat.recovery.tests.functional.command_file import command_for

        (folder / "lifeboat").write_bytes(command_for(sys.executable))
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "socket"))
        listening.listen()
        number = listening.fileno()
        words = [sys.executable, __file__, kind, str(number), str(folder)]
        process = subprocess.Popen(words, stdin=subprocess.PIPE, pass_fds=[number], env=environment)
    atexit.register(process.communicate)  # closes its input
    return folder / "socket"


@functools.cache
def interpreter() -> str:
    """Return the path of an interpreter for modules."""
    path = _server("modules")
    client = path.with_name("python")
    values = {"python": sys.executable, "path": str(path), "length_bytes": _LENGTH_BYTES, "killed": _KILLED}
    client.write_text(_CLIENT.format(**values))
    client.chmod(0o755)
    return str(client)


def ansible_playbook(
    words: t.Sequence[str], folder: Path, environment: t.Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run it in a folder; standard output has all that it says.

    Its settings are those of the environment of this process: what differs in `environment` reaches modules only.
    """
    argv = ["ansible-playbook", *words]
    with tempfile.TemporaryFile() as said:
        status = _ran("ansible-playbook", argv, folder, environment, said, said)
        return subprocess.CompletedProcess(argv, status, _text(said))


def host_command(argv: t.Sequence[str], environment: t.Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the host command; the first of `argv` is what it is called."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        status = _ran("command", argv, Path("/"), environment, out, err)
        return subprocess.CompletedProcess(argv, status, _text(out), _text(err))


def _ran(
    kind: str,
    argv: t.Sequence[str],
    folder: Path,
    environment: t.Mapping[str, str],
    out: t.IO[bytes],
    err: t.IO[bytes],
) -> int:
    order = marshal.dumps((list(argv), str(folder), dict(environment)))
    with socket.socket(socket.AF_UNIX) as asking, open(os.devnull, "rb") as nothing:
        asking.connect(str(_server(kind)))
        streams = [nothing.fileno(), out.fileno(), err.fileno()]
        socket.send_fds(asking, [len(order).to_bytes(_LENGTH_BYTES, "big")], streams)
        asking.sendall(order)
        status = asking.recv(1)
    return status[0] if status else _KILLED


def _text(stream: t.IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode()


def _serve(listening: socket.socket, execute: t.Callable[[], None]) -> None:
    """Fork for each order until whoever started this has gone."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks
    while True:
        ready, _writable, _failed = select.select([listening, 0], [], [])
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


def _modules() -> t.Callable[[], None]:
    """Import what modules need, and return what executes a program: a file, or else standard input."""
    for name in ("command", "copy", "file", "find", "setup", "slurp", "stat", "uri"):
        importlib.import_module(f"ansible.modules.{name}")
    for name in (_MODULE_UTILS, "psycopg2", "concurrent.futures.thread", "zipfile"):
        importlib.import_module(name)
    for each in pkgutil.walk_packages(sys.modules[_MODULE_UTILS].__path__, f"{_MODULE_UTILS}."):
        importlib.import_module(each.name)

    def execute() -> None:
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        path = sys.argv[0] if sys.argv else ""
        sys.argv = sys.argv or [""]
        if path:
            main.__file__ = path
        with open(path or 0, "rb", closefd=bool(path)) as source:
            code = compile(source.read(), path or "<stdin>", "exec")
        exec(code, vars(main))

    return execute


def _ansible_playbook() -> t.Callable[[], None]:
    """Import Ansible, and return what runs playbooks; they share the archives of modules that Ansible makes."""
    playbook = importlib.import_module("ansible.cli.playbook")
    loader = importlib.import_module("ansible.plugins.loader")
    loader.init_plugin_loader()
    warnings.filterwarnings("ignore", "AnsibleCollectionFinder has already been configured")
    for collection in ("ansible.builtin", "lifeboat.recovery"):
        importlib.import_module(f"ansible_collections.{collection}")  # with what it says of its plugins
    for kind in ("action", "filter", "lookup", "test"):
        package = importlib.import_module(f"ansible.plugins.{kind}")
        for each in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(each.name)
    for kind in ("connection", "shell", "become"):
        list(getattr(loader, f"{kind}_loader").all(class_only=True))  # with their options, as each run would read them
    filters = importlib.import_module("ansible_collections.lifeboat.recovery.plugins.filter")
    for each in pkgutil.iter_modules(filters.__path__, f"{filters.__name__}."):
        importlib.import_module(each.name)
    importlib.import_module(f"{_MODULE_UTILS}._engine.host.config")  # which they import where they are used
    constants = importlib.import_module("ansible.constants")
    # How often it looks for the results of tasks: a thousand times a second takes more than many tasks do.
    vars(constants)["DEFAULT_INTERNAL_POLL_INTERVAL"] = _LOOK_S
    if os.environ.get(ARCHIVES):
        Path(constants.DEFAULT_LOCAL_TMP, "ansiballz_cache").symlink_to(os.environ[ARCHIVES])
    gc.set_threshold(_MANY, 50, 1000)  # each of its forks would search for cycles in what it has from its parent
    return t.cast(t.Callable[[], None], playbook.main)


def _command(path: Path) -> t.Callable[[], None]:
    """Import all of the host command's file, and return what runs it."""
    sys.path.insert(0, str(path))
    package = importlib.import_module("lifeboat")
    for name in (*(each.name for each in pkgutil.walk_packages(package.__path__, "lifeboat.")), "psycopg2"):
        importlib.import_module(name)
    command = importlib.import_module("lifeboat.host.cli")
    return lambda: sys.exit(command.main())


def main(kind: str, listening: int, folder: Path) -> None:
    """Fork until there is nobody left who could ask for it; then remove the folder with the socket."""
    if kind == "command":
        execute = _command(folder / "lifeboat")
    else:
        execute = _modules() if kind == "modules" else _ansible_playbook()
    gc.collect()
    gc.freeze()  # else the first search for cycles of each fork would copy most of the memory
    try:
        with socket.socket(fileno=listening) as given:
            _serve(given, execute)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    sys.path.pop(0)
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))

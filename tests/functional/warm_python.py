# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Interpreters for playbooks and commands under test that fork instead of starting anew.

Most of the time of a small playbook on this host would be imports: those of Ansible, and for each module those of what
Ansible sends, which is compiled every time; and most of the time of the host command, too. Here one process has
imported Ansible, another one the sources that are sent, a third one the file of the host command; each forks for what
is to run, and is given arguments, streams, folder and environment by who asks for it. What Ansible sends still says
which module runs, and with what. That all that a module needs is sent, the integration targets see, and so do the
scenarios on other hosts.
"""

from __future__ import annotations

import atexit
import functools
import importlib
import os
import pkgutil
import subprocess
import sys
import tempfile
import typing as t
import warnings
from pathlib import Path

import documented_results
import fork_server

ARCHIVES = "LIFEBOAT_MODULE_ARCHIVES"  # variable with the folder where all processes of a run keep them
_LOOK_S = 0.01
_SETTINGS = {"ANSIBLE_PIPELINING": "true"}  # a module takes one process instead of five
_MODULE_UTILS = "ansible_collections.lifeboat.recovery.plugins.module_utils"


@functools.cache
def _server(kind: str) -> Path:
    """Start a process that forks on demand and ends with this one; return its folder."""
    # Not above: this program must not import the collection before Ansible does, in its own way.
    from ansible_collections.lifeboat.recovery.tests.functional.lock_folder import lock_folder

    folder = Path(tempfile.mkdtemp(prefix="lbw-", dir="/tmp"))
    if kind == "command":
        from ansible_collections.lifeboat.recovery.tests.functional.command_file import command_for

        (folder / "lifeboat").write_bytes(command_for(sys.executable))
    process = fork_server.start([__file__, kind, lock_folder()], folder, os.environ)
    atexit.register(process.communicate)  # closes its input
    return folder


@functools.cache
def interpreter() -> str:
    """Return the path of an interpreter for modules."""
    return str(fork_server.interpreter(_server("modules")))


@functools.cache
def command() -> str:
    """Return the path of a program that is the host command."""
    return str(fork_server.program(_server("command")))


def ansible_playbook(
    words: t.Sequence[str], folder: Path, environment: t.Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run it in a folder; standard output has all that it says.

    Its settings are those of the environment of this process, but for those of connections: what else differs in
    `environment` reaches modules only.
    """
    argv = ["ansible-playbook", *words]
    with tempfile.TemporaryFile() as said:
        variables = {**environment, **_SETTINGS}
        status = fork_server.ran(_server("ansible-playbook"), argv, folder, variables, said, said)
        return subprocess.CompletedProcess(argv, status, _text(said))


def host_command(argv: t.Sequence[str], environment: t.Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the host command; the first of `argv` is what it is called."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        status = fork_server.ran(_server("command"), argv, Path("/"), environment, out, err)
        return subprocess.CompletedProcess(argv, status, _text(out), _text(err))


def _text(stream: t.IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode()


def _modules(locks: str) -> t.Callable[[], None]:
    """Import what modules need, let them lock jobs in the folder `locks`, and return what runs what Ansible sends."""
    for name in ("command", "copy", "file", "find", "setup", "slurp", "stat", "uri"):
        importlib.import_module(f"ansible.modules.{name}")
    for name in (_MODULE_UTILS, "psycopg2", "concurrent.futures.thread", "zipfile"):
        importlib.import_module(name)
    for each in pkgutil.walk_packages(sys.modules[_MODULE_UTILS].__path__, f"{_MODULE_UTILS}."):
        importlib.import_module(each.name)
    vars(sys.modules[f"{_MODULE_UTILS}._engine.host.job_lock"])["_FOLDERS"] = (locks,)
    documented_results.watch()
    return fork_server.execute_file


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
    templates = importlib.import_module("ansible_collections.lifeboat.recovery.tests.functional.warm_templates")
    templates.load_filters("lifeboat.recovery", (each.name for each in pkgutil.iter_modules(filters.__path__)))
    importlib.import_module(f"{_MODULE_UTILS}._engine.host.config")  # which they import where they are used
    constants = importlib.import_module("ansible.constants")
    # How often it looks for the results of tasks: a thousand times a second takes more than many tasks do.
    vars(constants)["DEFAULT_INTERNAL_POLL_INTERVAL"] = _LOOK_S
    if os.environ.get(ARCHIVES):
        Path(constants.DEFAULT_LOCAL_TMP, "ansiballz_cache").symlink_to(os.environ[ARCHIVES])
        templates.share_compiled(Path(os.environ[ARCHIVES], "templates"))
    return t.cast(t.Callable[[], None], playbook.main)


def _command(path: Path, locks: str) -> t.Callable[[], None]:
    """Import all of the host command's file, let it lock jobs in the folder `locks`, and return what runs it."""
    sys.path.insert(0, str(path))
    package = importlib.import_module("lifeboat")
    for name in (*(each.name for each in pkgutil.walk_packages(package.__path__, "lifeboat.")), "psycopg2"):
        importlib.import_module(name)
    vars(importlib.import_module("lifeboat.host.job_lock"))["_FOLDERS"] = (locks,)
    command = importlib.import_module("lifeboat.host.cli")

    def execute() -> None:
        for number, name in enumerate(("stdout", "stderr"), 1):  # those of this process may be of another kind
            setattr(sys, name, open(number, "w", closefd=False))  # noqa: SIM115
        sys.exit(command.main())

    return execute


def main(kind: str, locks: str, listening: int, folder: Path) -> None:
    """Import what takes long, then fork."""
    if kind == "command":
        execute = _command(folder / "lifeboat", locks)
    else:
        execute = _modules(locks) if kind == "modules" else _ansible_playbook()
    fork_server.serve(listening, folder, execute)


if __name__ == "__main__":
    sys.path.pop(0)
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))

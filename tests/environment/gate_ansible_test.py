# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Gates that ansible-test runs: sanity on every supported Python, units, integration; and the oldest ansible-core."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import collection_root
import interpreters
import sent_modules
import virtualenvs
from cache import SetupError, cache_folder, lock
from gate_checks import TESTS_OF_ANSIBLE, development
from gate_package import smoke
from gate_runner import GateFailure, Workplace
from import_roots import import_roots
from run import variables
from servers import MinioServer, PostgresServer

INTEGRATION_SHARES = 3  # the targets run one after the other: in one go they would outlast all other gates
HOST_MINORS = (9, 10, 12, 13)  # Python 3.x of hosts that have sanity's compile and import tests to themselves
_PIP_BOOTSTRAPS = ("20_3_4", "23_1_2", "24_2", "25_2")  # the get-pip scripts that ansible-core 2.16 to 2.21 ask for
_GET_PIP = Path(__file__).resolve().with_name("get_pip.py")
_COMPILE_ONCE = Path(__file__).resolve().with_name("compile_once.py")


class AnsibleTest:
    """ansible-test on a copy of the collection.

    It has a home of its own in the cache: there it keeps its virtual environments, finds a stand-in for the get-pip
    script that it would download, and pip's settings, for it passes no variable on to pip.
    """

    def __init__(self, place: Workplace, environment: Path, python: Path, home: str, root: Path) -> None:
        self.collection = collection_root.copied(root)
        self.home = cache_folder() / "ansible-test" / f"{environment.name}-{home}"
        self._place = place
        self._version = _version_of(python)
        links = root / "python"
        links.mkdir()
        (links / f"python{self._version}").symlink_to(python)
        self._variables = variables(environment, root)
        for name in ("PYTHONPATH", "ANSIBLE_HOME", "ANSIBLE_NOCOLOR"):
            del self._variables[name]
        if python.parent != environment / "bin":
            self._variables["PATH"] = f"{links}{os.pathsep}{self._variables['PATH']}"
        self._variables["HOME"] = str(self.home)
        self._furnish(environment)

    def _furnish(self, environment: Path) -> None:
        bootstraps = self.home / ".ansible" / "test" / "cache"
        bootstraps.mkdir(parents=True, exist_ok=True)
        for version in _PIP_BOOTSTRAPS:
            (bootstraps / f"get_pip_{version}.py").write_bytes(_GET_PIP.read_bytes())
        settings = self.home / ".config" / "pip" / "pip.conf"
        settings.parent.mkdir(parents=True, exist_ok=True)
        settings.touch(mode=0o600)  # an index may have a password in its address
        settings.write_text(_pip_settings(environment), encoding="utf-8")

    def run(self, *words: str, core: int | None = None) -> str:
        """Run a subcommand with the chosen Python and return what it said. Raises GateFailure.

        It may be kept on one core, counted as in a list: pylint starts a process for each that it may use, and each of
        them analyses for itself what its share of the files imports. Two take a third more of their time than one.
        """
        command, *options = words
        argv = ["ansible-test", command, "--local", "--color", "no", "--python", self._version, *options]
        if core is not None and hasattr(os, "sched_getaffinity"):
            argv = ["taskset", "--cpu-list", str(sorted(os.sched_getaffinity(0))[core]), *argv]
        with lock(self.home):
            return self._place.run(*argv, cwd=self.collection, env=self._variables)

    def import_from_roots(self) -> None:
        """Have every plugin imported by another one, if not by itself. Raises GateFailure."""
        environments = self.home / ".ansible" / "test" / "venv"
        if not any(environments.glob("sanity.import*")):
            self.run("sanity", "--test", "import", "--prime-venvs")
        used = (*environments.glob("sanity"), *environments.glob("sanity.import*"))
        for packages in (each for folder in used for each in folder.glob("*/*/lib/python*/site-packages/")):
            shutil.copyfile(_COMPILE_ONCE, packages / f"lifeboat_{_COMPILE_ONCE.name}")
            (packages / "lifeboat.pth").write_text(f"import lifeboat_{_COMPILE_ONCE.stem}\n", encoding="utf-8")
        roots = import_roots(self.collection / "plugins")
        self.run("sanity", "--test", "import", *(f"plugins/{name}" for name in roots))


def _version_of(python: Path) -> str:
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def _pip_settings(environment: Path) -> str:
    """Return a pip.conf that says what pip's files and variables say to us now."""
    command = [str(environment / "bin" / "python"), "-m", "pip", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    lines = ["[global]", "progress-bar = off"]
    for name, value in re.findall(r"^(?:global|install|:env:)\.([a-z-]+)='(.*)'$", listed, re.MULTILINE):
        lines.append(f"{name} = {value}")
    return "\n".join(dict.fromkeys(lines)) + "\n"


def _development_test(place: Workplace, home: str) -> AnsibleTest:
    environment = development()
    return AnsibleTest(place, environment, environment / "bin" / "python", home, place.scratch)


def sanity(place: Workplace) -> str:
    """Every sanity test passes, and nothing is ignored."""
    tester = _development_test(place, "sanity")
    _refuse_ignores(tester.collection)
    tester.run("sanity", "--skip-test", "import", core=0)
    tester.import_from_roots()
    return ""


def _refuse_ignores(collection: Path) -> None:
    for path in (collection / "tests" / "sanity").glob("ignore*.txt"):
        if path.read_text(encoding="utf-8").strip():
            raise GateFailure(f"tests/sanity/{path.name} ignores findings: fix them instead")


def sanity_on_hosts(place: Workplace) -> str:
    """The collection compiles and imports on every Python that hosts run."""
    missing = []
    for minor in HOST_MINORS:
        python = interpreters.find(minor)
        if python is None:
            missing.append(f"3.{minor}")
            continue
        tester = AnsibleTest(place, development(), python, f"3.{minor}", place.scratch / f"3.{minor}")
        tester.run("sanity", "--test", "compile")
        tester.import_from_roots()
    if missing:
        note = f"NOT CHECKED, no interpreter: {', '.join(missing)}"
        if len(missing) == len(HOST_MINORS):
            raise SetupError(f"{note}. Remedy: install some of them, by pyenv for example.")
        return note
    return ", ".join(f"3.{minor}" for minor in HOST_MINORS)


def units(place: Workplace) -> str:
    """The unit tests can be imported the way ansible-test does, and those of what uses Ansible pass that way.

    ansible-test hides all of Ansible but its module_utils, which is what a host has. The engine imports none of it, and
    its tests pass in the gate `unit`: to run them here as well would prove nothing more. Every worker collects the
    tests for itself, so few of them cost the least.
    """
    tester = _development_test(place, "units")
    collected = _counted(r"(\d+) tests collected", tester.run("units", "--collect-only", "--num-workers", "1"))
    passed = _counted(r"(\d+) passed", tester.run("units", "--num-workers", "2", *TESTS_OF_ANSIBLE))
    return f"{passed} passed of {collected} that were imported"


def _counted(pattern: str, said: str) -> int:
    """Return the sum of what pytest counted, once for each kind of plugin."""
    counts = [int(count) for count in re.findall(pattern, said)]
    if not sum(counts):
        raise GateFailure("ansible-test units found no test")
    return sum(counts)


def oldest_core(place: Workplace) -> str:
    """The oldest ansible-core that the collection supports finds nothing either, and runs a playbook.

    The tests are left out: they run on the present one alone, whose sanity tests look at them.
    """
    environment = virtualenvs.ensure(virtualenvs.OLDEST_CORE)
    tester = AnsibleTest(place, environment, environment / "bin" / "python", "sanity", place.scratch)
    folders = (path.name for path in (tester.collection / "tests").iterdir() if path.is_dir())
    excluded = (f"--exclude=tests/{name}/" for name in sorted(folders))
    tester.run("sanity", "--skip-test", "import", *excluded, core=-1)
    tester.import_from_roots()
    smoke(place, environment, place.scratch)
    version = place.run(environment / "bin" / "ansible", "--version", env=virtualenvs.variables(environment))
    return version.splitlines()[0]


def shares(folder: Path) -> list[list[str]]:
    """Return the integration targets in as many shares as run at once, about even in the lines of their tasks."""
    lines = {
        path.parent.name: sum(len(tasks.read_bytes().splitlines()) for tasks in path.parent.glob("tasks/*.yml"))
        for path in folder.glob("*/aliases")
    }
    found: list[list[str]] = [[] for _share in range(INTEGRATION_SHARES)]
    for name in sorted(lines, key=lambda name: (-lines[name], name)):
        min(found, key=lambda share: sum(lines[each] for each in share)).append(name)
    return [sorted(share) for share in found]


def integration(number: int, place: Workplace) -> str:
    """A share of the integration targets passes on a MinIO and a PostgreSQL server of its own.

    The modules run from the archives that Ansible sends, in forks of one interpreter.
    """
    tester = _development_test(place, f"integration-{number}")
    targets = shares(tester.collection / "tests" / "integration" / "targets")[number - 1]
    if not targets:
        raise GateFailure("there is no integration target for this share")
    minio = MinioServer(place.scratch / "minio")
    postgres = PostgresServer(place.scratch / "pg", password="lifeboat-integration")  # noqa: S106
    modules = sent_modules.interpreter(tester.collection, virtualenvs.variables(development()))
    with minio, postgres, modules as interpreter:
        settings = {
            "ansible_python_interpreter": str(interpreter),
            "lifeboat_s3_endpoint": minio.endpoint,
            "lifeboat_s3_access_key": minio.access_key,
            "lifeboat_s3_secret_key": minio.secret_key,
            "lifeboat_pg_host": str(postgres.socket_dir),
            "lifeboat_pg_port": postgres.port,
            "lifeboat_pg_user": postgres.user,
            "lifeboat_pg_password": postgres.password,
            "lifeboat_pg_bin_dir": str(postgres.bin_dir),
        }
        config = tester.collection / "tests" / "integration" / "integration_config.yml"
        config.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")  # JSON is YAML
        said = tester.run("integration", *targets)
    ran = set(re.findall(r"Running (\S+) integration test", said))
    if ran != set(targets):
        raise GateFailure(f"ansible-test did not run {', '.join(sorted(set(targets) - ran))}")
    return f"{len(targets)} targets"

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The gate on whole hosts: Molecule's scenarios in containers that run systemd."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import typing as t
from pathlib import Path

import collection_root
import minio_binary
from cache import CHECKOUT, SetupError, cache_folder, lock
from gate_checks import development
from gate_runner import GateFailure, Workplace
from processes import GuardedProcess
from run import variables

_DAEMON_START_S = 60.0
_DAEMON_STOP_S = 30.0
_SCENARIOS = CHECKOUT / "extensions" / "molecule"
# A server with every option, upgrade and removal (scenarios of other roles use it with its defaults), the roles of
# recoveries each alone, and the inventories that the collection shows, from bare hosts.
_RECOVERIES = frozenset(("application_control", "bucket_recovery", "postgres_recovery", "repository_copy"))
LONG = _RECOVERIES | {"minio_server", "single_host", "two_sites"}
_MEASURED = re.compile(r"From bare hosts to the first proved backup: [0-9.]+ s")


def molecule(place: Workplace) -> str:
    """Every scenario that is not long passes: prepare, converge, converge again without a change, verify."""
    return _scenarios(place, LONG)


def molecule_all(place: Workplace) -> str:
    """Every scenario passes."""
    return _scenarios(place, frozenset())


def _scenarios(place: Workplace, left_out: frozenset[str]) -> str:
    """Let scenarios pass. Their hosts are always removed."""
    names = sorted({path.parent.name for path in _SCENARIOS.glob("*/molecule.yml")} - {"default", *left_out})
    if not names:
        raise GateFailure("there is no scenario beside the default one, which makes the hosts")
    # The hosts' names are known to the whole machine.
    with docker_daemon(place), lock(cache_folder() / "molecule-hosts"):
        image = place.run(sys.executable, Path(__file__).with_name("host_image.py")).split()[-1]
        root = collection_root.linked()
        env = {**_variables(place, root, image), "LIFEBOAT_SCENARIOS": ",".join(names)}
        collection = root / collection_root.PLACE
        try:
            excluded = [word for name in sorted(left_out) for word in ("--exclude", name)]
            said = place.run("molecule", "test", "--all", *excluded, cwd=collection, env=env)
        except BaseException:  # else they were removed after the last scenario
            place.run("molecule", "destroy", "--scenario-name", "default", cwd=collection, env=env)
            raise
    _refuse_missing_parts(names, said)
    return "; ".join([", ".join(names), *_MEASURED.findall(said)])


def _refuse_missing_parts(names: list[str], said: str) -> None:
    """Raise GateFailure if a scenario lacks what makes it a test: Molecule only warns of a missing playbook."""
    parts = ("converge", "idempotence", "verify")
    lines = [f"[{name} > {part}] Executed: Successful" for name in names for part in parts]
    missing = [line for line in lines if line not in said]
    if missing:
        raise GateFailure(f"Molecule did not say {missing[0]}")


def _variables(place: Workplace, root: Path, image: str) -> dict[str, str]:
    programs = place.scratch / "bin"
    programs.mkdir()
    shutil.copy2(minio_binary.find(), programs / "minio")
    return {
        **variables(development(), root),
        "LIFEBOAT_HOST_IMAGE": image,
        "LIFEBOAT_HOST_PROGRAMS": str(programs),  # mounted into the hosts
        "MOLECULE_EPHEMERAL_DIRECTORY": str(place.scratch / "molecule"),
    }


class _Daemon:
    """A Docker daemon that the gates of one run use together: the first brings it, the last ends it."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._users = 0
        self._at_end = contextlib.ExitStack()

    @contextlib.contextmanager
    def in_use(self, place: Workplace) -> t.Iterator[None]:
        with self._turn:
            if not self._users:
                with contextlib.ExitStack() as made:
                    made.enter_context(lock(cache_folder() / "molecule"))  # another run may end its own at any time
                    made.enter_context(_running(place))
                    self._at_end = made.pop_all()
            self._users += 1
        try:
            yield
        finally:
            with self._turn:
                self._users -= 1
                if not self._users:
                    self._at_end.close()


_DAEMON = _Daemon()


def docker_daemon(place: Workplace) -> contextlib.AbstractContextManager[None]:
    """Have a Docker daemon: the one that runs, else one of our own for as long as gates use it. Raises SetupError."""
    return _DAEMON.in_use(place)


@contextlib.contextmanager
def _running(place: Workplace) -> t.Iterator[None]:
    if shutil.which("docker") is None:
        raise SetupError("docker is not on PATH.\nRemedy: install docker.io, or leave this gate out: SKIP=molecule.")
    if _answers():
        yield
        return
    dockerd = shutil.which("dockerd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if dockerd is None or os.geteuid() != 0:
        raise SetupError(
            "no Docker daemon answers, and only root could start one.\n"
            "Remedy: start it, let this user speak to it, or leave this gate out: SKIP=molecule."
        )
    log = place.log.with_name("dockerd.log")
    for firewall in (None, "iptables-legacy"):  # kernels without nf_tables need the older one
        if firewall and not _choose_firewall(firewall):
            continue
        with GuardedProcess([dockerd], log=log, grace_s=_DAEMON_STOP_S) as process:
            if _comes_up(process):
                yield
                return
    raise SetupError(f"dockerd does not come up: see {log}")


def _answers() -> bool:
    return subprocess.run(["docker", "version"], capture_output=True, check=False).returncode == 0


def _comes_up(process: GuardedProcess) -> bool:
    deadline = time.monotonic() + _DAEMON_START_S
    while process.poll() is None and time.monotonic() < deadline:
        if _answers():
            return True
        time.sleep(0.2)
    return False


def _choose_firewall(name: str) -> bool:
    path = shutil.which(name, path="/usr/sbin:/sbin")
    command = ["update-alternatives", "--set", "iptables", path or name]
    return path is not None and subprocess.run(command, capture_output=True, check=False).returncode == 0

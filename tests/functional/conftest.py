# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the tests are spread over processes: a file stays together, as its tests share servers and jobs."""

from __future__ import annotations

import functools
import gc
import os
import re
import shutil
import tempfile
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import job_lock
from ansible_collections.lifeboat.recovery.tests.functional import warm_python
from ansible_collections.lifeboat.recovery.tests.functional.lock_folder import lock_folder
from servers import MinioServer

if t.TYPE_CHECKING:
    from xdist.scheduler import LoadScopeScheduling

# Their tests share nothing, and take the longest.
_SPREAD = (
    "test_changed_repositories.py",
    "test_crash_at_every_step.py",
    "test_faults_of_maintenance.py",
    "test_faults_of_servers.py",
    "test_faults_of_storage.py",
    "test_object_crashes.py",
    "test_object_faults_of_servers.py",
    "test_object_faults_of_storage.py",
    "test_stalled_runs.py",
)


# But for those of one layout: what one of them has made ready and proved, the others need not (`crash_states.py`).
_LAYOUT = re.compile(r"\[(directory to bucket|bucket to directory)\b")


# What takes a worker longest begins first: else the others would wait for it in the end.
_FIRST = (
    "test_complete_loss_playbook.py",
    "test_postgres_recovery_role.py",
    "test_host_command.py",
    "test_recovery_sets.py",
    "test_application_control_role.py",
    "test_memory_of_a_backup.py",
    "test_file_storage_loss_playbook.py",
    "test_single_object_playbook.py",
    "test_bucket_recovery.py",
    "test_rclone.py",
    "test_crash_at_every_step.py",
)


@pytest.fixture(scope="session", autouse=True)
def locks_of_this_process() -> t.Iterator[None]:
    """Keep jobs of other processes out, and those of this machine: what these tests start has the same folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job_lock, "_FOLDERS", (lock_folder(),))
        yield


@pytest.fixture(scope="session", autouse=True)
def thrifty_servers() -> t.Iterator[None]:
    """Let each MinIO server use one core at a time: to wake up threads on others takes a fifth of what it does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MinioServer.everywhere, "GOMAXPROCS", "1")
        yield


def pytest_configure(config: pytest.Config) -> None:
    """Let all processes of a run share what Ansible makes of modules: to make it takes longer than most modules do."""
    if not hasattr(config, "workerinput"):
        folder = os.environ[warm_python.ARCHIVES] = tempfile.mkdtemp(prefix="lbw-", dir="/tmp")
        config.add_cleanup(functools.partial(shutil.rmtree, folder, ignore_errors=True))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ranks = {file: rank for rank, file in enumerate(_FIRST)}
    items.sort(key=lambda item: ranks.get(item.path.name, len(ranks)))


def pytest_collection_finish() -> None:
    """Leave out of searches for cycles what lasts to the end: a tenth of what a process did, and forks copied it."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: t.Any) -> LoadScopeScheduling:
    from xdist.scheduler import LoadScopeScheduling

    config.option.loadscopereorder = False  # it would begin with what has most tests

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file, layout = nodeid.partition("::")[0], _LAYOUT.search(nodeid)
            if layout and file.endswith("test_crash_at_every_step.py"):
                return f"{file} {layout[1]}"
            return nodeid if file.endswith(_SPREAD) else file

    return ByFile(config, log)

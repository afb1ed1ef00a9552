# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the tests are spread over processes: a file stays together, as its tests share servers, jobs and locks."""

from __future__ import annotations

import typing as t

import pytest

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


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: t.Any) -> LoadScopeScheduling:
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return nodeid if file.endswith(_SPREAD) else file

    return ByFile(config, log)

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Playbooks on this host."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from ansible_collections.lifeboat.recovery.tests.functional.warm_python import interpreter


def ran(*words: str, folder: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `ansible-playbook` with these words, in a folder and with more environment variables; standard output has
    all that it says.

    Its modules run on this host. Each takes one process instead of four (pipelining), which is a fork.
    """
    local = {"ansible_connection": "local", "ansible_python_interpreter": interpreter()}
    return subprocess.run(
        ["ansible-playbook", "-e", json.dumps(local), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, "ANSIBLE_PIPELINING": "true", **variables},
    )

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Playbooks on this host."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from ansible_collections.lifeboat.recovery.tests.functional import warm_python


def ran(*words: str, folder: Path = Path("/"), scratch: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run `ansible-playbook` with these words, in a folder; standard output has all that it says.

    Its modules run on this host, with their temporary files in the folder `scratch`.
    """
    local = {"ansible_connection": "local", "ansible_python_interpreter": warm_python.interpreter()}
    argv = ["-e", json.dumps(local), *words]
    variables = {**os.environ, **({"TMPDIR": str(scratch)} if scratch else {})}
    return warm_python.ansible_playbook(argv, folder, variables)

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The gate on databases whose servers run in containers."""

from __future__ import annotations

import sys
from pathlib import Path

from gate_checks import run_pytest
from gate_molecule import docker_daemon
from gate_runner import Workplace


def containers(place: Workplace) -> str:
    """Jobs on PostgreSQL in containers do what other jobs do; the image is that of the hosts of Molecule."""
    with docker_daemon(place):
        image = place.run(sys.executable, Path(__file__).with_name("host_image.py")).split()[-1]
        return run_pytest(place, "tests/containers", env={"LIFEBOAT_HOST_IMAGE": image})

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stands in for the get-pip script that ansible-test would download: a pip that Python has gets the wanted one."""

from __future__ import annotations

import ensurepip
import glob
import os
import subprocess
import sys

NOT_FOR_PIP = ("--no-setuptools", "--no-wheel")  # options of get-pip only

words = [word for word in sys.argv[1:] if word not in NOT_FOR_PIP]
bundled = glob.glob(os.path.join(os.path.dirname(ensurepip.__file__), "_bundled", "pip-*.whl"))
if bundled and any(word.startswith(("--no-setuptools", "setuptools==")) for word in sys.argv):
    # It runs from where it lies: to install it, and setuptools, would take longer than all else here.
    os.environ["PYTHONPATH"] = bundled[0]
else:
    subprocess.run([sys.executable, "-m", "ensurepip", "--upgrade"], check=True)
command = [sys.executable, "-m", "pip", "install", "--no-compile", *words]
raise SystemExit(subprocess.run(command, check=False).returncode)

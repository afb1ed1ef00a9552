# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stands in for the get-pip script that ansible-test would download: ensurepip brings a pip, which gets the wanted."""

from __future__ import annotations

import subprocess
import sys

NOT_FOR_PIP = ("--no-setuptools", "--no-wheel")  # options of get-pip only

subprocess.run([sys.executable, "-m", "ensurepip", "--upgrade"], check=True)
words = [word for word in sys.argv[1:] if word not in NOT_FOR_PIP]
raise SystemExit(subprocess.run([sys.executable, "-m", "pip", "install", *words], check=False).returncode)

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes the container image of a test host: Debian 12 with systemd, cron and PostgreSQL, without an image registry.

It has what the roles would install, so that hosts need no network and no time for that.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from cache import SetupError, cache_folder, lock

SUITE = "bookworm"
_SYSTEM = "systemd systemd-sysv dbus python3 python3-apt cron sudo acl iproute2 procps ca-certificates openssl"
_SYSTEM += " logrotate tzdata"
_BACKUP = "postgresql-15 postgresql-client-15 postgresql-client python3-psycopg2 python3-zstandard python3-boto3 zstd"
_BACKUP += " python3-cryptography python3-argon2"
_OPTIONS = [
    "--quiet",
    "--variant=minbase",
    "--include=" + ",".join([*_SYSTEM.split(), *_BACKUP.split()]),
    '--aptopt=Acquire::Languages "none"',
    '--aptopt=APT::Install-Recommends "false"',
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-include=/usr/share/doc/*/copyright",
]
# No cluster at build time: every container would have the same system identifier.
_BEFORE_PACKAGES = [
    'mkdir -p "$1/etc/postgresql-common/createcluster.d"',
    'echo "create_main_cluster = false" > "$1/etc/postgresql-common/createcluster.d/no-cluster.conf"',
]
# These cannot work in a container, where they would make the state "degraded".
_MASKED = "systemd-udevd.service systemd-udev-trigger.service systemd-remount-fs.service systemd-logind.service "
_MASKED += "systemd-firstboot.service console-getty.service getty.target"
_AT_THE_END = [
    # systemd writes a new machine id into an empty file.
    'rm -f "$1/etc/machine-id" "$1/etc/hostname" && : > "$1/etc/machine-id"',
    f'for unit in {_MASKED}; do ln -sf /dev/null "$1/etc/systemd/system/$unit"; done',
    'rm -rf "$1"/var/cache/apt/*.bin "$1"/var/lib/apt/lists/*',
]
_IMPORT = ["--change", 'CMD ["/lib/systemd/systemd"]', "--change", "ENV container=docker LANG=C.UTF-8"]


def tag() -> str:
    """Return the image's name: another recipe is another image."""
    recipe = "\0".join([SUITE, *_OPTIONS, *_BEFORE_PACKAGES, *_AT_THE_END, *_IMPORT])
    return f"lifeboat-host:{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"


def ensure() -> str:
    """Return the name of the image, made if Docker does not have it. Raises SetupError."""
    name = tag()
    with lock(cache_folder() / "host-image"):
        known = subprocess.run(["docker", "image", "inspect", name], capture_output=True, check=False)
        if known.returncode != 0:
            _make(name)
    return name


def _make(name: str) -> None:
    if os.geteuid() != 0:
        raise SetupError("the image of a test host is made by mmdebstrap, as root.\nRemedy: run this once as root.")
    with tempfile.TemporaryDirectory(prefix="lifeboat-image-") as folder:
        archive = Path(folder) / "root.tar"
        hooks = [f"--essential-hook={command}" for command in _BEFORE_PACKAGES]
        hooks += [f"--customize-hook={command}" for command in _AT_THE_END]
        _run(["mmdebstrap", "--mode=root", *_OPTIONS, *hooks, SUITE, str(archive), _mirror()])
        _run(["docker", "import", *_IMPORT, str(archive), name])


def _mirror() -> str:
    """Return the mirror that apt of this machine uses."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", f"Codename: {SUITE}"]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    if not said:
        raise SetupError(f"apt knows no mirror of {SUITE}.\nRemedy: run this on Debian {SUITE}, after apt-get update.")
    return said[0]


def _run(argv: list[str]) -> None:
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False)
    except FileNotFoundError:
        raise SetupError(
            f"{argv[0]} is not on PATH.\nRemedy: install it (Debian: apt-get install {argv[0]})."
        ) from None
    if done.returncode != 0:
        raise SetupError(f"{argv[0]} ended with {done.returncode}")


if __name__ == "__main__":
    try:
        print(ensure())
    except SetupError as failure:
        raise SystemExit(f"Cannot make the image of a test host: {failure}") from None

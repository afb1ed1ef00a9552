# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the tests run on is what the role minio_server installs."""

from __future__ import annotations

import minio_binary
import yaml
from cache import CHECKOUT


def test_the_role_and_the_tests_pin_the_same_servers():
    path = CHECKOUT / "roles" / "minio_server" / "vars" / "main.yml"
    pins = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert pins["__minio_server_pinned"] == {"silo": minio_binary.SILO_RELEASE, "minio": minio_binary.MINIO_RELEASE}
    assert pins["__minio_server_archives"]["silo"][minio_binary.SILO_RELEASE] == {
        machine: {
            "url": minio_binary.SILO_URL.format(release=minio_binary.SILO_RELEASE, arch=machine),
            "sha256": digest,
        }
        for machine, digest in minio_binary.SILO_SHA256.items()
    }
    module = pins["__minio_server_modules"][minio_binary.MINIO_RELEASE]
    assert module["module"] == minio_binary.MINIO_MODULE
    assert module["variables"] == {
        "Version": minio_binary.MINIO_VERSION,
        "ReleaseTag": minio_binary.MINIO_RELEASE,
        "CommitID": minio_binary.MINIO_COMMIT,
    }

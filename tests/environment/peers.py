# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The copiers that benchmarks and the fidelity table compare with: pinned versions, built once by Go."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import subprocess
import sys
import typing as t
from pathlib import Path

import go_build
from cache import SetupError, build_once, cache_folder
from servers import MinioServer

MODULES = {
    "rclone": ("github.com/rclone/rclone", "v1.75.1"),
    "mc": ("github.com/minio/mc", "v0.0.0-20251106162529-77f82e18b540"),
}
# Of rclone only what is used is built: with its seventy kinds of remotes it would take three times as long.
_COMMANDS = "cat check copy copyto deletefile lsd lsf lsjson mkdir moveto rcat sync version"
PARTS = {"rclone": ("cmd", "backend/local", "backend/s3", *(f"cmd/{name}" for name in _COMMANDS.split()))}
# What makes rclone fast between S3 servers: no look before and after each object, sizes only, no hashing before.
RCLONE_TUNED = (
    "--transfers=16",
    "--checkers=32",
    "--s3-no-head",
    "--s3-no-check-bucket",
    "--size-only",
    "--s3-use-unsigned-payload=true",
)
RCLONE_IN_PARTS = ("--transfers=4", "--s3-chunk-size=32M", "--s3-upload-concurrency=8", "--s3-no-check-bucket")
RCLONE_ONE_PUT = ("--transfers=4", "--s3-upload-cutoff=5G", "--s3-use-unsigned-payload=true", "--s3-disable-checksum")


def find(name: str) -> Path:
    """Return a peer's program from the cache, built if it is not there. Raises SetupError."""
    module, version = MODULES[name]
    parts = PARTS.get(name, ())
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:8]  # other parts are another program
    target = cache_folder() / "peers" / (f"{name}-{version}-{key}" if parts else f"{name}-{version}")
    if os.access(target, os.X_OK):
        return target
    go = shutil.which("go")
    if go is None:
        raise SetupError(f"{name} is not in the cache, and Go is not on PATH.\nRemedy: install Go.")
    print(f"Building {module}@{version}: this takes some minutes, once.", file=sys.stderr, flush=True)
    if parts:
        return build_once(target, lambda made: go_build.build(go, module, version, parts, made))
    return build_once(target, lambda made: go_build.install(go, f"{module}@{version}", made))


@dataclasses.dataclass(frozen=True)
class Peers:
    """How peers reach two servers, which they know as `a` and `b`."""

    a: MinioServer
    b: MinioServer
    folder: Path  # for their configuration

    def rclone(self, *words: str) -> tuple[list[str], dict[str, str]]:
        """Return command line and environment of an rclone run."""
        environment = {"HOME": str(self.folder), "PATH": os.defpath, "RCLONE_CONFIG": str(self.folder / "none")}
        for name, server in (("A", self.a), ("B", self.b)):
            facts = {
                "TYPE": "s3",
                "PROVIDER": "Minio",
                "ENDPOINT": server.endpoint,
                "ACCESS_KEY_ID": server.access_key,
                "SECRET_ACCESS_KEY": server.secret_key,
            }
            environment.update({f"RCLONE_CONFIG_{name}_{key}": value for key, value in facts.items()})
        trust = [f"--ca-cert={server.ca_file}" for server in (self.a, self.b) if server.ca_file]
        return [str(find("rclone")), "--config=", *trust, *words], environment

    def mc(self, *words: str) -> tuple[list[str], dict[str, str]]:
        """Return command line and environment of an mc run."""
        environment = {"HOME": str(self.folder), "PATH": os.defpath, "MC_CONFIG_DIR": str(self.folder / "mc")}
        for name, server in (("a", self.a), ("b", self.b)):
            scheme, _slashes, place = server.endpoint.partition("://")
            secret = f"{server.access_key}:{server.secret_key}"
            environment[f"MC_HOST_{name}"] = f"{scheme}://{secret}@{place}"
        trust = ["--insecure"] if self.a.ca_file else []
        return [str(find("mc")), "--quiet", *trust, *words], environment


def run(command: tuple[t.Sequence[str], t.Mapping[str, str]]) -> subprocess.CompletedProcess[str]:
    """Run a peer to its end, whatever it says."""
    argv, environment = command
    return subprocess.run(
        argv, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
    )


if __name__ == "__main__":
    try:
        print(*(find(name) for name in sys.argv[1:]))
    except SetupError as failure:
        raise SystemExit(str(failure)) from None

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import sys
import tarfile
import typing as t
import urllib.error
import urllib.request
from pathlib import Path

import go_build
from cache import SetupError, build_once, cache_folder

# SILO is the maintained fork of MinIO: same protocol, same options, same variables (MINIO_…).
SILO_RELEASE = "RELEASE.2026-09-16T00-00-00Z"
SILO_URL = "https://github.com/pgsty/silo/releases/download/{release}/silo_20260916000000.0.0_linux_{arch}.tar.gz"
SILO_SHA256 = {
    "amd64": "381e745510a8fb64323d7bb3207f95984b7f4ed826f4fcad318f97683c420c73",
    "arm64": "6e697d3e1d70f2343fe829cd6820a0b840d4619f1dde546424de80e529636ed2",
}
# The last commit of MinIO before its makers archived it.
MINIO_MODULE = "github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c"
MINIO_RELEASE = "RELEASE.2026-02-12T20-18-48Z"
MINIO_VERSION = "2026-02-12T20:18:48Z"
MINIO_COMMIT = "7aac2a2c5b7c"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_ANSWER_TIMEOUT_S = 30.0

Method = t.Callable[[], t.Union[Path, str]]  # the binary, or why this way did not lead to one


def find() -> Path:
    """Return a MinIO or SILO binary: named, on PATH, cached, downloaded, or built, in this order. Raises SetupError."""
    chosen = os.environ.get("LIFEBOAT_MINIO_BIN")
    if chosen:
        if not os.access(chosen, os.X_OK):
            raise SetupError(
                f"LIFEBOAT_MINIO_BIN names {chosen}, which cannot be run.\nRemedy: correct it or unset it."
            )
        return Path(chosen)
    ways: list[tuple[str, Method]] = [
        ("silo or minio on PATH", _on_path),
        ("the cache", _cached),
        (f"the SILO archive of {SILO_RELEASE}", _from_archive),
        (f"go install {MINIO_MODULE}", _from_source),
    ]
    tried = ["LIFEBOAT_MINIO_BIN: not set"]
    for name, method in ways:
        found = method()
        if isinstance(found, Path):
            return found
        tried.append(f"{name}: {found}")
    raise SetupError(
        "No MinIO server can be had. Tried:\n"
        + "".join(f"  - {line}\n" for line in tried)
        + "Remedy: install silo or minio, or name a binary in LIFEBOAT_MINIO_BIN; or install Go and let it be built."
    )


def _on_path() -> Path | str:
    for name in ("silo", "minio"):
        found = shutil.which(name)
        if found:
            return Path(found)
    return "neither is there"


def _silo_path() -> Path:
    return cache_folder() / "minio" / f"silo-{SILO_RELEASE}"


def _minio_path() -> Path:
    return cache_folder() / "minio" / f"minio-{MINIO_RELEASE}"


def _cached() -> Path | str:
    for path in (_silo_path(), _minio_path()):
        if os.access(path, os.X_OK):
            return path
    return f"neither {_silo_path()} nor {_minio_path()} is there"


def _architecture() -> str | None:
    return _ARCHITECTURES.get(platform.machine()) if sys.platform == "linux" else None


def _from_archive() -> Path | str:
    architecture = _architecture()
    if architecture is None:
        return f"there is none for {sys.platform} on {platform.machine()}"
    address = SILO_URL.format(release=SILO_RELEASE, arch=architecture)
    try:
        return build_once(_silo_path(), lambda part: unpack(download(address, SILO_SHA256[architecture], part), part))
    except (SetupError, OSError) as error:
        return str(error)


def download(url: str, sha256: str, beside: Path) -> Path:
    """Fetch `url` into a file beside `beside` and return it. Raises SetupError unless its SHA-256 is the pinned one."""
    archive = beside.with_name(f"{beside.name}.tar.gz")
    try:
        with urllib.request.urlopen(url, timeout=_ANSWER_TIMEOUT_S) as answer, archive.open("wb") as out:
            shutil.copyfileobj(answer, out)
    except urllib.error.HTTPError as error:
        raise SetupError(f"{url} answers {error.code} {error.reason}") from error
    except OSError as error:
        raise SetupError(f"{url} cannot be fetched: {error}") from error
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != sha256:
        raise SetupError(f"{url} gave something else: its SHA-256 is {found}, not the pinned {sha256}")
    return archive


def unpack(archive: Path, target: Path) -> None:
    """Write the server of the archive, the member `silo` at its root, to `target`. Raises SetupError."""
    with tarfile.open(archive, "r:gz") as tar:
        member = next((entry for entry in tar if entry.name in ("silo", "./silo") and entry.isfile()), None)
        source = tar.extractfile(member) if member else None
        if source is None:
            raise SetupError(f"{archive.name} holds no silo")
        with source, target.open("wb") as out:
            shutil.copyfileobj(source, out)
    target.chmod(0o755)


def _from_source() -> Path | str:
    go = shutil.which("go")
    if go is None:
        return "Go is not on PATH"
    print(f"Building {MINIO_MODULE}: this takes some minutes, once.", file=sys.stderr, flush=True)
    try:
        return build_once(_minio_path(), lambda part: _build(go, part))
    except (SetupError, OSError) as error:
        return str(error)


def _build(go: str, target: Path) -> None:
    package = "github.com/minio/minio/cmd"
    values = {"Version": MINIO_VERSION, "ReleaseTag": MINIO_RELEASE, "CommitID": MINIO_COMMIT}
    go_build.install(go, MINIO_MODULE, target, " ".join(f"-X {package}.{name}={values[name]}" for name in values))


if __name__ == "__main__":
    try:
        print(find())
    except SetupError as failure:
        raise SystemExit(str(failure)) from None

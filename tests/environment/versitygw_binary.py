# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import go_build
from cache import SetupError, build_once, cache_folder

# A second make of S3 server, with other limits: keys are paths of a file system.
VERSITYGW_VERSION = "v1.8.0"
VERSITYGW_MODULE = f"github.com/versity/versitygw/cmd/versitygw@{VERSITYGW_VERSION}"


def find() -> Path:
    """Return a Versity Gateway binary: named in LIFEBOAT_VERSITYGW_BIN, cached, or built. Raises SetupError."""
    chosen = os.environ.get("LIFEBOAT_VERSITYGW_BIN")
    if chosen:
        if not os.access(chosen, os.X_OK):
            raise SetupError(
                f"LIFEBOAT_VERSITYGW_BIN names {chosen}, which cannot be run.\nRemedy: correct it or unset it."
            )
        return Path(chosen)
    path = cache_folder() / "versitygw" / f"versitygw-{VERSITYGW_VERSION}"
    if os.access(path, os.X_OK):
        return path
    go = shutil.which("go")
    if go is None:
        raise SetupError(
            f"No Versity Gateway can be had: {path} is not there, and Go is not on PATH.\n"
            "Remedy: install Go and let it be built, or name a binary in LIFEBOAT_VERSITYGW_BIN."
        )
    print(f"Building {VERSITYGW_MODULE}: this takes a minute or two, once.", file=sys.stderr, flush=True)
    return build_once(path, lambda part: go_build.install(go, VERSITYGW_MODULE, part))


if __name__ == "__main__":
    try:
        print(find())
    except SetupError as failure:
        raise SystemExit(str(failure)) from None

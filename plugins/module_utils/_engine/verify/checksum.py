# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ..errors import DamagedError
from ..repository.manifest import Manifest
from ..repository.store import Store
from ..repository.stored_files import NeededFile
from ..stream.pipeline import stored_digest
from .outcome import Outcome
from .presence import judged

_READERS = 4  # files at once; each has two threads, and memory for a few MiB


def check_sums(store: Store, manifest: Manifest, *, own_only: bool = False) -> Outcome:
    """Read every stored byte and compare its SHA-256; needs no key and no database programs.

    `own_only` leaves out the files that earlier backups wrote.
    """

    def judge(each: NeededFile) -> str:
        wanted = (each.file.facts.stored_size, each.file.facts.stored_sha256)
        try:
            found = stored_digest(store.read(each.key(manifest.job)))
        except DamagedError as error:
            return error.cause or error.problem
        return "" if found == wanted else f"{found[0]} of {wanted[0]} bytes, and their SHA-256 is not the one written"

    return judged(store, manifest, "checksum", judge, own_only=own_only, workers=_READERS)

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import concurrent.futures
import typing as t

from ..errors import DamagedError
from ..repository import layout
from ..repository.manifest import Manifest
from ..repository.proof import FileVerdict
from ..repository.store import Store
from ..repository.stored_files import NeededFile, needed_files, needs_of, own_files
from .outcome import Outcome

_FOLDERS = 8  # of backups that are listed one by one
Judge = t.Callable[[NeededFile], str]  # the problem with a file, empty when there is none


def check_presence(store: Store, manifest: Manifest) -> Outcome:
    """Compare the list of stored files with what is there, by name and size; reads the small lists only."""
    try:
        owners = {manifest.id, *(need.owner for need in needs_of(store, manifest))}
    except DamagedError as error:
        return damaged_lists(manifest, "presence", error)
    sizes = _sizes(store, manifest.job, owners)

    def judge(each: NeededFile) -> str:
        found = sizes.get(each.key(manifest.job))
        if found is None:
            return "it is not there"
        wanted = each.file.facts.stored_size
        return "" if found == wanted else f"it has {found} bytes instead of {wanted}"

    return judged(store, manifest, "presence", judge)


def judged(
    store: Store, manifest: Manifest, level: str, judge: Judge, *, own_only: bool = False, workers: int = 1
) -> Outcome:
    """Return the verdicts of `judge` on every stored file that a backup needs, or (`own_only`) wrote itself.

    Damaged lists are verdicts, too. `judge` is called by that many `workers` at once.
    """
    files: list[NeededFile] = []
    verdicts: dict[str, list[FileVerdict]] = {}
    damage: DamagedError | None = None
    try:
        files.extend(own_files(store, manifest) if own_only else needed_files(store, manifest))
    except DamagedError as error:
        damage = error
    with concurrent.futures.ThreadPoolExecutor(workers, "verify") as pool:
        for each, problem in zip(files, pool.map(judge, files)):
            verdict = FileVerdict(each.file.name, each.file.facts.stored_sha256, not problem, problem)
            verdicts.setdefault(each.owner, []).append(verdict)
    if damage is not None:
        verdicts[manifest.id] = list(damaged_lists(manifest, level, damage).verdicts[manifest.id])
    return Outcome(level, {owner: tuple(each) for owner, each in verdicts.items()})


def damaged_lists(manifest: Manifest, level: str, error: DamagedError) -> Outcome:
    """Return the verdicts on a backup whose lists of files and needs cannot be read."""
    lists = (file for file in manifest.files if file.role in ("files", "needs"))
    problem = error.summary
    return Outcome(
        level, {manifest.id: tuple(FileVerdict(f.name, f.facts.stored_sha256, False, problem) for f in lists)}
    )


def _sizes(store: Store, job: str, owners: t.Collection[str]) -> dict[str, int]:
    """Return the sizes of what lies in the folders of some backups; many of them are told by one listing."""
    prefixes = [layout.data(job, owner) for owner in owners]
    if len(prefixes) > _FOLDERS:
        prefixes = [f"data/{job}/"]
    listed = (entry for prefix in prefixes for entry in store.entries(prefix))
    return {entry.key: entry.size for entry in listed if entry.key.split("/")[2] in owners}

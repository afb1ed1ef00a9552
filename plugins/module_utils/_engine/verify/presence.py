# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ..errors import DamagedError
from ..repository import layout
from ..repository.manifest import Manifest
from ..repository.proof import FileVerdict
from ..repository.store import Store
from ..repository.stored_files import NeededFile, needed_files
from .outcome import Outcome

Judge = t.Callable[[NeededFile], str]  # the problem with a file, empty when there is none


def check_presence(store: Store, manifest: Manifest) -> Outcome:
    """Compare the list of stored files with what is there, by name and size; reads the small lists only."""
    sizes: dict[str, dict[str, int]] = {}

    def judge(each: NeededFile) -> str:
        if each.owner not in sizes:
            sizes[each.owner] = {e.key: e.size for e in store.entries(layout.data(manifest.job, each.owner))}
        found = sizes[each.owner].get(each.key(manifest.job))
        if found is None:
            return "it is not there"
        wanted = each.file.facts.stored_size
        return "" if found == wanted else f"it has {found} bytes instead of {wanted}"

    return judged(store, manifest, "presence", judge)


def judged(store: Store, manifest: Manifest, level: str, judge: Judge) -> Outcome:
    """Return the verdicts of `judge` on every stored file that a backup needs; damaged lists are verdicts, too."""
    verdicts: dict[str, list[FileVerdict]] = {}
    try:
        for each in needed_files(store, manifest):
            problem = judge(each)
            verdict = FileVerdict(each.file.name, each.file.facts.stored_sha256, not problem, problem)
            verdicts.setdefault(each.owner, []).append(verdict)
    except DamagedError as error:
        lists = (file for file in manifest.files if file.role in ("files", "needs"))
        problem = f"{error.problem}: {error.cause}"
        verdicts[manifest.id] = [FileVerdict(f.name, f.facts.stored_sha256, False, problem) for f in lists]
    return Outcome(level, {owner: tuple(each) for owner, each in verdicts.items()})

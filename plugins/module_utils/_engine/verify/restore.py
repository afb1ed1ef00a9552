# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import tempfile
import typing as t

from ..child import ChildError
from ..errors import DamagedError, LifeboatError
from ..postgres.drill import DrillReport, restore_and_compare
from ..postgres.output import is_of_host
from ..repository.manifest import Manifest
from ..repository.store import Store
from ..repository.stored_files import NeededFile
from .content import DUMP, check_content
from .drill_place import DrillPlace
from .outcome import Outcome
from .spool import spooled


def check_restore(store: Store, manifest: Manifest, place: DrillPlace) -> Outcome:
    """Verify the content, then restore every archive into a scratch server, and compare what is there with it.

    Raises MissingPartError when PostgreSQL's server programs are not installed.
    """
    content = check_content(store, manifest, place.bin_dir, place.container)
    if not content.is_good:
        return dataclasses.replace(content, level="restore")
    report = dict(content.report)
    problems: dict[str, str] = {}
    for file in manifest.files:
        if file.role == DUMP:
            each = NeededFile(manifest.id, file)
            problems[file.name] = _drill(store, manifest, each, place, report)
    verdicts = {
        owner: tuple(
            dataclasses.replace(v, is_good=False, problem=problems[v.name]) if problems.get(v.name) else v
            for v in found
        )
        for owner, found in content.verdicts.items()
    }
    return Outcome("restore", verdicts, report)


def _drill(store: Store, manifest: Manifest, each: NeededFile, place: DrillPlace, report: dict[str, t.Any]) -> str:
    try:
        with spooled(store, manifest.job, each.owner, each.file, place.folder) as path:
            drill: DrillReport = restore_and_compare(
                path,
                manifest.source,
                bin_dir=place.bin_dir,
                parent=place.folder,
                user=place.user,
                jobs=place.jobs,
            )
    except (DamagedError, ChildError) as error:
        if isinstance(error, ChildError) and is_of_host(error):
            raise _not_tried_out(manifest, place, error) from error
        return error.cause or error.problem
    report.update(drill.fingerprint.summary())
    report.update(server_version=drill.server_version, load_s=round(drill.load_s, 3), total_s=round(drill.total_s, 3))
    return "; ".join(drill.differences)


def _not_tried_out(manifest: Manifest, place: DrillPlace, error: ChildError) -> LifeboatError:
    folder = place.folder or tempfile.gettempdir()
    return LifeboatError(
        f"Cannot try out a restore of backup {manifest.id} of {manifest.job}",
        error.cause,
        f"that says nothing of the backup: see that this host has room in {folder} and memory, and verify again",
    )

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime as dt
import typing as t

from ..errors import GuardRefusal, LifeboatError
from ..steps import reached
from . import alive, catalog, hold
from .catalog import Backup
from .keep import VERIFIED_MIN
from .layout import checked_id, checked_job
from .lease import WAIT_S, held
from .removal import remove_backup
from .store import Store
from .whole_copies import complete


def find(store: Store, job: str, backup_id: str, verified_min: int = VERIFIED_MIN) -> Backup:
    """Return the backup that is to be deleted; reads only.

    Raises LifeboatError when it is not there, and GuardRefusal for one that somebody holds (`held`), that a run builds
    on (`in_use`), or that is one of the last `verified_min` proved ones of which no stored file is gone
    (`last_proved`).
    """
    checked_job(job)
    checked_id(backup_id)
    bases = alive.intents(store, job).bases
    known = {backup.id: backup for backup in catalog.backups(store, job)}
    problem = f"Cannot delete backup {backup_id} of {job} from {store.name}"
    found = known.get(backup_id)
    if found is None:
        raise LifeboatError(problem, "it is not there", "take an id from the list of backups of this repository")
    by = hold.read(store, job).get(backup_id)
    if by is not None and by.is_in_force(store.now()):
        raise GuardRefusal("held", problem, f"it is held: {by.reason}", "release it with the module backup_hold")
    if backup_id in bases:
        raise GuardRefusal("in_use", problem, "a run that is under way builds on it", "wait until the run has ended")
    if found.is_good or found.is_claimed:
        proved = [backup.manifest for backup in known.values() if backup.is_good and backup.id != backup_id]
        left = len(complete(store, store, job, [manifest for manifest in proved if manifest is not None]))
        if left < verified_min:
            cause = f"{left} proved backups would be left, and {verified_min} are to stay"
            raise GuardRefusal("last_proved", problem, cause, "make and prove newer backups first")
    return found


def delete(
    store: Store,
    job: str,
    backup_id: str,
    window: dt.timedelta,
    verified_min: int = VERIFIED_MIN,
    wait_s: float = WAIT_S,
    on_wait: t.Callable[[str], None] = lambda _text: None,
) -> None:
    """Delete one backup: its manifest at once, its files by later prunes (docs/protocol.md, rules 6 and 9).

    Everything is looked at anew under the lease; raises what `find` does, BusyError, and DeniedError for a locked one.
    """
    with held(store, job, window, wait_s, on_wait, is_removing=True) as permit:
        reached("delete.leased")
        found = find(store, job, backup_id, verified_min)
        remove_backup(store, job, backup_id, found.manifest, permit)
    reached("delete.done")

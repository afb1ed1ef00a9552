# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Maintenance as the traces and the random search do it: by the engine's own prune and delete."""

from __future__ import annotations

import datetime as dt

from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import GuardRefusal, LifeboatError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import delete as deletion
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import prune as pruning
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.keep import VERIFIED_MIN, Keep
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.store import Store, StoreError

__all__ = ["VERIFIED_MIN", "prune", "remove"]


def prune(store: Store, job: str, window: dt.timedelta, keep: int = 100) -> None:
    """Remove backups beyond the newest `keep`, delete what old plans list, and plan what is garbage now."""
    pruning.prune(store, pruning.PruneRequest(job, Keep(last=keep), force=True), window)


def remove(store: Store, job: str, window: dt.timedelta, backup_id: str, is_forced: bool = True) -> bool:
    """Remove one backup, and say whether it was there and might go; unless forced, the last proved ones stay."""
    try:
        deletion.delete(store, job, backup_id, window, 0 if is_forced else VERIFIED_MIN)
    except StoreError:
        raise
    except GuardRefusal as refusal:
        if refusal.guard == "clock":
            raise
        return False
    except LifeboatError as error:
        if error.cause != "it is not there":
            raise
        return False
    return True

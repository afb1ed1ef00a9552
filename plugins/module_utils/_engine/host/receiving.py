# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ..repository import copy
from ..repository.copy import CopyPlan
from ..repository.manifest import Manifest
from ..repository.store import Store
from .place import Place, Say, silent


def receive(
    target: Place, source: Store, manifest: Manifest, wait_s: float, say: Say = silent, *, trusting: bool = False
) -> CopyPlan:
    """Bring a backup into a repository, have the keys ready to prove it there, and return what was moved.

    For `wait_s` and `trusting` see `copy.copy`. Raises as that and `Place.identity` do.
    """
    identity = target.receiving_identity()
    moved = copy.copy(source, target.store, manifest, identity, wait_s, say, trusting)
    target.identity()  # its keyring may have come with the backup
    return moved

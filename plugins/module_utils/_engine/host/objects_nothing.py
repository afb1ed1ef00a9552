# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ..errors import UsageError
from ..objects.restore_plan import Tally
from ..objects.selection import Selection
from ..repository.manifest import Manifest

NOTHING = "has nothing that matches the keys, prefix and patterns that were given"


def is_nothing(tally: Tally, selection: Selection) -> bool:
    """Say whether nothing in a backup is what was selected, though something was."""
    return not (tally.below or selection.is_all)


def refuse_nothing(tally: Tally, selection: Selection, manifest: Manifest) -> None:
    """Raise UsageError where nothing in a backup is what was asked for: a name is misspelt, or it is another backup.

    Not for an exact restore: of what a backup does not have, that empties a part of the target.
    """
    if is_nothing(tally, selection):
        raise UsageError(
            f"Cannot restore from backup {manifest.id} of {manifest.job}",
            f"it {NOTHING}",
            "compare them with a plan of the whole backup, or look for the object with lifeboat history",
        )

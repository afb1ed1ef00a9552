# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from .. import clock
from ..errors import DamagedError, UsageError
from ..repository import proof
from ..repository.intent import host_name
from ..repository.manifest import Manifest
from ..repository.store import Store
from ..verify.checksum import check_sums
from ..verify.content import check_content
from ..verify.outcome import Outcome
from ..verify.presence import check_presence
from ..verify.restore import DrillPlace, check_restore


def prove(store: Store, manifest: Manifest, level: str, place: DrillPlace) -> Outcome:
    """Verify a backup at one level and record the verdicts beside its stored files; presence proves nothing, so it is
    not recorded."""
    if level == "presence":
        return check_presence(store, manifest)
    moment = store.now()  # before the reading: what is written while it goes on is not proved by it
    if level == "checksum":
        outcome = check_sums(store, manifest)
    elif level == "content":
        outcome = check_content(store, manifest, place.bin_dir)
    elif level == "restore":
        outcome = check_restore(store, manifest, place)
    else:
        raise UsageError(f"Cannot verify at level {level!r}", "there is no such level", ", ".join(proof.LEVELS))
    for owner, verdicts in outcome.verdicts.items():
        report = outcome.report if owner == manifest.id else {}
        record = proof.ProofRecord(manifest.job, owner, level, moment, host_name(), verdicts, report)
        proof.write(store, record)
    return outcome


def require_good(outcome: Outcome, manifest: Manifest, where: str) -> None:
    """Raise DamagedError when a verification found anything bad."""
    if outcome.is_good:
        return
    raise DamagedError(
        f"Cannot trust backup {manifest.id} of {manifest.job} in {where}",
        "; ".join(outcome.problems[:5]),
        "use another copy or an earlier backup, look for failing hardware, and run the job again",
    )


def seconds_since(begun: float) -> float:
    """Return the seconds since a reading of the monotonic clock, to the millisecond."""
    return round(clock.monotonic() - begun, 3)

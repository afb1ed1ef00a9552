# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import typing as t

MASS_DELETE = "mass_delete"
MASS_REWRITE = "mass_rewrite"
ENTROPY_JUMP = "entropy_jump"
UNACKNOWLEDGED = "unacknowledged"
FOLLOWS = "follows"  # how the flag begins that a backup inherits

FEWEST = 100  # objects; so many may always be deleted or rewritten
DELETED_SHARE = 0.10  # of the objects of the base
REWRITTEN_SHARE = 0.20
FEWEST_JUMPED = 20  # objects
JUMPED_SHARE = 0.50  # of the rewritten objects

Policy = t.Mapping[str, str]  # guard → fail | warn | ignore
POLICIES = ("fail", "warn", "ignore")


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What a run found against its base."""

    base_objects: int  # that the base had; 0: there was no base
    gone: int  # objects of the base that are not there any more
    rewritten: int  # objects of the base whose bytes are others now
    emptied: t.Mapping[str, int] = dataclasses.field(default_factory=dict)  # collections with none left → had so many
    sampled: int = 0  # rewritten objects that were looked into
    jumped: int = 0  # of these, how many could be compressed before and cannot any more


@dataclasses.dataclass(frozen=True)
class Finding:
    """A guard that doubts what a backup holds."""

    guard: str
    words: str

    @property
    def flag(self) -> str:
        return f"{self.guard}: {self.words}"


def judge(found: Comparison) -> tuple[Finding, ...]:
    """Return the guards that doubt a backup.

    Mass delete: more than 100 objects and more than a tenth of the base are gone, or a bucket or folder that had more
    than 100 has none left. Mass rewrite: more than 100 and more than a fifth have other bytes. Entropy jump: of the
    rewritten objects that were looked into more than half could be compressed before and cannot any more, which makes
    more than 20 objects; encryption by an intruder looks like that, and so does a change to compressed formats.
    """
    return tuple(finding for rule in (_deleted, _rewritten, _jumped) for finding in rule(found))


def _deleted(found: Comparison) -> t.Iterator[Finding]:
    if found.gone > FEWEST and found.gone > found.base_objects * DELETED_SHARE:
        yield Finding(MASS_DELETE, f"{found.gone:,} of {found.base_objects:,} objects are gone")
        return
    emptied = {name: count for name, count in found.emptied.items() if count > FEWEST}
    if emptied:
        first = min(emptied)
        more = f", and {len(emptied) - 1:,} more are empty" if len(emptied) > 1 else ""
        yield Finding(MASS_DELETE, f"all {emptied[first]:,} objects of {first!a} are gone{more}")


def _rewritten(found: Comparison) -> t.Iterator[Finding]:
    if found.rewritten > FEWEST and found.rewritten > found.base_objects * REWRITTEN_SHARE:
        words = f"{found.rewritten:,} of {found.base_objects:,} objects have other content"
        yield Finding(MASS_REWRITE, words)


def _jumped(found: Comparison) -> t.Iterator[Finding]:
    if not found.sampled or found.jumped <= found.sampled * JUMPED_SHARE:
        return
    estimate = found.rewritten * found.jumped // found.sampled
    if estimate > FEWEST_JUMPED:
        words = f"about {estimate:,} of {found.rewritten:,} rewritten objects cannot be compressed any more"
        yield Finding(ENTROPY_JUMP, words)


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What guards say about a backup, by the policy of its job."""

    flags: tuple[str, ...]
    warnings: tuple[str, ...]


def by_policy(findings: t.Sequence[Finding], policy: Policy, follows: str = "") -> Verdict:
    """Sort findings into flags and warnings; a guard without policy fails.

    `follows`: id of the backup before this one when that is flagged and not acknowledged, else empty.
    """
    actions = [(policy.get(finding.guard, POLICIES[0]), finding) for finding in findings]
    flags = [finding.flag for action, finding in actions if action == "fail"]
    warnings = [finding.flag for action, finding in actions if action == "warn"]
    if follows:
        flags.append(f"{FOLLOWS} {follows}")
    return Verdict(tuple(flags), tuple(warnings))


def guard_of(flags: t.Sequence[str]) -> str:
    """Return the guard that results name for these flags: the first that doubts the backup itself."""
    names = [flag.partition(":")[0] for flag in flags if not flag.startswith(f"{FOLLOWS} ")]
    return names[0] if names else UNACKNOWLEDGED

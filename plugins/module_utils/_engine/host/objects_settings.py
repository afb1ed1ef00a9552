# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The settings of buckets in a restore: policy, lifecycle, versioning and so on, as their server wrote them."""

from __future__ import annotations

import dataclasses
import typing as t

from ..errors import LifeboatError, UsageError
from ..objects import bucket_documents
from ..objects.bucket_documents import POLICY
from ..objects.remarks import Remarks
from ..steps import reached
from .objects_destination import Destination, Server

# What objects depend on when they are written; all else would act on them (or notify of them) before they are there.
_EARLY = ("versioning", "object-lock", "encryption")
_ARN = "arn:aws:s3:::"


@dataclasses.dataclass(frozen=True)
class Change:
    """One document of a bucket that is written, or removed."""

    bucket: str
    name: str
    value: t.Any  # None: remove it


@dataclasses.dataclass(frozen=True)
class SettingsPlan:
    """What a restore does to the settings of buckets."""

    changes: tuple[Change, ...] = ()
    made: t.Mapping[str, bool] = dataclasses.field(default_factory=dict)  # new buckets → whether with object lock
    found: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)  # documents of those that are overwritten

    @property
    def overwritten(self) -> tuple[str, ...]:
        """Return the buckets that have settings which are overwritten or removed."""
        return tuple(self.found)

    @property
    def shown(self) -> tuple[str, ...]:
        """Return the changes for people."""
        return tuple(f"{each.bucket}: {'no ' if each.value is None else ''}{each.name}" for each in self.changes)


def plan_settings(
    destination: Destination,
    names: t.Mapping[str, str],
    kept: t.Mapping[str, t.Mapping[str, t.Any]],
    overwrite: bool = True,
) -> SettingsPlan:
    """Compare the settings `kept` in a backup with those of the buckets `names` that they go to.

    Without `overwrite` only what a bucket lacks is written. Raises UsageError for a folder, which has none.
    """
    if not kept:
        return SettingsPlan()
    if not isinstance(destination, Server):
        raise UsageError("Cannot restore settings of buckets into a folder", "it has none", "restore data only")
    changes: list[Change] = []
    made: dict[str, bool] = {}
    overwritten: dict[str, t.Any] = {}
    for collection, bucket in names.items():
        wanted = _renamed(kept.get(collection, {}), collection, bucket)
        is_there = destination.client.bucket_exists(bucket)
        found = bucket_documents.read(destination.client, bucket) if is_there else {}
        if not is_there:
            made[bucket] = "object-lock" in wanted
        differing = [name for name in bucket_documents.changes(wanted, found) if overwrite or name not in found]
        changes += [Change(bucket, name, wanted.get(name)) for name in differing]
        if any(name in found for name in differing):
            overwritten[bucket] = found
    return SettingsPlan(tuple(changes), made, overwritten)


def unknown_settings(kept: t.Mapping[str, t.Mapping[str, t.Any]]) -> list[str]:
    """Return a line for each bucket of whose settings a backup lacks some: its access key might not read them."""
    lacking = {name: bucket_documents.unseen(each) for name, each in kept.items()}
    return [f"the backup lacks of the settings of {name}: {', '.join(some)}" for name, some in lacking.items() if some]


def make_buckets(destination: Destination, plan: SettingsPlan) -> None:
    """Make the buckets that are not there: whether objects can be locked is decided then."""
    if isinstance(destination, Server):
        for bucket, has_lock in plan.made.items():
            if not destination.client.bucket_exists(bucket):
                destination.client.create_bucket(bucket, object_lock=has_lock)


def apply_settings(destination: Destination, plan: SettingsPlan, remarks: Remarks, is_early: bool) -> tuple[int, int]:
    """Write what objects depend on (`is_early`), or all else; return how many were written, and how many not.

    A document that the server does not take is a remark: it may speak of what another server does not have.
    """
    written = failed = 0
    if not isinstance(destination, Server):
        return written, failed
    for change in plan.changes:
        if (change.name in _EARLY) != is_early:
            continue
        try:
            bucket_documents.write(destination.client, change.bucket, change.name, change.value)
        except LifeboatError as error:
            failed += 1
            remarks.add(
                change.bucket, "", "failed", f"its {change.name} could not be set: {error.cause or error.problem}"
            )
        else:
            reached("restore:settings")
            written += 1
    return written, failed


def _renamed(documents: t.Mapping[str, t.Any], old: str, new: str) -> dict[str, t.Any]:
    """Return documents for a bucket of another name: a policy may only speak of its own bucket."""
    found = dict(documents)
    if old != new and found.get(POLICY) is not None:
        found[POLICY] = _with_name(found[POLICY], old, new)
    return found


def _with_name(value: t.Any, old: str, new: str) -> t.Any:
    if isinstance(value, dict):
        return {name: _with_name(each, old, new) for name, each in value.items()}
    if isinstance(value, list):
        return [_with_name(each, old, new) for each in value]
    if isinstance(value, str) and (value == _ARN + old or value.startswith(f"{_ARN}{old}/")):
        return _ARN + new + value[len(_ARN + old) :]
    return value

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import typing as t

from ..errors import GuardRefusal, UsageError
from . import bucket_removal, bucket_settings
from .bucket_api import BucketApi
from .bucket_settings import Found, SettingsPlan, Wanted, shown

_ABSENT = {"state": "absent"}


@dataclasses.dataclass(frozen=True)
class PresentPlan:
    """A bucket that shall be there, with its settings."""

    settings: SettingsPlan

    @property
    def changed(self) -> bool:
        return self.settings.creates or bool(self.settings.changes)

    def diff(self) -> tuple[dict[str, t.Any], dict[str, t.Any]]:
        """Return the settings that change, before and after."""
        changes = self.settings.changes
        before, after = (
            {"state": "present", **{item.name: shown(item.name, value) for item, value in side}}
            for side in ([(item, item.before) for item in changes], [(item, item.after) for item in changes])
        )
        if not self.settings.creates:
            return before, after
        return _ABSENT, {**after, "object_lock": self.settings.object_lock}

    def result(self) -> dict[str, t.Any]:
        """Return the wanted settings as they would be after the plan."""
        settings = {item.name: shown(item.name, item.after) for item in self.settings.settings}
        return {
            "bucket": self.settings.name,
            "created": self.settings.creates,
            "settings": settings,
            "warnings": list(self.settings.warnings),
        }

    def apply(self, api: BucketApi) -> dict[str, t.Any]:
        """Create the bucket, write what differs, and return the settings as they were read back."""
        name = self.settings.name
        if self.settings.creates:
            api.client.create_bucket(name, object_lock=self.settings.object_lock)
        written = {
            item.name: shown(item.name, api.write(name, item.name, item.after)) for item in self.settings.changes
        }
        return {"settings": {**self.result()["settings"], **written}}


@dataclasses.dataclass(frozen=True)
class AbsentPlan:
    """A bucket that shall not be there."""

    name: str
    exists: bool
    is_empty: bool

    @property
    def changed(self) -> bool:
        return self.exists

    def diff(self) -> tuple[dict[str, t.Any], dict[str, t.Any]]:
        """Return the state of the bucket before and after."""
        before = {"state": "present", "empty": self.is_empty} if self.exists else _ABSENT
        return before, _ABSENT

    def result(self) -> dict[str, t.Any]:
        """Return what the task returns when nothing was deleted."""
        return {"bucket": self.name}

    def apply(self, api: BucketApi) -> dict[str, t.Any]:
        """Delete the bucket; where the plan found content, which only a forced one does, all of that first."""
        deleted = 0 if self.is_empty else bucket_removal.empty(api.client, self.name)
        api.client.delete_bucket(self.name)
        return {"deleted_versions": deleted}


BucketPlan = t.Union[PresentPlan, AbsentPlan]


def plan_present(api: BucketApi, wanted: Wanted) -> PresentPlan:
    """Read what is wanted to be set, and plan. Raises LifeboatError when the server would refuse something."""
    bucket_settings.check_name(wanted.name)
    presence = api.presence(wanted.name)
    if wanted.quota is not None and not api.has_quotas(presence.is_minio):
        raise UsageError(
            f"Cannot set the quota of bucket {wanted.name}",
            "the server has no quotas: it does not answer as MinIO does",
            "leave quota out, or check endpoint_url and the rights of access_key",
        )
    found: Found | None = None
    if presence.exists:
        names = set(wanted.names())
        if wanted.object_lock is not None or wanted.default_retention is not None or wanted.versioning == "Suspended":
            names.add("object_lock")
        found = api.read(wanted.name, names, presence.is_minio)
    return PresentPlan(bucket_settings.plan(wanted, found, presence.is_minio))


def described(api: BucketApi, name: str | None, settings: t.Collection[str]) -> list[dict[str, t.Any]]:
    """Return the named settings of one bucket, or of all in the order of their names, as people write them.

    A setting that the server does not have is None. Raises LifeboatError.
    """
    names = api.client.list_buckets() if name is None else [name]
    rows = []
    for bucket in names:
        presence = api.presence(bucket)
        if presence.exists:
            found = api.read_what_there_is(bucket, settings, presence.is_minio)
            rows.append({"name": bucket, **{item: shown(item, getattr(found, item)) for item in settings}})
    return rows


def plan_absent(api: BucketApi, name: str, force: bool) -> AbsentPlan:
    """Look at a bucket that is to be deleted.

    Raises GuardRefusal when it is not empty and `force` is not set, or when it holds locked objects.
    """
    bucket_settings.check_name(name)
    presence = api.presence(name)
    if not presence.exists:
        return AbsentPlan(name, False, True)
    is_empty = next(api.client.list_versions(name), None) is None
    if not is_empty and not force:
        raise GuardRefusal(
            "bucket_not_empty",
            f"Cannot delete bucket {name}",
            "it holds objects, old versions of objects or delete markers",
            "set force: true to delete it with all of them, or empty it first",
        )
    if not is_empty and api.has_object_lock(name):
        bucket_removal.refuse_locked(api.client, name)
    return AbsentPlan(name, True, is_empty)

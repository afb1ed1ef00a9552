# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import re
import typing as t

from ..errors import GuardRefusal, UsageError
from . import lifecycle as lifecycles
from . import policy as policies
from .lifecycle import LifecycleRule

# In the order in which they are written: a retention needs the versioning that object lock brings.
SETTINGS = ("versioning", "default_retention", "lifecycle", "policy", "tags", "quota")

_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_ADDRESS = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+")
_MINIO_TAG = re.compile(r"[\w +\-=.:/@]*", re.ASCII)
_MAX_TAGS = 50  # "Using cost allocation S3 bucket tags"; the same on MinIO
_SIZE = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([KMGTP]?)(i?)(B?)\s*", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Retention:
    """How long new versions of a bucket with object lock are locked; no days and no years means not at all."""

    mode: str = ""  # GOVERNANCE | COMPLIANCE; empty: none
    days: int | None = None
    years: int | None = None


NO_RETENTION = Retention()


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What a bucket shall be; None means that the setting is left as it is."""

    name: str
    object_lock: bool | None = None
    versioning: str | None = None  # Enabled | Suspended
    default_retention: Retention | None = None
    lifecycle: tuple[LifecycleRule, ...] | None = None
    policy: str | None = None  # canned name or JSON text
    tags: t.Mapping[str, str] | None = None
    quota: int | None = None  # bytes; 0: none

    def names(self) -> tuple[str, ...]:
        """Return the names of the settings that are not left as they are."""
        return tuple(name for name in SETTINGS if getattr(self, name) is not None)


@dataclasses.dataclass(frozen=True)
class Found:
    """What a bucket is; None means that the setting was not read, or that the server does not have it."""

    is_minio: bool  # by its `Server` header
    object_lock: bool | None = False
    versioning: str | None = ""  # Enabled | Suspended; empty: never set
    default_retention: Retention | None = NO_RETENTION
    lifecycle: tuple[LifecycleRule, ...] | None = ()
    policy: policies.Document | None = None
    tags: t.Mapping[str, str] | None = dataclasses.field(default_factory=dict)
    quota: int | None = 0  # bytes; 0: none


@dataclasses.dataclass(frozen=True)
class Setting:
    """One wanted setting, before and after; both of the type of its field of Found."""

    name: str  # one of SETTINGS
    before: t.Any
    after: t.Any

    @property
    def differs(self) -> bool:
        return not means_same(self.name, self.after, self.before)


@dataclasses.dataclass(frozen=True)
class SettingsPlan:
    """What is to be done so that a bucket is as wanted."""

    name: str
    creates: bool
    object_lock: bool  # at creation
    settings: tuple[Setting, ...]  # all wanted ones
    warnings: tuple[str, ...] = ()

    @property
    def changes(self) -> tuple[Setting, ...]:
        """Return the settings that are to be written, in the order in which they can be."""
        return tuple(setting for setting in self.settings if setting.differs)


def plan(wanted: Wanted, found: Found | None, is_minio: bool) -> SettingsPlan:
    """Compare by meaning and return what is to be changed; `found` is None where there is no bucket. Raises UsageError.

    Everything that a server would refuse after something else was already changed is refused here.
    """
    creates = found is None
    if found is None:
        check_name(wanted.name)
        has_lock = bool(wanted.object_lock)
        found = Found(is_minio, object_lock=has_lock, versioning="Enabled" if has_lock else "")
    _check(wanted, found)
    settings = tuple(_setting(name, wanted, found) for name in wanted.names())
    return SettingsPlan(wanted.name, creates, creates and bool(wanted.object_lock), settings, _warnings(wanted, found))


def _setting(name: str, wanted: Wanted, found: Found) -> Setting:
    before, after = getattr(found, name), getattr(wanted, name)
    if name == "policy":
        after = policies.from_text(after, wanted.name)
    return Setting(name, before, before if means_same(name, after, before) else after)


def means_same(setting: str, wanted: t.Any, found: t.Any) -> bool:
    """Say whether a setting that was read means what is wanted, whatever the server added or reordered."""
    if setting == "lifecycle":
        return lifecycles.same(wanted, found)
    if setting == "policy":
        return policies.meaning(wanted) == policies.meaning(found)
    if setting == "tags":
        return dict(wanted) == dict(found)
    return bool(wanted == found)


def check_name(name: str) -> None:
    """Refuse what cannot be a bucket's name ("Bucket naming rules", Amazon S3). Raises UsageError."""
    if not _NAME.fullmatch(name) or ".." in name or _ADDRESS.fullmatch(name):
        raise UsageError(
            f"Cannot create bucket {name}",
            "a name has 3 to 63 small letters, digits, dots and hyphens, begins and ends with a letter or digit, "
            "has no two dots in a row and is no IP address",
            "choose another name",
        )


def _check(wanted: Wanted, found: Found) -> None:
    if wanted.object_lock is not None and wanted.object_lock != found.object_lock:
        raise GuardRefusal(
            "object_lock",
            f"Cannot {'add' if wanted.object_lock else 'remove'} object lock {'to' if wanted.object_lock else 'from'} "
            f"bucket {wanted.name}",
            "object lock can only be chosen when a bucket is created",
            "create another bucket and copy the objects, or leave object_lock as it is",
        )
    if wanted.versioning == "Suspended" and found.object_lock:
        raise GuardRefusal(
            "object_lock",
            f"Cannot suspend versioning of bucket {wanted.name}",
            "it has object lock, which needs versioning",
            "set versioning to enabled, or leave it out",
        )
    _check_retention(wanted, found)
    lifecycles.check(wanted.lifecycle or (), wanted.name)
    if found.is_minio:
        _check_minio_lifecycle(wanted)
    _check_tags(wanted, found.is_minio)
    if wanted.quota is not None and wanted.quota < 0:
        raise UsageError(f"Cannot set the quota of bucket {wanted.name}", "it is negative", "use 0 for no quota")


def _check_retention(wanted: Wanted, found: Found) -> None:
    retention = wanted.default_retention
    if retention is None or (retention == NO_RETENTION and not found.object_lock):
        return
    problem = f"Cannot set the default retention of bucket {wanted.name}"
    if not found.object_lock:
        raise GuardRefusal("object_lock", problem, "it has no object lock", "create a bucket with object_lock: true")
    terms = [term for term in (retention.days, retention.years) if term is not None]
    if retention.mode and (len(terms) != 1 or terms[0] < 1):
        raise UsageError(problem, "it needs either days or years, at least 1", "give one of them")
    if not retention.mode and terms:
        raise UsageError(problem, "days or years without a mode", "set mode to governance or compliance")


def _check_minio_lifecycle(wanted: Wanted) -> None:
    # MinIO refuses a rule that only aborts uploads, and drops the action without a word from any other rule.
    if any(rule.abort_multipart_days is not None for rule in wanted.lifecycle or ()):
        raise UsageError(
            f"Cannot set the lifecycle of bucket {wanted.name}",
            "MinIO has no lifecycle action for incomplete multipart uploads",
            "leave abort_multipart_days out: MinIO removes stale uploads after 24 hours "
            "(its setting stale_uploads_expiry)",
        )


def _check_tags(wanted: Wanted, is_minio: bool) -> None:
    tags = wanted.tags or {}
    fault = f"there are {len(tags)}, and {_MAX_TAGS} are the limit" if len(tags) > _MAX_TAGS else ""
    for key, value in tags.items():
        if not 1 <= len(key) <= 128 or len(value) > 256:
            fault = f"tag {key!r}: a key has 1 to 128 characters, a value at most 256"
        elif is_minio and not (_MINIO_TAG.fullmatch(key) and _MINIO_TAG.fullmatch(value)):
            fault = f"tag {key!r}: MinIO takes only letters, digits, spaces and +-=._:/@"
    if fault:
        raise UsageError(f"Cannot set the tags of bucket {wanted.name}", fault, "correct the tags")


def _warnings(wanted: Wanted, found: Found) -> tuple[str, ...]:
    document = policies.from_text(wanted.policy, wanted.name) if wanted.policy is not None else None
    if found.is_minio and policies.denies(document):
        return (
            f"The policy of bucket {wanted.name} denies something: MinIO judges only anonymous requests by bucket "
            "policies, so it does not bind users with a key. Use policies of users for that.",
        )
    return ()


def shown(name: str, value: t.Any) -> t.Any:
    """Return a setting in the form in which people write it, as plain JSON values."""
    if value is None:
        return None
    if name == "versioning":
        return value.lower() or "unset"
    if name == "default_retention":
        terms = {"days": value.days, "years": value.years}
        return {"mode": value.mode.lower() or "none", **{term: n for term, n in terms.items() if n is not None}}
    if name == "lifecycle":
        return [lifecycles.shown(rule) for rule in value]
    return dict(value) if name in ("policy", "tags") else value


def bytes_from(text: str) -> int:
    """Return the bytes that `10GiB` (powers of 1024), `10GB` (powers of 1000) or `1048576` mean. Raises UsageError."""
    match = _SIZE.fullmatch(text)
    number, letter, binary, unit = match.groups() if match else ("", "", "", "")
    if not match or (letter and not unit) or (binary and not letter):
        raise UsageError(
            f"Cannot use {text!r} as a size", "the unit is missing or unknown", "write it like 500MB, 10GiB or 1TiB"
        )
    power = " KMGTP".index(letter.upper() or " ")
    return round(float(number) * (1024 if binary else 1000) ** power) if power else round(float(number))

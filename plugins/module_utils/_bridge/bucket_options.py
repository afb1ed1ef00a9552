# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of a bucket's settings, and what they ask for."""

from __future__ import annotations

import typing as t

from .._engine.minio.bucket_settings import Retention, Wanted, bytes_from
from .._engine.minio.lifecycle import LifecycleRule
from .options import Spec

LIFECYCLE_RULE: Spec = {
    "id": {"type": "str"},
    "enabled": {"type": "bool", "default": True},
    "prefix": {"type": "str", "default": ""},
    "tags": {"type": "dict", "default": {}},
    "min_size": {"type": "str"},
    "max_size": {"type": "str"},
    "expiration_days": {"type": "int"},
    "expiration_date": {"type": "str"},
    "expired_object_delete_marker": {"type": "bool", "default": False},
    "noncurrent_days": {"type": "int"},
    "newer_noncurrent_versions": {"type": "int"},
    "abort_multipart_days": {"type": "int"},
    "transition_days": {"type": "int"},
    "transition_class": {"type": "str", "default": ""},
    "noncurrent_transition_days": {"type": "int"},
    "noncurrent_transition_class": {"type": "str", "default": ""},
}
BUCKET_SETTINGS: Spec = {
    "object_lock": {"type": "bool"},
    "default_retention": {
        "type": "dict",
        "options": {
            "mode": {"type": "str", "required": True, "choices": ["governance", "compliance", "none"]},
            "days": {"type": "int"},
            "years": {"type": "int"},
        },
        "mutually_exclusive": [["days", "years"]],
    },
    "versioning": {"type": "str", "choices": ["enabled", "suspended"]},
    "lifecycle": {"type": "list", "elements": "dict", "options": LIFECYCLE_RULE},
    "policy": {"type": "json"},
    "tags": {"type": "dict"},
    "quota": {"type": "str"},
}


def wanted_from(params: t.Mapping[str, t.Any]) -> Wanted:
    """Return what the options of BUCKET_SETTINGS ask for. Raises UsageError."""
    rules, tags, quota, versioning = (params[name] for name in ("lifecycle", "tags", "quota", "versioning"))
    return Wanted(
        name=params["name"],
        object_lock=params["object_lock"],
        versioning=versioning.capitalize() if versioning else None,
        default_retention=_retention(params["default_retention"]),
        lifecycle=None if rules is None else tuple(_rule(rule) for rule in rules),
        policy=params["policy"],
        tags=None if tags is None else dict(_tags(tags)),
        quota=None if quota is None else bytes_from(quota),
    )


def _retention(params: t.Mapping[str, t.Any] | None) -> Retention | None:
    if params is None:
        return None
    mode = "" if params["mode"] == "none" else params["mode"].upper()
    return Retention(mode, params["days"], params["years"])


def _rule(params: t.Mapping[str, t.Any]) -> LifecycleRule:
    sizes = {name: bytes_from(params[name]) for name in ("min_size", "max_size") if params[name] is not None}
    changed = {"id": params["id"] or "", "tags": tuple(_tags(params["tags"] or {})), **sizes}
    changed["expiration_date"] = params["expiration_date"] or ""
    return LifecycleRule(**{**params, **changed})


def _tags(params: t.Mapping[str, t.Any]) -> list[tuple[str, str]]:
    """Return tags as text, sorted: YAML makes numbers and booleans of values that look like them."""
    return sorted((str(key), _text(value)) for key, value in params.items())


def _text(value: t.Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)

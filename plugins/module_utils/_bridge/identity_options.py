# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options of the modules for users, groups, policies and access keys of MinIO."""

from __future__ import annotations

import datetime as dt
import typing as t

from .._engine import clock
from .._engine.errors import UsageError
from .._engine.minio import iam_policy, repository_keys
from .._engine.minio.access_keys import WantedKey
from .._engine.minio.identity_api import IdentityApi
from .._engine.minio.policy import Document
from .options import Spec
from .s3_options import endpoint_from

# Documented in the fragment _grant.
GRANT: Spec = {
    "grant": {
        "type": "dict",
        "options": {
            "role": {"type": "str", "required": True, "choices": list(repository_keys.ROLES)},
            "bucket": {"type": "str", "required": True},
            "prefix": {"type": "str", "default": ""},
        },
    },
}
_INHERIT = "inherit"
_NEVER = "never"
STATE: Spec = {"state": {"type": "str", "choices": ["present", "absent"], "default": "present"}}
STATUS: Spec = {"status": {"type": "str", "choices": ["enabled", "disabled"]}}


def api_from(params: t.Mapping[str, t.Any]) -> IdentityApi:
    """Return the admin API that the options of S3_CONNECTION describe."""
    return IdentityApi(endpoint_from(params))


def is_enabled(status: str | None) -> bool | None:
    """Return what an option of STATUS asks for, None for nothing."""
    return None if status is None else status == "enabled"


def names(given: t.Collection[str] | None) -> tuple[str, ...] | None:
    """Return a list of names as plans take it; None stays "as it is"."""
    return None if given is None else tuple(given)


def granted(grant: t.Mapping[str, t.Any]) -> Document:
    """Return the policy of the option of GRANT. Raises UsageError."""
    return repository_keys.document(grant["role"], grant["bucket"], grant["prefix"])


def document_from(text: str | None, grant: t.Mapping[str, t.Any] | None, problem: str) -> Document:
    """Return the policy that either of two options asks for; one of them is given. Raises UsageError."""
    return granted(grant) if grant is not None else iam_policy.from_text(text or "", problem)


def wanted_key(params: t.Mapping[str, t.Any]) -> WantedKey:
    """Return what the options of minio_access_key ask for. Raises UsageError."""
    given = params["key_id"] or params["credentials_file"]
    settings: dict[str, t.Any] = {name: params[name] for name in ("label", "description") if params[name] is not None}
    if params["status"] is not None:
        settings["is_enabled"] = is_enabled(params["status"])
    if params["expires"] is not None:
        settings["expires"] = _moment(params["expires"], given)
    if params["grant"] is not None:
        settings["policy"] = granted(params["grant"])
    elif params["policy"] == _INHERIT:
        settings["policy"] = None
    elif params["policy"] is not None:
        settings["policy"] = iam_policy.from_text(params["policy"], f"Cannot write access key {given}")
    return WantedKey(
        params["key_id"] or "",
        params["key_secret"] or "",
        params["user"] or "",
        settings,
        params["credentials_file"] or "",
        params["return_secret"],
    )


def _moment(text: str, key: str) -> dt.datetime | None:
    if text == _NEVER:
        return None
    try:
        return clock.from_text(text).replace(microsecond=0)
    except ValueError as error:
        raise UsageError(
            f"Cannot write access key {key}",
            f"{text!r} is no time in UTC",
            "write it like 2027-01-31T12:00:00Z, or never",
        ) from error

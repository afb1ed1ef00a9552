# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of repositories that several modules share; each has a documentation fragment of the same name."""

from __future__ import annotations

import typing as t

from .._engine.host import copies_objective
from .._engine.host.archive_settings import retrieval_from
from .._engine.host.place import Site
from .._engine.repository.bucket import BucketStore
from .._engine.repository.directory import DirectoryStore
from .._engine.repository.keep import TIERS
from .._engine.repository.lock_policy import MODES
from .._engine.repository.rclone import RcloneStore
from .._engine.repository.rclone_program import Rclone
from .._engine.repository.retrieval import RetrievalPolicy
from .._engine.repository.store import Store
from .._engine.s3.archive_calls import TIERS as TIERS_OF_ARCHIVES
from .options import Spec
from .s3_client import client_from
from .s3_options import S3_CONNECTION, S3_CONNECTION_RULES

# What somebody opens a keyring with.
KEYRING: Spec = {
    "type": "dict",
    "no_log": False,  # its secret is kept out of logs
    "options": {
        "secret_file": {"type": "path", "no_log": False},
        "secret": {"type": "str", "no_log": True},
        "recovery_code_file": {"type": "path"},
        "recovery_key_file": {"type": "path"},
    },
    "mutually_exclusive": [["secret_file", "secret", "recovery_code_file"]],
    "required_one_of": [["secret_file", "secret", "recovery_code_file"]],
    "required_by": {"recovery_key_file": ["recovery_code_file"]},
}

# Documented in the fragment _mirror_sides; the suboptions of a bucket or directory.
_PLACE_OPTIONS: Spec = {
    "options": {
        "name": {"type": "str"},
        "path": {"type": "path"},
        "bucket": {"type": "str"},
        "prefix": {"type": "str", "default": ""},
        **S3_CONNECTION,
    },
    "mutually_exclusive": [["path", "bucket"]],
    "required_one_of": [["path", "bucket"]],
    **S3_CONNECTION_RULES,
}
PLACE: Spec = {"type": "dict", "required": True, **_PLACE_OPTIONS}
PLACES: Spec = {"type": "list", "elements": "dict", "required": True, **_PLACE_OPTIONS}

# Documented in the fragment _repository; the suboptions of one place that holds backups.
_OF_REPOSITORIES: Spec = {
    "rclone": {"type": "str"},
    "rclone_config": {"type": "path"},
    "rclone_program": {"type": "str", "default": "rclone"},
    "keyring": {
        **KEYRING,
        "options": {**KEYRING["options"], "allow_unsigned": {"type": "bool", "default": False}},
    },
    "media": {"type": "str"},
    "offsite": {"type": "bool", "default": False},
    "archive": {
        "type": "dict",
        "options": {
            "tier": {"type": "str", "choices": list(TIERS_OF_ARCHIVES), "default": "Standard"},
            "days": {"type": "int", "default": 7},
            "wait": {"type": "str", "default": "48h"},
        },
    },
    "lock": {
        "type": "dict",
        "options": {
            "mode": {"type": "str", "choices": list(MODES), "default": "COMPLIANCE"},
            "rolling": {"type": "str", "default": "14d"},
            "most": {"type": "str"},
            "access_key": {"type": "str", "no_log": False},
            "secret_key": {"type": "str", "no_log": True},
        },
        "required_together": [["access_key", "secret_key"]],
    },
}
_REPOSITORY_OPTIONS: Spec = {
    "options": {**_PLACE_OPTIONS["options"], **_OF_REPOSITORIES},
    "mutually_exclusive": [["path", "bucket", "rclone"]],
    "required_one_of": [["path", "bucket", "rclone"]],
    **S3_CONNECTION_RULES,
}
REPOSITORY: Spec = {"repository": {"type": "dict", "required": True, **_REPOSITORY_OPTIONS}}
REPOSITORIES: Spec = {
    "repositories": {"type": "list", "elements": "dict", "required": True, **_REPOSITORY_OPTIONS},
}

# Documented in the fragment _copies_objective.
COPIES: Spec = {"copies": {"type": "dict", "options": {name: {"type": "int"} for name in copies_objective.KEYS}}}

# Documented in the fragment _kept_repositories; which backups a repository keeps.
KEEP: Spec = {
    "keep": {
        "type": "dict",
        "options": {
            **{name: {"type": "int"} for name in ("last", *TIERS, "verified_min", "max_backups", "retention_days")},
            "within": {"type": "str"},
        },
    }
}
KEPT_REPOSITORIES: Spec = {
    "repositories": {**REPOSITORIES["repositories"], "options": {**_REPOSITORY_OPTIONS["options"], **KEEP}}
}


def store_from(params: t.Mapping[str, t.Any]) -> Store:
    """Return the store of one `repository` (a dictionary of the suboptions of REPOSITORY)."""
    if params["path"]:
        return DirectoryStore(params["path"])
    if params.get("rclone"):
        return RcloneStore(Rclone(params["rclone"], params["rclone_config"] or "", params["rclone_program"]))
    return BucketStore(client_from(params), params["bucket"], params["prefix"])


def site_from(params: t.Mapping[str, t.Any]) -> Site:
    """Return what one `repository` says of where it lies."""
    usual = "disk" if params["path"] else "remote" if params.get("rclone") else "s3"
    return Site(params.get("media") or usual, bool(params.get("offsite")))


def archive_from(params: t.Mapping[str, t.Any]) -> RetrievalPolicy | None:
    """Return how archived files of one `repository` are brought back, None: they are not. Raises UsageError."""
    return retrieval_from(params["archive"]) if params.get("archive") else None


def repository_name(params: t.Mapping[str, t.Any]) -> str:
    """Return how results name one `repository`: its `name`, else its path or `s3://bucket/prefix`."""
    if params["name"]:
        return str(params["name"])
    if params["path"]:
        return str(params["path"])
    if params.get("rclone"):
        return str(params["rclone"])
    return f"s3://{params['bucket']}/{params['prefix']}".rstrip("/")

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options that several modules share; each has a documentation fragment of the same name."""

from __future__ import annotations

import typing as t

from ansible.module_utils.basic import env_fallback

from .._engine.postgres.container import ENGINES
from .._engine.repository.bucket import BucketStore
from .._engine.repository.directory import DirectoryStore
from .._engine.repository.keep import TIERS
from .._engine.repository.store import Store
from .._engine.s3.client import S3Client
from .._engine.s3.endpoint import Endpoint

Spec = dict[str, t.Any]


def _from_environment(*names: str) -> tuple[t.Any, list[str]]:
    return (env_fallback, list(names))


# Documented in the fragment _s3_connection.
S3_CONNECTION: Spec = {
    "endpoint_url": {"type": "str", "fallback": _from_environment("LIFEBOAT_S3_ENDPOINT", "AWS_ENDPOINT_URL")},
    "access_key": {"type": "str", "no_log": False, "fallback": _from_environment("AWS_ACCESS_KEY_ID")},
    "secret_key": {"type": "str", "fallback": _from_environment("AWS_SECRET_ACCESS_KEY"), "no_log": True},
    "session_token": {"type": "str", "fallback": _from_environment("AWS_SESSION_TOKEN"), "no_log": True},
    "region": {
        "type": "str",
        "default": "us-east-1",
        "fallback": _from_environment("AWS_REGION", "AWS_DEFAULT_REGION"),
    },
    "addressing_style": {"type": "str", "choices": ["auto", "path", "virtual"], "default": "auto"},
    "ca_cert": {"type": "path", "fallback": _from_environment("AWS_CA_BUNDLE")},
    "validate_certs": {"type": "bool", "default": True},
    "allow_plaintext": {"type": "bool", "default": False},
}
# For AnsibleModule(argument_spec={**S3_CONNECTION, …}, **S3_CONNECTION_RULES).
S3_CONNECTION_RULES: Spec = {"required_together": [["access_key", "secret_key"]]}

# Documented in the fragment _repository; what somebody opens the keyring of a repository with.
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
_REPOSITORY_OPTIONS: Spec = {**_PLACE_OPTIONS, "options": {**_PLACE_OPTIONS["options"], "keyring": KEYRING}}
REPOSITORY: Spec = {"repository": {"type": "dict", "required": True, **_REPOSITORY_OPTIONS}}
REPOSITORIES: Spec = {
    "repositories": {"type": "list", "elements": "dict", "required": True, **_REPOSITORY_OPTIONS},
}

# Documented in the fragment _postgres_programs.
POSTGRES_PROGRAMS: Spec = {
    "bin_dir": {"type": "path"},
    "container": {"type": "str", "default": ""},
    "container_engine": {"type": "str", "default": "", "choices": ["", *ENGINES]},
}

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

# Documented in the fragments _postgres_login and _postgres_programs; names and meanings as in the collection
# community.postgresql.
POSTGRES_LOGIN: Spec = {
    "login_host": {"type": "str", "default": "", "fallback": _from_environment("PGHOST")},
    "login_port": {"type": "int", "default": 5432, "fallback": _from_environment("PGPORT")},
    "login_user": {"type": "str", "default": "postgres", "fallback": _from_environment("PGUSER")},
    "login_password": {"type": "str", "default": "", "no_log": True, "fallback": _from_environment("PGPASSWORD")},
    "login_unix_socket": {"type": "str", "default": ""},
    "ssl_mode": {
        "type": "str",
        "default": "prefer",
        "choices": ["allow", "disable", "prefer", "require", "verify-ca", "verify-full"],
        "fallback": _from_environment("PGSSLMODE"),
    },
    "ca_cert": {"type": "path", "fallback": _from_environment("PGSSLROOTCERT")},
    **POSTGRES_PROGRAMS,
}


def endpoint_from(params: t.Mapping[str, t.Any]) -> Endpoint:
    """Return the S3 endpoint that the options of S3_CONNECTION describe."""
    return Endpoint(
        url=params["endpoint_url"] or "",
        region=params["region"],
        access_key=params["access_key"] or "",
        secret_key=params["secret_key"] or "",
        session_token=params["session_token"] or "",
        addressing_style=params["addressing_style"],
        ca_file=params["ca_cert"] or "",
        verify_tls=params["validate_certs"],
        allow_plaintext=params["allow_plaintext"],
    )


def client_from(params: t.Mapping[str, t.Any]) -> S3Client:
    """Return a client for the S3 endpoint that the options of S3_CONNECTION describe."""
    return S3Client(endpoint_from(params))


def store_from(params: t.Mapping[str, t.Any]) -> Store:
    """Return the store of one `repository` (a dictionary of the suboptions of REPOSITORY)."""
    if params["path"]:
        return DirectoryStore(params["path"])
    return BucketStore(client_from(params), params["bucket"], params["prefix"])


def repository_name(params: t.Mapping[str, t.Any]) -> str:
    """Return how results name one `repository`: its `name`, else its path or `s3://bucket/prefix`."""
    if params["name"]:
        return str(params["name"])
    if params["path"]:
        return str(params["path"])
    return f"s3://{params['bucket']}/{params['prefix']}".rstrip("/")

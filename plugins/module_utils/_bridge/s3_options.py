# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of connections to S3 servers, and the endpoint that they describe."""

from __future__ import annotations

import typing as t

from .._engine.s3.endpoint import Endpoint
from .options import Spec, from_environment

# Documented in the fragment _s3_connection.
S3_CONNECTION: Spec = {
    "endpoint_url": {"type": "str", "fallback": from_environment("LIFEBOAT_S3_ENDPOINT", "AWS_ENDPOINT_URL")},
    "access_key": {"type": "str", "no_log": False, "fallback": from_environment("AWS_ACCESS_KEY_ID")},
    "secret_key": {"type": "str", "fallback": from_environment("AWS_SECRET_ACCESS_KEY"), "no_log": True},
    "session_token": {"type": "str", "fallback": from_environment("AWS_SESSION_TOKEN"), "no_log": True},
    "region": {
        "type": "str",
        "default": "us-east-1",
        "fallback": from_environment("AWS_REGION", "AWS_DEFAULT_REGION"),
    },
    "addressing_style": {"type": "str", "choices": ["auto", "path", "virtual"], "default": "auto"},
    "ca_cert": {"type": "path", "fallback": from_environment("AWS_CA_BUNDLE")},
    "validate_certs": {"type": "bool", "default": True},
    "allow_plaintext": {"type": "bool", "default": False},
}
# For AnsibleModule(argument_spec={**S3_CONNECTION, …}, **S3_CONNECTION_RULES).
S3_CONNECTION_RULES: Spec = {"required_together": [["access_key", "secret_key"]]}


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

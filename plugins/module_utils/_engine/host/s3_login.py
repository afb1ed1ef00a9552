# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses

from ..errors import UsageError
from ..s3.client import S3Client
from ..s3.endpoint import Endpoint
from .fields import Fields
from .secret_file import read_secret

_STYLES = ("auto", "path", "virtual")


@dataclasses.dataclass(frozen=True)
class S3Login:
    """How to reach an S3 server; its secrets are read when it is needed, by the user who runs the job."""

    endpoint: Endpoint  # without credentials
    access_key: str = dataclasses.field(default="", repr=False)
    secret_key_file: str = ""
    session_token_file: str = ""

    def client(self) -> S3Client:
        """Return a client; nothing is sent yet. Raises UsageError for secrets that cannot be read."""
        endpoint = self.endpoint
        if self.access_key:
            token = read_secret(self.session_token_file) if self.session_token_file else ""
            secret = read_secret(self.secret_key_file)
            endpoint = dataclasses.replace(endpoint, access_key=self.access_key, secret_key=secret, session_token=token)
        return S3Client(endpoint)


def login_from(fields: Fields) -> S3Login:
    """Return the login that the keys of a repository or source describe. Raises UsageError."""
    login = S3Login(
        _endpoint(fields),
        access_key=fields.text("access_key"),
        secret_key_file=fields.path("secret_key_file"),
        session_token_file=fields.path("session_token_file"),
    )
    if bool(login.access_key) != bool(login.secret_key_file):
        missing = "secret_key_file" if login.access_key else "access_key"
        raise fields.refuse(missing, "is missing", "give both access_key and secret_key_file, or neither")
    if login.session_token_file and not login.access_key:
        raise fields.refuse("access_key", "is missing", "a session token belongs to an access key")
    return login


def _endpoint(fields: Fields) -> Endpoint:
    try:
        return Endpoint(
            url=fields.text("endpoint_url"),
            region=fields.text("region", Endpoint.region),
            addressing_style=fields.choice("addressing_style", _STYLES, "auto"),
            ca_file=fields.path("ca_cert"),
            verify_tls=fields.flag("validate_certs", True),
            allow_plaintext=fields.flag("allow_plaintext", False),
        )
    except UsageError as error:
        if error.problem.startswith("Cannot use this"):
            raise fields.refuse("endpoint_url", f"cannot be used: {error.cause}", error.remedy) from error
        raise

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import importlib
import typing as t

from ..errors import LifeboatError, MissingPartError, UsageError
from .endpoint import Endpoint


@dataclasses.dataclass(frozen=True)
class Credentials:
    """What one request is signed with."""

    access_key: str = dataclasses.field(repr=False)
    secret_key: str = dataclasses.field(repr=False)
    session_token: str = dataclasses.field(default="", repr=False)


Source = t.Callable[[], Credentials]  # asked before each request: the credentials of roles change every few hours


def source_for(endpoint: Endpoint, profile: str = "") -> Source:
    """Return where requests to `endpoint` get their credentials from: its own, else boto3's chain.

    The chain knows the environment, profiles, roles and instance metadata.
    Raises MissingPartError without boto3, UsageError when the chain finds nothing.
    """
    if endpoint.access_key:
        given = Credentials(endpoint.access_key, endpoint.secret_key, endpoint.session_token)
        return lambda: given
    return _chain(profile)


def _chain(profile: str) -> Source:
    problem = "Cannot find credentials for S3"
    try:
        boto3 = importlib.import_module("boto3")
        exceptions = importlib.import_module("botocore.exceptions")
    except ImportError as error:
        raise MissingPartError(
            problem,
            "no access_key is given, and boto3, which knows profiles and roles, is not installed",
            "give access_key and secret_key, or install boto3",
        ) from error
    try:
        found = boto3.session.Session(profile_name=profile or None).get_credentials()
    except exceptions.BotoCoreError as error:
        raise UsageError(problem, str(error), "give access_key and secret_key, or repair the profile") from error
    if found is None:
        raise UsageError(
            problem,
            "no access_key is given, and boto3 finds none in environment, profiles or instance metadata",
            "give access_key and secret_key",
        )

    def current() -> Credentials:
        try:
            frozen = found.get_frozen_credentials()
        except exceptions.BotoCoreError as error:
            raise LifeboatError(problem, str(error), "look whether the role can still be assumed") from error
        return Credentials(frozen.access_key, frozen.secret_key, frozen.token or "")

    return current

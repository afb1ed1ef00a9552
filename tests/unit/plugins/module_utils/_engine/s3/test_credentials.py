# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import sys
import types

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import MissingPartError, UsageError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3 import credentials
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.endpoint import Endpoint


def test_given_credentials_are_used_without_boto3(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    source = credentials.source_for(Endpoint("https://h", access_key="a", secret_key="b", session_token="c"))
    assert source() == credentials.Credentials("a", "b", "c")


def test_without_credentials_and_without_boto3_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(MissingPartError, match="install boto3"):
        credentials.source_for(Endpoint("https://h"))


def test_the_chain_of_boto3_is_asked_before_each_request(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = iter(["first", "second"])
    found = types.SimpleNamespace(
        get_frozen_credentials=lambda: types.SimpleNamespace(access_key=next(turns), secret_key="s", token=None)
    )
    session = types.SimpleNamespace(get_credentials=lambda: found)
    boto3 = types.SimpleNamespace(session=types.SimpleNamespace(Session=lambda profile_name: session))
    monkeypatch.setitem(sys.modules, "boto3", boto3)  # type: ignore[arg-type]
    source = credentials.source_for(Endpoint("https://h"))
    assert [source().access_key, source().access_key] == ["first", "second"]


@pytest.fixture
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", f"{tmp_path}/credentials")
    monkeypatch.setenv("AWS_CONFIG_FILE", f"{tmp_path}/config")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.mark.usefixtures("bare_environment")
def test_a_chain_that_finds_nothing_is_a_clear_error() -> None:
    with pytest.raises(UsageError, match="finds none"):
        credentials.source_for(Endpoint("https://h"))


@pytest.mark.usefixtures("bare_environment")
def test_an_unknown_profile_is_a_clear_error() -> None:
    with pytest.raises(UsageError, match="nonesuch"):
        credentials.source_for(Endpoint("https://h"), "nonesuch")


@pytest.mark.usefixtures("bare_environment")
def test_the_environment_is_part_of_the_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "from-environment")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    assert credentials.source_for(Endpoint("https://h"))().access_key == "from-environment"

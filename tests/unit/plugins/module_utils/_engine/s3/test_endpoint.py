# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import UsageError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.endpoint import Endpoint


@pytest.mark.parametrize("url", ["http://127.0.0.1:9000", "http://localhost", "http://[::1]:9000", "http://127.8.9.1"])
def test_plain_http_is_allowed_to_this_machine(url: str) -> None:
    assert Endpoint(url).url == url


@pytest.mark.parametrize("url", ["http://storage.example.org", "http://10.0.0.1:9000", "http://localhost.example.org"])
def test_plain_http_to_another_machine_needs_permission(url: str) -> None:
    with pytest.raises(UsageError, match="not encrypted"):
        Endpoint(url)
    assert Endpoint(url, allow_plaintext=True).url == url


@pytest.mark.parametrize(
    "url",
    [
        "storage.example.org", "ftp://storage.example.org", "https://", "https://h/path", "https://h?x=1", "https://h#x",
        "https://h:99999", "https://h:x", "https://h\r\nx", "https://h/ x",
    ],
)  # fmt: skip
def test_a_url_that_is_more_or_less_than_a_server_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="URL"):
        Endpoint(url)


def test_credentials_in_a_url_are_refused_and_not_repeated() -> None:
    with pytest.raises(UsageError) as caught:
        Endpoint("https://someone:very-secret@storage.example.org")
    assert "very-secret" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"access_key": "a"},
        {"secret_key": "a"},
        {"access_key": "a\n", "secret_key": "b"},
        {"access_key": "a", "secret_key": "b\n"},
        {"access_key": "a", "secret_key": "b", "session_token": "c\r\nx: y"},
        {"addressing_style": "sideways"},
        {"region": "eu west"},
        {"max_attempts": 0},
        {"read_timeout_s": 0},
    ],
)
def test_settings_that_cannot_work_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        dataclasses.replace(Endpoint("https://h"), **change)  # type: ignore[arg-type]


def test_secrets_never_show_in_a_representation() -> None:
    endpoint = Endpoint("https://h", access_key="ID-canary", secret_key="KEY-canary", session_token="TOKEN-canary")
    assert "canary" not in repr(endpoint)


@pytest.mark.parametrize(
    ("endpoint", "bucket", "expected"),
    [
        (Endpoint("http://127.0.0.1:9000"), "b-1", ("127.0.0.1", "/b-1")),
        (Endpoint("https://h", addressing_style="virtual"), "b-1", ("b-1.h", "")),
        (Endpoint(region="eu-west-1"), "b-1", ("b-1.s3.eu-west-1.amazonaws.com", "")),
        (Endpoint(region="eu-west-1"), "b.1", ("s3.eu-west-1.amazonaws.com", "/b.1")),
        (Endpoint(region="eu-west-1", addressing_style="path"), "b-1", ("s3.eu-west-1.amazonaws.com", "/b-1")),
        (Endpoint(region="cn-north-1"), "b-1", ("b-1.s3.cn-north-1.amazonaws.com.cn", "")),
        (Endpoint("https://amazonaws.com.example.org"), "b-1", ("amazonaws.com.example.org", "/b-1")),
    ],
)
def test_the_bucket_stands_where_the_server_expects_it(
    endpoint: Endpoint, bucket: str, expected: tuple[str, str]
) -> None:
    assert endpoint.location(bucket) == expected


@pytest.mark.parametrize("bucket", ["..", "a/b", "a b", "-a", "a?x", "a", "a..b", "x" * 300, "a\nb"])
def test_what_is_no_bucket_name_never_reaches_a_url(bucket: str) -> None:
    with pytest.raises(UsageError):
        Endpoint("https://h").location(bucket)


@pytest.mark.parametrize(
    ("url", "header"),
    [
        ("https://h", "h"), ("https://h:443", "h"), ("https://h:9000", "h:9000"), ("http://127.0.0.1:80", "127.0.0.1"),
        ("http://[::1]:9000", "[::1]:9000"),
    ],
)  # fmt: skip
def test_default_ports_are_left_out_of_the_host_header(url: str, header: str) -> None:
    endpoint = Endpoint(url)
    assert endpoint.host_header(endpoint.hostname) == header

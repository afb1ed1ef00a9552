# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import ipaddress
import re
import urllib.parse

from ..errors import UsageError

_STYLES = ("auto", "path", "virtual")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_PRINTABLE = re.compile(r"[\x21-\x7e]*")
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """An S3 server and how to talk to it. Raises UsageError for settings that cannot work or are not safe.

    Without `url` it is AWS, in `region`. Without `access_key` credentials are looked for as boto3 does (see
    `credentials`).
    """

    url: str = ""  # scheme, host and port only
    region: str = "us-east-1"  # what requests are signed for; MinIO without MINIO_REGION takes any
    access_key: str = dataclasses.field(default="", repr=False)
    secret_key: str = dataclasses.field(default="", repr=False)
    session_token: str = dataclasses.field(default="", repr=False)
    addressing_style: str = "auto"  # auto | path | virtual: the bucket in the path or in the host name
    ca_file: str = ""  # PEM file of the authorities to trust instead of the system's
    verify_tls: bool = True
    allow_plaintext: bool = False  # http to another machine
    connect_timeout_s: float = 10.0
    # Per wait for bytes, not per request. A MinIO cluster that has just lost a node stalls reads for 33 to 51 s in
    # all, in steps of about 10 s.
    read_timeout_s: float = 60.0
    max_attempts: int = 6
    proxy_from_environment: bool = False  # honour http_proxy, https_proxy and no_proxy

    def __post_init__(self) -> None:
        if not self.url:
            domain = "amazonaws.com.cn" if self.region.startswith("cn-") else "amazonaws.com"
            object.__setattr__(self, "url", f"https://s3.{self.region}.{domain}")
        _check_url(self)
        _check_credentials(self)
        if self.addressing_style not in _STYLES:
            _refuse(f"addressing_style is {self.addressing_style!r}", f"use one of {', '.join(_STYLES)}")
        if not re.fullmatch(r"[A-Za-z0-9._-]+", self.region):
            _refuse(f"region is {self.region!r}", "use a name such as us-east-1")
        if min(self.connect_timeout_s, self.read_timeout_s) <= 0 or self.max_attempts < 1:
            _refuse("a timeout or max_attempts is not positive", "leave them out, or make them positive")

    @property
    def scheme(self) -> str:
        return urllib.parse.urlsplit(self.url).scheme

    @property
    def hostname(self) -> str:
        """Return the host alone, IPv6 addresses without brackets."""
        return urllib.parse.urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        return urllib.parse.urlsplit(self.url).port or _DEFAULT_PORTS[self.scheme]

    @property
    def is_aws(self) -> bool:
        return re.search(r"(^|\.)amazonaws\.com(\.cn)?$", self.hostname) is not None

    def location(self, bucket: str) -> tuple[str, str]:
        """Return the host that a request for `bucket` goes to, and what its path begins with. Raises UsageError."""
        if not bucket:
            return self.hostname, ""
        if not _BUCKET.fullmatch(bucket) or ".." in bucket:
            _refuse(f"{bucket!r} is no name of a bucket", "use 3 to 63 small letters, digits, dots and hyphens")
        # A certificate for *.s3.amazonaws.com does not cover a bucket name with dots.
        virtual = self.addressing_style == "virtual" or (
            self.addressing_style == "auto" and self.is_aws and "." not in bucket
        )
        return (f"{bucket}.{self.hostname}", "") if virtual else (self.hostname, f"/{bucket}")

    def host_header(self, hostname: str) -> str:
        """Return `hostname` as it stands in the Host header and in the signature: default ports are left out."""
        name = f"[{hostname}]" if ":" in hostname else hostname
        return name if self.port == _DEFAULT_PORTS[self.scheme] else f"{name}:{self.port}"


def is_loopback(hostname: str) -> bool:
    """Say whether `hostname` is this machine by its name alone; nothing is looked up."""
    try:
        return ipaddress.ip_address(hostname).is_loopback
    except ValueError:
        return hostname == "localhost" or hostname.endswith(".localhost")


def _refuse(cause: str, remedy: str) -> None:
    raise UsageError("Cannot use this S3 endpoint", cause, remedy)


def _check_url(endpoint: Endpoint) -> None:
    try:
        parts = urllib.parse.urlsplit(endpoint.url)
        port_is_fine = parts.port != 0
    except ValueError:
        port_is_fine = False
    if not port_is_fine or not _PRINTABLE.fullmatch(endpoint.url):
        _refuse("its URL cannot be read", "write it as https://host or https://host:port")
    if "@" in parts.netloc:
        # The URL is not repeated: what stands before the @ may be a secret.
        _refuse("its URL holds credentials", "give them as access_key and secret_key")
    if (
        parts.scheme not in _DEFAULT_PORTS
        or not parts.hostname
        or parts.path.strip("/")
        or parts.query
        or parts.fragment
    ):
        _refuse(f"its URL is {endpoint.url}", "write it as https://host or https://host:port, without a path")
    if parts.scheme == "http" and not endpoint.allow_plaintext and not is_loopback(endpoint.hostname):
        _refuse(
            f"{endpoint.url} is not encrypted and not on this machine",
            "use https, or allow_plaintext: true where the network is trusted",
        )


def _check_credentials(endpoint: Endpoint) -> None:
    if bool(endpoint.access_key) != bool(endpoint.secret_key):
        missing = "secret_key" if endpoint.access_key else "access_key"
        _refuse(f"{missing} is missing", "give both access_key and secret_key, or neither")
    for name in ("access_key", "session_token"):
        if not _PRINTABLE.fullmatch(getattr(endpoint, name)):
            _refuse(
                f"{name} holds blanks or control characters", "look for a line feed at the end of the secret's file"
            )
    if endpoint.secret_key != endpoint.secret_key.strip("\r\n"):
        _refuse("secret_key begins or ends with a line feed", "look for a line feed at the end of the secret's file")

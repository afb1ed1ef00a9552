# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import http.client
import os
import re
import ssl
import typing as t
import urllib.error
import urllib.parse
import urllib.request

from ..child import CHUNK
from ..errors import DamagedError, LifeboatError, UsageError
from ..s3.endpoint import is_loopback
from .version import VERSION

_DIGEST = re.compile(r"\\?([0-9a-fA-F]{64})(?:\s|$)")  # as sha256sum writes it, or alone
_SIDECAR = ".sha256"
_MOST_SIDECAR = 64 * 1024
_TIMEOUT_S = 60.0
_ABSENT = (403, 404, 410)  # servers of objects answer 403 to who may not list
_PRINTABLE = re.compile(r"[\x21-\x7e]+")


@dataclasses.dataclass(frozen=True)
class DumpPlace:
    """Where a dump lies that another program wrote: a file or folder of this host, or a URL."""

    text: str  # absolute path, or https://…
    ca_file: str = ""  # certificate authority of the URL's server; empty: those of the system

    @property
    def is_url(self) -> bool:
        return "://" in self.text

    @property
    def is_folder(self) -> bool:
        return not self.is_url and os.path.isdir(self.text)

    @property
    def name(self) -> str:
        """Return what messages call it: never the query of a URL, which may be its key."""
        path = urllib.parse.urlsplit(self.text).path if self.is_url else self.text
        return os.path.basename(path.rstrip("/")) or self.text.partition("?")[0]

    def require(self) -> None:
        """Raise UsageError for what is no path and no URL that may be used, LifeboatError for what is not there."""
        if self.is_url:
            self._require_url()
        elif not self.text.startswith("/"):
            raise UsageError(f"Cannot use dump {self.text}", "it is no absolute path", "write the whole path, or a URL")
        elif not os.path.exists(self.text):
            raise LifeboatError(f"Cannot use dump {self.text}", "it is not there", "look for it on this host")
        elif not os.access(self.text, os.R_OK):
            raise LifeboatError(f"Cannot use dump {self.text}", "it may not be read", "let the user read it")

    def _require_url(self) -> None:
        problem, remedy = f"Cannot use the URL of dump {self.name}", "write it as https://host/path"
        try:
            parts = urllib.parse.urlsplit(self.text)
            is_whole = bool(parts.hostname) and parts.port != 0
        except ValueError:
            is_whole = False
        if not is_whole or parts.scheme not in ("https", "http") or not _PRINTABLE.fullmatch(self.text):
            raise UsageError(problem, "it is no URL", remedy)
        if "@" in parts.netloc:
            raise UsageError(problem, "it holds a user's name", "use a presigned URL, or fetch the file first")
        if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            raise UsageError(
                problem, "it is not encrypted and not on this machine", "use https, or fetch the file first"
            )

    def size_bytes(self) -> int:
        """Return how large it is as it lies there, -1 if its server does not say."""
        if self.is_url:
            with self._opened(self.text) as answer:
                return int(answer.headers.get("Content-Length") or -1)
        if self.is_folder:
            return sum(entry.stat().st_size for entry in os.scandir(self.text) if entry.is_file())
        return os.path.getsize(self.text)

    def chunks(self) -> t.Iterator[bytes]:
        """Yield its bytes, as they are. Raises DamagedError when there are less than its server said."""
        if not self.is_url:
            with open(self.text, "rb") as file:
                while chunk := file.read(CHUNK):
                    yield chunk
            return
        with self._opened(self.text) as answer:
            wanted, size = int(answer.headers.get("Content-Length") or -1), 0
            while chunk := self._read(answer):
                size += len(chunk)
                yield chunk
        if wanted >= 0 and size != wanted:
            raise DamagedError(f"Cannot fetch {self.name}", f"{size} of {wanted} bytes came", "try again")

    def _read(self, answer: t.Any) -> bytes:
        try:
            return bytes(answer.read(CHUNK))
        except (OSError, http.client.HTTPException) as error:
            raise LifeboatError(f"Cannot fetch {self.name}", f"the connection broke: {error}", "try again") from error

    def sidecar(self) -> str:
        """Return the SHA-256 that lies beside it (its name and `.sha256`), as hex; empty: there is none.

        Raises DamagedError for one that holds none.
        """
        text = self._sidecar_text()
        if text is None:
            return ""
        match = _DIGEST.match(text.strip())
        if match is None:
            raise DamagedError(
                f"Cannot use {self.name}{_SIDECAR}", "it holds no SHA-256", "write it with sha256sum, or remove it"
            )
        return match.group(1).lower()

    def _sidecar_text(self) -> str | None:
        if self.is_url:
            parts = urllib.parse.urlsplit(self.text)
            url = parts._replace(path=parts.path + _SIDECAR, query="").geturl()
            try:
                with self._opened(url) as answer:
                    return bytes(answer.read(_MOST_SIDECAR)).decode("utf-8", "replace")
            except _AbsentError:
                return None
        if self.is_folder:
            return None
        try:
            with open(self.text + _SIDECAR, encoding="utf-8", errors="replace") as file:
                return file.read(_MOST_SIDECAR)
        except FileNotFoundError:
            return None

    @contextlib.contextmanager
    def _opened(self, url: str) -> t.Iterator[t.Any]:
        problem = f"Cannot fetch {self.name}"
        request = urllib.request.Request(url, headers={"User-Agent": f"lifeboat/{VERSION}"})  # noqa: S310 - checked
        opener = urllib.request.build_opener(
            urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=self.ca_file or None)), _NoRedirect()
        )
        try:
            answer = opener.open(request, timeout=_TIMEOUT_S)
        except urllib.error.HTTPError as error:
            error.close()
            words = f"its server answered {error.code} {error.reason}"
            if error.code in _ABSENT:
                raise _AbsentError(problem, words, "check the URL, and whether it has expired") from None
            raise LifeboatError(problem, words, "name where it really lies: redirects are not followed") from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise LifeboatError(problem, f"its server cannot be reached: {reason}", "check the URL") from None
        with answer:
            yield answer


class _AbsentError(LifeboatError):
    """The server has nothing of this name, or does not say."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Lets a redirect be a failure: it might lead to an unencrypted place, or into the own network."""

    def redirect_request(self, *_words: t.Any) -> None:
        """Follow nothing."""
        return None


def with_digest(chunks: t.Iterable[bytes], wanted: str, name: str) -> t.Iterator[bytes]:
    """Yield the chunks, and raise DamagedError in the end unless they have the SHA-256 `wanted` (empty: any)."""
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
        yield chunk
    if wanted and digest.hexdigest() != wanted:
        raise DamagedError(
            f"Cannot restore {name}",
            f"its SHA-256 is {digest.hexdigest()}, and that beside it says {wanted}",
            "get it again",
        )

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import http.server
import io
import os
import tarfile
import threading
import typing as t
from pathlib import Path

import minio_binary
import pytest
from cache import SetupError

PROGRAM = b"#!/bin/sh\necho silo\n"


def archive(name: str = "silo") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        entry = tarfile.TarInfo(name)
        entry.size = len(PROGRAM)
        tar.addfile(entry, io.BytesIO(PROGRAM))
    return out.getvalue()


GOOD = archive()


class Site(http.server.BaseHTTPRequestHandler):
    answers: t.ClassVar[dict[str, tuple[int, bytes, int]]] = {  # status, body, bytes that are announced but never sent
        "/good": (200, GOOD, 0),
        "/gone": (404, b"not found", 0),
        "/withdrawn": (410, b"gone", 0),
        "/page": (200, b"<html>please log in</html>", 0),
        "/cut": (200, GOOD[:-20], 0),
        "/broken-off": (200, GOOD[:-20], 20),
        "/other": (200, archive("minio"), 0),
    }

    def do_GET(self) -> None:
        status, body, unsent = self.answers[self.path]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) + unsent))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def site() -> t.Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LIFEBOAT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("LIFEBOAT_MINIO_BIN", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    pinned = {name: hashlib.sha256(GOOD).hexdigest() for name in ("amd64", "arm64")}
    monkeypatch.setattr(minio_binary, "SILO_SHA256", pinned)


def test_the_archive_with_the_pinned_hash_is_unpacked_and_kept(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minio_binary, "SILO_URL", f"{site}/good")
    found = minio_binary.find()
    assert found.read_bytes() == PROGRAM
    assert os.access(found, os.X_OK)
    monkeypatch.setattr(minio_binary, "SILO_URL", f"{site}/gone")
    assert minio_binary.find() == found


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("gone", "answers 404"),
        ("withdrawn", "answers 410"),
        ("page", "gave something else"),
        ("cut", "gave something else"),
        ("broken-off", "gave something else"),
        ("other", "gave something else"),
    ],
)
def test_anything_else_is_refused_and_leaves_nothing(
    site: str, page: str, words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(minio_binary, "SILO_URL", f"{site}/{page}")
    with pytest.raises(SetupError, match=words):
        minio_binary.find()
    assert [path.name for path in (tmp_path / "cache" / "minio").iterdir() if path.suffix != ".lock"] == []


def test_an_archive_without_a_server_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.tar.gz"
    path.write_bytes(archive("README"))
    with pytest.raises(SetupError, match="holds no silo"):
        minio_binary.unpack(path, tmp_path / "silo")


def test_the_message_names_every_way_that_was_tried(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minio_binary, "SILO_URL", f"{site}/gone")
    with pytest.raises(SetupError) as caught:
        minio_binary.find()
    for way in ("LIFEBOAT_MINIO_BIN", "PATH", "cache", "SILO archive", "go install", "Remedy"):
        assert way in str(caught.value)


def test_a_named_binary_that_cannot_be_run_is_an_error_and_nothing_else_is_tried(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LIFEBOAT_MINIO_BIN", str(tmp_path / "missing"))
    with pytest.raises(SetupError, match="LIFEBOAT_MINIO_BIN names"):
        minio_binary.find()

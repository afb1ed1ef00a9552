# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role minio_server, when anything but the archive is served: it says what that is, and which ways are left."""

from __future__ import annotations

import hashlib
import http.server
import json
import socket
import threading
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible_collections.lifeboat.recovery.tests.functional.plays import ran

ARCHIVE = b"these bytes stand for an archive"
SHA256 = hashlib.sha256(ARCHIVE).hexdigest()
OTHER = ARCHIVE.replace(b"these", b"other")
PAGE = b"<!DOCTYPE html><title>Please log in</title>"
# path → status, type, announced length, bytes
ANSWERS = {
    "/missing": (404, "text/html", None, PAGE),
    "/withdrawn": (410, "text/html", None, PAGE),
    "/page": (200, "text/html; charset=utf-8", None, PAGE),
    "/cut": (200, "application/gzip", len(ARCHIVE), ARCHIVE[:-9]),
    "/other": (200, "application/gzip", None, OTHER),
}
REASONS = {
    "missing": "there is no such file (404 Not Found)",
    "withdrawn": "it is gone for good (410 Gone)",
    "page": "the host sent a web page instead of the file (text/html",
    "cut": f"the download ended early, after {len(ARCHIVE) - 9} of {len(ARCHIVE)} bytes",
    "other": f"its SHA-256 is {hashlib.sha256(OTHER).hexdigest()}, and not {SHA256}",
    "unreachable": "the host cannot be reached or did not answer",
}
# Each case is one pass of the tasks that get an archive.
CASE = """
- block:
    - ansible.builtin.include_role:
        name: lifeboat.recovery.minio_server
        tasks_from: get_archive
      vars:
        minio_server_archive_url: "{{ urls[case] }}"
        minio_server_sha256: "{{ sha256 }}"
        __minio_server_staging: "{{ folder }}/{{ case }}"
  rescue:
    - ansible.builtin.set_fact:
        said: "{{ said | default({}) | combine({case: ansible_failed_result.msg}) }}"
"""


class Pages(http.server.BaseHTTPRequestHandler):
    """Answers as the hosts of downloads do when they do not serve the file."""

    def do_GET(self) -> None:
        status, kind, announced, body = ANSWERS[self.path]
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(announced if announced is not None else len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[dict[str, str]]:
    """What the role says in each case, after one run of all."""
    folder = tmp_path_factory.mktemp("archives")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server, socket.socket() as closed:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        closed.bind(("127.0.0.1", 0))  # nobody listens
        ports = {name: closed.getsockname()[1] if name == "unreachable" else server.server_port for name in REASONS}
        urls = {name: f"http://127.0.0.1:{port}/{name}" for name, port in ports.items()}
        _run(folder, urls)
        server.shutdown()
    found: dict[str, str] = json.loads((folder / "said.json").read_text(encoding="utf-8"))
    yield found


def _run(folder: Path, urls: dict[str, str]) -> None:
    for name in urls:
        (folder / name).mkdir()
    (folder / "case.yml").write_text(CASE, encoding="utf-8")
    tasks = [
        {"ansible.builtin.include_tasks": "case.yml", "loop": list(urls), "loop_control": {"loop_var": "case"}},
        {"ansible.builtin.copy": {"content": "{{ said | to_json }}", "dest": "{{ folder }}/said.json", "mode": "0600"}},
    ]
    play = {"hosts": "localhost", "gather_facts": False, "tasks": tasks}
    (folder / "play.yml").write_text(yaml.safe_dump([play]), encoding="utf-8")
    values = {
        "folder": str(folder),
        "urls": urls,
        "sha256": SHA256,
    }
    done = ran("-i", "localhost,", "-e", json.dumps(values), str(folder / "play.yml"))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("case", REASONS)
def test_the_reason_is_said_when_an_archive_cannot_be_had(said, case):
    assert REASONS[case] in said[case]
    assert "Nothing was replaced" in said[case]


@pytest.mark.parametrize("way", ["minio_server_archive_url", "local_file", "go_install", "existing"])
def test_the_ways_left_are_named(said, way):
    assert all(way in text for text in said.values())

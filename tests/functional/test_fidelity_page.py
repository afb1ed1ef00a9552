# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What docs/fidelity.md says of Lifeboat is what it does."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import servers
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.client import S3Client
from ansible_collections.lifeboat.recovery.tests.functional import key_corpus
from ansible_collections.lifeboat.recovery.tests.functional.job_fixtures import own_locks
from ansible_collections.lifeboat.recovery.tests.functional.s3_fixtures import s3, s3_server

__all__ = ["own_locks", "s3", "s3_server"]

_FILE = Path(__file__).resolve().parents[1] / "benchmarks" / "fidelity.py"


def test_the_page_says_what_comes_back_today(s3: S3Client, s3_server: servers.MinioServer, tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("fidelity", _FILE)
    assert spec is not None and spec.loader is not None
    fidelity = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fidelity)
    s3.create_bucket(fidelity.BUCKET)
    key_corpus.fill(s3, fidelity.BUCKET, fidelity.chosen())
    before = key_corpus.state(s3, fidelity.BUCKET)
    page = fidelity.PAGE.read_text(encoding="utf-8").splitlines()
    lines = [line for line, _examples in fidelity.ours(tmp_path, s3, s3, before)]
    assert lines == sorted(line for line in page if f"| {fidelity.OURS} |" in line)
    assert f"A bucket with {len(before)} objects" in "\n".join(page)

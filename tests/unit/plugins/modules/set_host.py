# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host whose set has two folders as its members."""

from __future__ import annotations

import json

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import job_lock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import recovery_point


class SetHost:
    def __init__(self, folder, local):
        self.local = local
        self.folders = {name: folder / name for name in ("data", "config")}
        for path in self.folders.values():
            path.mkdir()
            (path / "file").write_text(f"of {path.name}")
        jobs = {
            name: {"kind": "files", "roots": [str(path)], "repositories": ["local"]}
            for name, path in self.folders.items()
        }
        self.config = folder / "config.json"
        whole = {"kind": "set", "members": list(jobs)}
        document = {"repositories": {"local": {"path": str(local.folder)}}, "jobs": {**jobs, "whole": whole}}
        self.config.write_text(json.dumps(document))
        self.config.chmod(0o600)

    @property
    def options(self):
        return {"job": "whole", "config": str(self.config)}

    def text(self, name):
        return (self.folders[name] / "file").read_text()

    def points(self):
        return recovery_point.ids(self.local.store, "whole")


@pytest.fixture
def set_host(tmp_path, monkeypatch, new_repository):
    monkeypatch.setattr(job_lock, "_FOLDERS", (str(tmp_path),))
    return SetHost(tmp_path, new_repository("local"))

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs modules in this process, and makes small real repositories in directories for them."""

from __future__ import annotations

import dataclasses
import pathlib

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.proving import prove
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import binding, identity
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.publish import Contents, Run
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.verify.drill_place import DrillPlace
from ansible_collections.lifeboat.recovery.tests.environment import documented_results

SOURCE = {"database": "shop", "server_version": "15.18", "server_version_number": 150018}


class Ended(Exception):
    """What ends a module."""

    def __init__(self, failed, answer, warnings):
        super().__init__(answer)
        self.failed = failed
        self.answer = answer
        self.warnings = warnings

    def __getitem__(self, name):
        return self.answer[name]


@pytest.fixture
def run_module(monkeypatch):
    """Run a module as Ansible does, as far as options, results and warnings are concerned."""

    def run(module, check_mode=False, **options):
        warnings = []

        class Module:
            def __init__(self, argument_spec, supports_check_mode, **rules):
                assert supports_check_mode
                outcome = ArgumentSpecValidator(argument_spec, **rules).validate(options)
                if outcome.error_messages:
                    self.fail_json(msg="; ".join(outcome.error_messages))
                self.params = outcome.validated_parameters
                self.check_mode = check_mode
                self._diff = True

            def warn(self, text):
                warnings.append(text)

            def exit_json(self, **answer):
                raise Ended(False, answer, warnings)

            def fail_json(self, **answer):
                raise Ended(True, answer, warnings)

        monkeypatch.setattr(module, "AnsibleModule", Module)
        with pytest.raises(Ended) as end:
            module.main()
        assert not documented_results.complaint(pathlib.Path(module.__file__), end.value.answer, end.value.failed)
        return end.value

    return run


@dataclasses.dataclass
class Repository:
    """A repository in a directory, and what a task says to use it."""

    name: str
    folder: object  # pathlib.Path
    store: DirectoryStore
    identity: identity.Identity

    @property
    def options(self):
        return {"name": self.name, "path": str(self.folder)}

    def files(self):
        """Return all that lies there, with its bytes."""
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and path.suffix != ".lock"
        }

    def back_up(self, job="db1-shop", text=b"all the rows\n", proved=True):
        """Store a backup of a text (no archive of a database, so that no program is needed) and return its manifest."""
        binding.bind(self.store, job, "pg_database", {"database": "shop"})
        run = Run(self.store, job)
        run.store_file("globals.sql", "globals", [text], "none")
        size = {"plain_bytes": run.plain_bytes, "stored_bytes": run.stored_bytes}
        manifest = run.publish(Contents("pg_database", {}, SOURCE, size))
        run.close()
        if proved:
            self.read(manifest)
        return manifest

    def read(self, manifest, level="content"):
        """Verify a backup and record what was found."""
        return prove(self.store, manifest, level, DrillPlace())

    def damage(self, manifest, name="globals.sql"):
        """Change a byte of a stored file."""
        path = self.folder / "data" / manifest.job / manifest.id / name
        path.write_bytes(b"X" + path.read_bytes()[1:])


@pytest.fixture
def new_repository(tmp_path, monkeypatch):
    """Make repositories by name; the ids of their backups count the seconds."""
    moments = iter(range(60))
    monkeypatch.setattr(clock, "new_backup_id", lambda _moment: f"20261120T0200{next(moments):02}Z-0a1b2c")

    def make(name):
        folder = tmp_path / name
        folder.mkdir()
        store = DirectoryStore(str(folder))
        return Repository(name, folder, store, identity.initialise(store))

    return make

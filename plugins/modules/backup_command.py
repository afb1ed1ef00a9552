#!/usr/bin/python
# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_command
short_description: Install the host command C(lifeboat)
version_added: 1.0.0
description:
  - Writes the command C(lifeboat) as one executable file, which needs neither Ansible nor this collection.
  - Cron, systemd timers, and people on a host without a controller use it to back up, prove, copy and restore.
  - The file is made of the sources of this collection, and of what O(interpreter) compiles them to, so that it starts
    fast. The same version of the collection and the same Python always make the same bytes.
  - The command reads its jobs from C(/etc/lifeboat/config.json), explained in C(docs/host_command.md).
author:
  - Lifeboat maintainers (@lifeboat)
extends_documentation_fragment:
  - ansible.builtin.files
  - lifeboat.recovery._attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - Shows version, checksum, owner and mode, not the content.
  idempotent:
    support: full
options:
  path:
    description:
      - Where the file goes. Its folder must be there.
    type: path
    default: /usr/local/bin/lifeboat
  interpreter:
    description:
      - What runs the file, as it stands in its first line after C(#!). It must be Python 3.9 or later.
      - Use a path, such as V(/usr/bin/python3), where the first C(python3) on E(PATH) is not the right one.
    type: str
    default: /usr/bin/env python3
  mode:
    description:
      - The permissions of the file.
      - Quote octal numbers, so that YAML does not take them for decimal ones.
    type: raw
    default: "0755"
requirements:
  - Python 3.9 or later on the host, for the command as for the module
notes:
  - To back up PostgreSQL, the command needs the Python library psycopg2 and the client programs of PostgreSQL,
    and for its default compression the Python library zstandard or the program C(zstd). C(lifeboat check) tells what
    is missing.
seealso:
  - module: lifeboat.recovery.backup_repository
  - module: lifeboat.recovery.pg_backup
"""

EXAMPLES = r"""
---
- name: Install the command
  lifeboat.recovery.backup_command:

- name: Install it for one group, run by the distribution's own Python
  lifeboat.recovery.backup_command:
    path: /opt/lifeboat/bin/lifeboat
    interpreter: /usr/bin/python3
    owner: root
    group: lifeboat
    mode: "0750"

- name: Back up every night
  ansible.builtin.copy:
    dest: /etc/cron.d/lifeboat
    content: |
      30 2 * * *  postgres  /usr/local/bin/lifeboat run db1-shop
    owner: root
    group: root
    mode: "0644"
"""

RETURN = r"""
path:
  description: Where the file is.
  returned: success
  type: str
  sample: /usr/local/bin/lifeboat
version:
  description: The version of the command.
  returned: success
  type: str
  sample: 1.0.0
sha256:
  description: The checksum of the file. C(lifeboat --version) shows it, too.
  returned: success
  type: str
  sample: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
previous_version:
  description: The version that was there before. It is empty when there was none.
  returned: success
  type: str
  sample: 0.9.0
owner:
  description: Name of the user whom the file belongs to.
  returned: when the file is there
  type: str
  sample: root
group:
  description: Name of its group.
  returned: when the file is there
  type: str
  sample: root
mode:
  description: Its mode.
  returned: when the file is there
  type: str
  sample: "0755"
uid:
  description: Id of the user.
  returned: when the file is there
  type: int
  sample: 0
gid:
  description: Id of the group.
  returned: when the file is there
  type: int
  sample: 0
size:
  description: Its size in bytes.
  returned: when the file is there
  type: int
  sample: 1048576
state:
  description: V(file), or what else is there.
  returned: when the file is there
  type: str
  sample: file
"""

import contextlib
import dataclasses
import os
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge import run as bridge
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge import zipapp
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import LifeboatError, UsageError


@dataclasses.dataclass(frozen=True)
class Plan:
    """The file that is to be there, and how the one that is there differs."""

    path: str
    data: bytes
    found: bytes | None  # None: there is no file
    attributes: t.Mapping[str, t.Mapping[str, t.Any]]  # before and after: mode, owner … that would be changed
    differs: bool  # in these

    @property
    def is_new(self) -> bool:
        return self.data != self.found

    @property
    def changed(self) -> bool:
        return self.is_new or self.differs

    def diff(self) -> tuple[dict[str, t.Any], dict[str, t.Any]]:
        before = _facts(self.found) if self.found is not None else {"state": "absent"}
        return {**before, **self.attributes["before"]}, {**_facts(self.data), **self.attributes["after"]}

    def result(self) -> bridge.Result:
        previous = zipapp.version_in(self.found) if self.found else ""
        return {"path": self.path, "previous_version": previous, **_facts(self.data)}


def _facts(data: bytes) -> dict[str, t.Any]:
    return {"version": zipapp.version_in(data), "sha256": zipapp.digest(data)}


class Installation:
    """Plans and writes the file by the means of an Ansible module."""

    def __init__(self, module: AnsibleModule) -> None:
        self._module = module

    def plan(self, params: bridge.Params) -> Plan:
        """Compare the file that is there with the one that is to be. Raises LifeboatError."""
        path, interpreter = params["path"], params["interpreter"]
        if not interpreter.startswith("/") or not interpreter.isprintable():
            raise UsageError(
                f"Cannot use the interpreter {interpreter!r}",
                "the system wants an absolute path there",
                "write it as /usr/bin/python3, or leave it out",
            )
        found = _content(path)
        attributes, differs = self._attributes(path)
        return Plan(path, zipapp.build(interpreter), found, attributes, differs)

    def apply(self, plan: Plan) -> bridge.Result:
        """Write the file under a temporary name and move it into its place, then set its attributes."""
        if plan.is_new:
            temporary = os.path.join(self._module.tmpdir, "lifeboat")
            with open(temporary, "wb") as file:
                file.write(plan.data)
            self._module.atomic_move(temporary, plan.path)
        self._module.set_fs_attributes_if_different(self._wanted(plan.path), False)
        return {}

    def _attributes(self, path: str) -> tuple[dict[str, dict[str, t.Any]], bool]:
        """Find out which attributes would be changed; nothing is, as in check mode."""
        diff: dict[str, dict[str, t.Any]] = {"before": {}, "after": {}}
        mode, self._module.check_mode = self._module.check_mode, True
        try:
            differs = bool(self._module.set_fs_attributes_if_different(self._wanted(path), False, diff))
        finally:
            self._module.check_mode = mode
        return {name: dict(diff.get(name) or {}) for name in ("before", "after")}, differs

    def _wanted(self, path: str) -> dict[str, t.Any]:
        return dict(self._module.load_file_common_arguments(self._module.params, path=path))


def _content(path: str) -> bytes | None:
    problem = f"Cannot install the command as {path}"
    if not os.path.isdir(os.path.dirname(path)):
        raise LifeboatError(problem, f"there is no folder {os.path.dirname(path)}", "make it first")
    with contextlib.suppress(FileNotFoundError):
        try:
            with open(path, "rb") as file:
                return file.read()
        except (IsADirectoryError, PermissionError) as error:
            raise LifeboatError(problem, str(error.strerror), "choose another path, or become root") from error
    return None


def main() -> t.NoReturn:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "default": "/usr/local/bin/lifeboat"},
            "interpreter": {"type": "str", "default": "/usr/bin/env python3"},
            "mode": {"type": "raw", "default": "0755"},
        },
        add_file_common_args=True,
        supports_check_mode=True,
    )
    installation = Installation(module)
    bridge.run(module, installation.plan, installation.apply)


if __name__ == "__main__":
    main()

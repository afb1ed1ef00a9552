# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The host command as a file, for tests that call it."""

from __future__ import annotations

import functools
from unittest import mock

from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge import zipapp
from ansible_collections.lifeboat.recovery.tests.functional.lock_folder import lock_folder

_BEGIN = f"from {zipapp.PACKAGE}.host.cli import main\n"


@functools.cache
def command_for(interpreter: str) -> bytes:
    """Return the command for an interpreter, which locks jobs where these tests do. It is built once, for that compiles
    the whole engine."""
    locks = f"from {zipapp.PACKAGE}.host import job_lock\n\njob_lock._FOLDERS = ({lock_folder()!r},)\n"
    begin, found, end = zipapp._MAIN.partition(_BEGIN)
    if not found:
        raise RuntimeError("the command begins in another way")
    with mock.patch.object(zipapp, "_MAIN", begin + locks + found + end):
        return zipapp.build(interpreter)

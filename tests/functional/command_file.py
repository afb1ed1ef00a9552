# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The host command as a file, for tests that call it."""

from __future__ import annotations

import functools

from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge import zipapp


@functools.cache
def command_for(interpreter: str) -> bytes:
    """Return the command for an interpreter. It is built once, for that compiles the whole engine."""
    return zipapp.build(interpreter)

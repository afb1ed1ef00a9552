# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What descriptions of options are made of."""

from __future__ import annotations

import typing as t

from ansible.module_utils.basic import env_fallback

Spec = dict[str, t.Any]


def from_environment(*names: str) -> tuple[t.Any, list[str]]:
    """Return the fallback of an option that the first of these environment variables that is set gives a value."""
    return (env_fallback, list(names))

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

# What stands between compression and the stored digest: encryption when storing, decryption when reading. A generator
# function over the bytes.
Stage = t.Callable[[t.Iterator[bytes]], t.Iterator[bytes]]

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ..s3.detailed_listing import DetailedPage
from .rows import Item


def items_of(page: DetailedPage) -> t.Iterator[Item]:
    """Return the entries of a page of a listing."""
    digests = [shown.digest if shown else "" for shown in page.shown]
    return map(Item, page.keys, page.sizes, page.etags, page.times, digests)

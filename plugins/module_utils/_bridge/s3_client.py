# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from .._engine.s3.client import S3Client
from .s3_options import endpoint_from


def client_from(params: t.Mapping[str, t.Any]) -> S3Client:
    """Return a client for the S3 endpoint that the options of S3_CONNECTION describe."""
    return S3Client(endpoint_from(params))

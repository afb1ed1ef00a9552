# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Policies of users, groups and access keys: what MinIO takes of the language, and how it writes it back."""

from __future__ import annotations

import json
import typing as t

from ..errors import UsageError
from . import policy as policies
from .policy import Document

# "MinIO policy management: built-in policies"; they can be attached, and come back when they are removed.
BUILT_IN = ("consoleAdmin", "diagnostics", "readonly", "readwrite", "writeonly")

_EVERYTHING = "arn:aws:s3:::*"
# MinIO stores a NotAction as no action at all, and cannot show the policy again.
_UNKNOWN_ELEMENTS = ("NotAction", "Principal", "NotPrincipal")


def from_text(text: str, problem: str) -> Document:
    """Return the policy document that a JSON text holds, in the form in which MinIO takes it. Raises UsageError."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise UsageError(problem, f"the policy is no JSON ({error})", "give a policy document") from error
    every = policies.statements(found) if isinstance(found, dict) else []
    if not every or not all(isinstance(item, dict) for item in every):
        raise UsageError(
            problem,
            "the policy is no object with at least one statement",
            'give {"Version": "2012-10-17", "Statement": [...]}',
        )
    unknown = sorted({name for item in every for name in _UNKNOWN_ELEMENTS if name in item})
    if unknown:
        raise UsageError(
            problem,
            f"MinIO does not understand {' and '.join(unknown)} in a policy of users",
            "name the actions that are allowed or denied" if "NotAction" in unknown else "leave it out",
        )
    return {"Version": "2012-10-17", **found, "Statement": every}


def meaning(document: Document | None) -> policies.Meaning:
    """Return what a policy allows and denies, in a form that is equal for policies that say the same.

    MinIO also writes the resource `*` as `**`.
    """
    if document is None:
        return ()
    return policies.meaning({**document, "Statement": [_plain(item) for item in policies.statements(document)]})


def _plain(statement: Document) -> dict[str, t.Any]:
    plain = dict(statement)
    for element in ("Resource", "NotResource"):
        if element in plain:
            given = plain[element] if isinstance(plain[element], list) else [plain[element]]
            plain[element] = ["*" if item in ("**", _EVERYTHING) else item for item in given]
    return plain

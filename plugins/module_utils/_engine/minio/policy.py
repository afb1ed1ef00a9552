# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import re
import typing as t

from ..errors import UsageError

Document = t.Mapping[str, t.Any]
Meaning = tuple[str, ...]  # one canonical text per distinct statement, sorted

_LIST_ELEMENTS = ("Action", "NotAction", "Resource", "NotResource")
_WITH_VARIABLES = "2012-10-17"
_NO_VARIABLES = '"${...} is plain text"'  # so it was before that version ("IAM JSON policy elements: Version")
_ACCOUNT = re.compile(r"[0-9]{12}")

_READ = ("s3:GetObject",)
_LIST = ("s3:GetBucketLocation", "s3:ListBucket")

# What anonymous callers may do, by the name of the canned policy: (actions on objects, actions on the bucket).
CANNED: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "private": ((), ()),
    "public-download": (_READ, ()),
    "public-read": (_READ, _LIST),
}


def canned(name: str, bucket: str) -> Document | None:
    """Return the policy document of a canned policy; None for `private`, which is to have no policy."""
    on_objects, on_bucket = CANNED[name]
    statements = [
        {"Effect": "Allow", "Principal": {"AWS": ["*"]}, "Action": list(actions), "Resource": [resource]}
        for actions, resource in ((on_bucket, f"arn:aws:s3:::{bucket}"), (on_objects, f"arn:aws:s3:::{bucket}/*"))
        if actions
    ]
    return {"Version": "2012-10-17", "Statement": statements} if statements else None


def from_text(text: str, bucket: str) -> Document | None:
    """Return the document that `text` (a canned name or JSON) means, None for "no policy". Raises UsageError."""
    if text in CANNED:
        return canned(text, bucket)
    try:
        document = json.loads(text)
    except ValueError as error:
        raise UsageError(
            f"Cannot use the policy for bucket {bucket}",
            f"it is neither JSON ({error}) nor one of {', '.join(CANNED)}",
            "give a policy document, or one of these names",
        ) from error
    if not isinstance(document, dict) or not all(isinstance(item, dict) for item in statements(document)):
        raise UsageError(
            f"Cannot use the policy for bucket {bucket}",
            "it is no object with a list of statements",
            'give {"Version": "2012-10-17", "Statement": [...]}',
        )
    # A policy without statements grants nothing, as no policy does; AWS refuses to store it.
    return document if statements(document) else None


def statements(document: Document) -> list[t.Any]:
    """Return the statements of a policy; a single one may stand without a list."""
    found = document.get("Statement", [])
    return found if isinstance(found, list) else [found]


def denies(document: Document | None) -> bool:
    """Say whether a policy has a statement that denies something."""
    return document is not None and any(item.get("Effect") == "Deny" for item in statements(document))


def meaning(document: Document | None) -> Meaning:
    """Return what a policy allows and denies, in a form that is equal for policies that say the same.

    Servers reorder actions and resources, wrap single values in lists, write the principal `*` as `{"AWS": ["*"]}`,
    return `Id` as `ID` and merge identical statements. `Sid` and `Id` are labels without effect ("Grammar of the IAM
    JSON policy language", AWS).
    """
    if document is None:
        return ()
    said = {json.dumps(_statement(item), sort_keys=True) for item in statements(document)}
    if document.get("Version") != _WITH_VARIABLES and any("${" in each for each in said):
        said.add(_NO_VARIABLES)
    return tuple(sorted(said))


def _statement(statement: Document) -> dict[str, t.Any]:
    said: dict[str, t.Any] = {"Effect": statement.get("Effect", "Allow")}
    for element in _LIST_ELEMENTS:
        if element in statement:
            said[element] = _values(statement[element])
    for element in ("Principal", "NotPrincipal"):
        if element in statement:
            said[element] = _principal(statement[element])
    conditions = _conditions(statement.get("Condition") or {})
    if conditions:
        said["Condition"] = conditions
    known = {*_LIST_ELEMENTS, "Principal", "NotPrincipal", "Effect", "Condition", "Sid"}
    # Whatever a server may not know must not get lost in the comparison.
    said.update({element: value for element, value in statement.items() if element not in known})
    return said


def _values(value: t.Any) -> list[str]:
    items = value if isinstance(value, list) else [value]
    return sorted({_text(item) for item in items})


def _text(value: t.Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _principal(principal: t.Any) -> dict[str, list[str]]:
    if not isinstance(principal, dict):
        principal = {"AWS": principal}
    return {kind: sorted({_account(name) for name in _values(names)}) for kind, names in principal.items()}


def _account(name: str) -> str:
    # AWS stores the number of an account as the ARN of its root.
    return f"arn:aws:iam::{name}:root" if _ACCOUNT.fullmatch(name) else name


def _conditions(conditions: t.Mapping[str, t.Mapping[str, t.Any]]) -> dict[str, dict[str, list[str]]]:
    # The names of condition keys are case-insensitive ("IAM JSON policy elements: Condition").
    return {
        operator: {key.lower(): _values(values) for key, values in keys.items()}
        for operator, keys in conditions.items()
        if keys
    }

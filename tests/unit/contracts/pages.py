# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The pages that people read, and the code blocks in them."""

from __future__ import annotations

import dataclasses
import pathlib
import re

from ansible_collections.lifeboat.recovery.tests.unit.contracts import collection

README = collection.ROOT / "README.md"
PAGES = (README, collection.ROOT / "CONTRIBUTING.md", *sorted((collection.ROOT / "docs").rglob("*.md")))
PAGES_OF_ROLES = tuple(sorted((collection.ROOT / "roles").glob("*/README.md")))
FENCE = re.compile(
    r"(?:^ *<!-- not checked: (?P<excuse>[^\n]*?) -->\n\n?)?"
    r"^(?P<indentation> *)```(?P<language>\w*)\n(?P<body>.*?)^(?P=indentation)```$",
    re.MULTILINE | re.DOTALL,
)


@dataclasses.dataclass(frozen=True)
class Block:
    """A code block of a page."""

    where: str  # the page and the line of its first row
    language: str  # behind the fence
    text: str  # without the indentation of the fence
    excuse: str = ""  # why nothing can check it, as the comment before it says: <!-- not checked: … -->


def text_of(path: pathlib.Path) -> str:
    return path.read_text(encoding="utf-8")


def blocks(text: str, name: str = "page") -> list[Block]:
    """Return all code blocks of a page."""
    found = []
    for match in FENCE.finditer(text):
        indentation = len(match["indentation"])
        body = "".join(line[indentation:] + "\n" for line in match["body"].splitlines())
        row = text.count("\n", 0, match.start("body")) + 1
        found.append(Block(f"{name}:{row}", match["language"], body, match["excuse"] or ""))
    return found


def bodies(text: str, *languages: str) -> list[str]:
    """Return the texts of the blocks in these languages."""
    return [block.text for block in blocks(text) if block.language in languages]


def blocks_of_all_pages() -> list[Block]:
    pages = (*PAGES, *PAGES_OF_ROLES)
    return [block for page in pages for block in blocks(text_of(page), collection.relative(page))]

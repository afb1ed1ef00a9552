# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import shutil
from pathlib import Path

import docs_site
import pytest
from cache import CHECKOUT, SetupError

PAGE = "# A page\n\n## A heading\n\nSee [it](#a-heading).\n"
INDEX = "# Documentation\n\nSee [a page](page.md), [a heading](page.md#a-heading).\n"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "docs" / "docsite").mkdir(parents=True)
    shutil.copyfile(CHECKOUT / "docs" / "docsite" / "conf.py", folder / "docs" / "docsite" / "conf.py")
    (folder / "docs" / "page.md").write_text(PAGE, encoding="utf-8")
    return folder


def render(source: Path, index: str, is_listed: bool = True) -> None:
    contents = "\n```{toctree}\n:hidden:\n\npage\n```\n" if is_listed else ""
    (source / "docs" / "index.md").write_text(index + contents, encoding="utf-8")
    docs_site.render(source, source.with_name("site"))


def test_pages_with_links_to_each_other_become_a_site(source: Path) -> None:
    render(source, INDEX)
    assert 'href="page.html#a-heading"' in (source.with_name("site") / "docs" / "index.html").read_text(
        encoding="utf-8"
    )


def test_links_that_lead_nowhere_and_a_page_that_nothing_lists_end_the_build(source: Path) -> None:
    with pytest.raises(SetupError) as failure:
        render(source, INDEX + "[x](nothing.md), [y](page.md#no-heading)\n", is_listed=False)
    assert [word for word in ("nothing.md", "no-heading", "toctree") if word not in str(failure.value)] == []


def test_the_pages_are_listed_in_the_order_of_the_index_and_then_the_others(source: Path) -> None:
    (source / "docs" / "another.md").write_text(PAGE, encoding="utf-8")
    (source / "docs" / "index.md").write_text(INDEX, encoding="utf-8")
    lines = docs_site._contents(source.resolve()).splitlines()
    assert [line for line in lines if line.startswith("/")] == ["/docs/page", "/docs/another", "/collections/index"]


def test_files_that_a_page_links_come_with_it() -> None:
    found = docs_site._files_linked_from(CHECKOUT / "docs" / "format.md")
    assert CHECKOUT / "docs" / "schemas" / "manifest.schema.json" in found
    assert docs_site._files_linked_from(CHECKOUT / "docs" / "demo.md") == [CHECKOUT / "CONTRIBUTING.md"]

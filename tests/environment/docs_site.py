# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Builds the documentation site: the guides, the pages of the roles, and the reference that antsibull-docs makes.

python3 tests/environment/run.py python tests/environment/docs_site.py FOLDER

Guides stay Markdown in the places where code hosts show them; links between them, and to their headings, must lead
somewhere: a warning ends the build.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from cache import CHECKOUT, SetupError

_PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/*.md", "roles/*/README.md")
_SETTINGS = "docs/docsite/conf.py"
_REFERENCE = "collections"
_INDEX = "docs/index.md"
# The pages lie as in the checkout, so that links between them are the same: the first one is not at the top.
_FRONT = '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url=docs/index.html">\n'
_TARGET = re.compile(r"\]\(([^)#\s:]+)")
_LINK = re.compile(r"\]\(([\w./-]+\.md)\)")


def assemble(source: Path) -> None:
    """Put the sources of the site together in a folder. Raises SetupError."""
    pages = [path for pattern in _PAGES for path in sorted(CHECKOUT.glob(pattern))]
    linked = {found for page in pages for found in _files_linked_from(page)}
    for path in [*pages, *sorted(linked.difference(pages)), CHECKOUT / _SETTINGS]:
        target = source / path.relative_to(CHECKOUT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    options = [
        "--use-current",
        "--squash-hierarchy",
        "--fail-on-error",
        "--no-breadcrumbs",
        "--no-add-antsibull-docs-version",
    ]
    (source / _REFERENCE).mkdir(mode=0o755)
    _run("antsibull-docs", "collection", *options, "--dest-dir", source / _REFERENCE, "lifeboat.recovery")
    index = source / _INDEX
    index.write_text(index.read_text(encoding="utf-8") + _contents(source), encoding="utf-8")


def _files_linked_from(page: Path) -> list[Path]:
    """Return the files of the checkout that a page links, such as schemas: they can be downloaded from the site."""
    targets = ((page.parent / name).resolve() for name in _TARGET.findall(page.read_text(encoding="utf-8")))
    return [path for path in targets if path.is_file() and path.is_relative_to(CHECKOUT)]


def _contents(source: Path) -> str:
    """Return the table of contents: the pages in the order in which the index links them, then all others."""
    index = source / _INDEX
    linked = [(index.parent / target).resolve() for target in _LINK.findall(index.read_text(encoding="utf-8"))]
    others = sorted(path.resolve() for path in source.rglob("*.md") if path != index)
    pages = [path for path in dict.fromkeys([*linked, *others]) if path.is_relative_to(source)]
    entries = [f"/{path.relative_to(source).with_suffix('')}" for path in pages]
    return "\n".join(["", "```{toctree}", ":hidden:", ":maxdepth: 1", "", *entries, f"/{_REFERENCE}/index", "```", ""])


def build(target: Path) -> int:
    """Build the site below `target` and return how many pages it has. Raises SetupError on any warning."""
    with tempfile.TemporaryDirectory(prefix="lifeboat-site-") as folder:
        source = (Path(folder) / "source").resolve()
        source.mkdir()
        assemble(source)
        render(source, target)
    (target / "index.html").write_text(_FRONT, encoding="utf-8")
    return sum(1 for _page in target.rglob("*.html"))


def render(source: Path, target: Path) -> None:
    """Let Sphinx make pages of sources. Raises SetupError on any warning."""
    options = ["--quiet", "--fail-on-warning", "--keep-going", "-c", source / "docs" / "docsite"]
    _run("sphinx-build", "-b", "html", "-d", source.with_name("doctrees"), *options, source, target)


def _run(*argv: object) -> None:
    command = [str(word) for word in argv]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    if done.returncode != 0:
        raise SetupError(f"{command[0]} ended with {done.returncode}:\n{done.stdout.decode('utf-8', 'replace')}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: docs_site.py FOLDER")
    try:
        print(f"{build(Path(sys.argv[1]).resolve())} pages")
    except SetupError as failure:
        raise SystemExit(f"Cannot build the site: {failure}") from None

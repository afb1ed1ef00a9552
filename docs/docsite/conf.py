# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How Sphinx builds the documentation site; tests/environment/docs_site.py puts its sources together."""

from __future__ import annotations

import typing as t

from docutils import nodes

project = "Lifeboat"
copyright = "Lifeboat maintainers"  # noqa: A001 - the name that Sphinx reads
html_title = "Lifeboat: backup and recovery with Ansible"
html_theme = "furo"
html_copy_source = False

extensions = ["myst_parser", "sphinx_antsibull_ext"]
root_doc = "docs/index"
exclude_patterns = ["docs/docsite"]

# Links to headings are as on code hosts.
myst_heading_anchors = 4

# Pages of Ansible's own documentation that the reference names. The build needs no network.
_OF_ANSIBLE = {
    "ansible_configuration_settings": "https://docs.ansible.com/ansible/latest/reference_appendices/config.html",
    "common_return_values": "https://docs.ansible.com/ansible/latest/reference_appendices/common_return_values.html",
}


def _page_of_ansible(_app: t.Any, _env: t.Any, node: nodes.Element, text: nodes.TextElement) -> nodes.reference | None:
    address = _OF_ANSIBLE.get(node.get("reftarget", ""))
    return nodes.reference("", "", text, refuri=address, internal=False) if address else None


def setup(app: t.Any) -> None:
    """Let Sphinx ask for what it does not find."""
    app.connect("missing-reference", _page_of_ansible)

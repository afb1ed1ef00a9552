# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This doc fragment is PRIVATE to the collection.

from __future__ import annotations

from ansible_collections.lifeboat.recovery.plugins.doc_fragments import _repository


def _renamed(option: str, description: str) -> str:
    """Return the documentation of a repository for an option of another name, without the line `options:`."""
    text = _repository.ModuleDocFragment.DOCUMENTATION.partition("options:\n")[2]
    text = text.replace("  repository:\n", f"  {option}:\n", 1).replace("O(repository.", f"O({option}.")
    return text.replace("The place that holds the backups.", description, 1)


class ModuleDocFragment:
    # For modules that read one repository and write another one (the specification REPOSITORY, twice).
    DOCUMENTATION = (
        "options:\n"
        + _renamed("source", "The repository to read.")
        + _renamed("target", "The repository to write, which M(lifeboat.recovery.backup_repository) has made.")
    )

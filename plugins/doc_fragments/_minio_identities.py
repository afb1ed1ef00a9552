# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This doc fragment is PRIVATE to the collection.

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
requirements:
  - cryptography
  - cryptography 44 with OpenSSL 3.2, or argon2-cffi, wherever the server answers encrypted (access keys, lists of
    users, who has a policy, disabled groups, and the removal of users and policies)
notes:
  - The libraries are needed on the host that runs the task. Where that host does not have them, delegate the task to
    one that has, such as the controller.
  - Only servers with MinIO's admin API have these users, groups, policies and access keys.
options: {}
"""

    # For modules that take a ready-made policy.
    GRANT = r"""
options:
  grant:
    description:
      - Asks for a ready-made policy with the fewest rights that somebody needs.
      - The rights of the keys of a repository are explained in docs/minio.md of the collection.
    type: dict
    suboptions:
      role:
        description:
          - V(writer) runs backups in a repository. It adds files and reads them, and deletes nothing but the marks of
            runs that have begun.
          - V(verifier) reads a repository and adds records of what it verified.
          - V(pruner) does what V(writer) does, copies backups in, and deletes files and backups.
          - V(locker) reads a repository and locks files of backups for a time. It writes and deletes nothing.
          - V(reader) only reads, for restores.
          - V(application) reads, writes and deletes objects of a bucket.
          - V(source) reads objects of a bucket with all their properties, and its settings, to back it up.
          - None of them changes settings, shortens locks, or writes into a version that is there. Where the bucket has
            versions, what is overwritten stays as an older version.
          - Where the bucket has no versions, V(writer) can overwrite files. MinIO has no policy against that.
        type: str
        required: true
        choices: [writer, verifier, pruner, locker, reader, application, source]
      bucket:
        description: Name of the bucket.
        type: str
        required: true
      prefix:
        description:
          - Where in the bucket the repository or the objects of the application lie. By default the role may use all of
            the bucket.
        type: str
        default: ""
"""

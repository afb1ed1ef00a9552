# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This doc fragment is PRIVATE to the collection.

from __future__ import annotations


class ModuleDocFragment:
    # For modules that back up buckets or folders (the specification OBJECTS_BACKUP).
    DOCUMENTATION = r"""
options:
  job:
    description:
      - Name of the backup job. It must not be used for anything else in any of the repositories.
      - Its first run binds the job to its source. A run for another one is refused.
    type: str
    required: true
  reread:
    description:
      - Which share of what seems unchanged is read all the same, such as V(1/7). The runs go round, so that after about
        seven of them everything was read.
      - It finds content that changed without any trace in the listing.
      - By default only what is new or changed by the listing is read.
    type: str
    default: ""
  acknowledge:
    description:
      - Id of a flagged backup, or V(latest). The task then makes no backup. It only says that this backup and all
        earlier ones are as they should be, in all repositories that can be reached.
      - From then on they can be V(latest_good), and later backups are not flagged for following them.
    type: str
  on_mass_delete:
    description:
      - What happens if more than 100 objects and more than 10 % of the last backup are gone, or if a whole bucket or
        folder of more than 100 is empty.
      - With V(fail) the backup is written, proved, copied and flagged, and then the task fails with V(mass_delete) as
        RV(ignore:guard). Until it is acknowledged, V(latest_good) stays before it, and later backups are flagged too.
      - With V(warn) it is only a warning.
    type: str
    choices: [fail, warn, ignore]
    default: fail
  on_mass_rewrite:
    description:
      - The same if more than 100 objects and more than 20 % of the last backup have other content.
    type: str
    choices: [fail, warn, ignore]
    default: fail
  on_entropy_jump:
    description:
      - The same if more than half of the objects with other content, and more than 20, could be compressed before and
        cannot any more, as after encryption by an intruder. A sample of 32 objects is looked into.
    type: str
    choices: [fail, warn, ignore]
    default: fail
  allow_empty:
    description:
      - Whether a source without any object is backed up. By default it is refused, because it is more likely the wrong
        one, or not mounted.
    type: bool
    default: false
  proof:
    description:
      - What is done at once with each copy that was written.
      - V(content) reads back what was written now, and verifies the checksum of every object in it. Files of earlier
        backups keep their proofs.
      - V(none) leaves the proof to M(lifeboat.recovery.backup_verify). Until then the backup is not V(latest_good).
    type: str
    choices: [content, none]
    default: content
  compression:
    description:
      - How packs and index are compressed. V(gzip) is for hosts that have nothing for V(zstd), and is many times
        slower.
    type: str
    choices: [zstd, gzip, none]
    default: zstd
  allow_partial:
    description:
      - Whether it is good enough if a copy is missing, or if something of the source could not be read. It is then a
        warning.
      - By default the task fails. The backup is written and returned all the same.
    type: bool
    default: false
  rebind:
    description:
      - Whether the job may be bound to another source from now on. Set it for one run, after the source was rebuilt.
        That run reads everything.
    type: bool
    default: false
  concurrency:
    description:
      - How many objects are read at once.
    type: int
    default: 16
  wait_s:
    description:
      - For how many seconds a copy waits while a repository is being maintained.
    type: int
    default: 4200
"""

#!/usr/bin/python
# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: s3_mirror
short_description: Mirror a bucket or directory to others, and destroy nothing
version_added: 1.0.0
description:
  - Makes buckets or directories equal to a source, under the same keys, for failover, migration and copies off site.
  - A mirror follows every change, so it is no backup. Use M(lifeboat.recovery.bucket_backup) for those.
  - Works from bucket to bucket on any S3 servers, from bucket to directory, and from directory to bucket.
    Several targets are written from one read of the source.
  - Content, headers, metadata, tags, retention and legal hold travel. Objects keep their parts, so that ETags agree.
  - Nothing is destroyed. What a target has too much is removed last, only when all listings were complete and all
    copies arrived. Where a bucket keeps versions, it is removed by a delete marker. Elsewhere, objects that are
    overwritten or removed are first saved under C(.lifeboat-quarantine/), which takes no part in mirrors and is never
    emptied.
  - Guards refuse what is more likely a mishap, before anything is changed.
  - A run that was ended goes on where it was with the next one, as it compares what is there.
author:
  - Lifeboat maintainers (@lifeboat)
extends_documentation_fragment:
  - lifeboat.recovery._attributes
  - lifeboat.recovery._mirror_sides
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - The difference is what each target lacks or has too much, with numbers, bytes and up to 20 keys of each kind.
  idempotent:
    support: full
options:
  allow:
    description:
      - Guards that do not refuse this time.
      - V(source) is for a source without any object. A source that is missing or does not answer is always refused.
      - V(mass_delete) is for removing more than 10 % of what a target has, where that is more than 100 objects.
      - V(mass_rewrite) is for replacing more than 20 %, where that is more than 100 objects.
      - V(entropy_jump) is for replacing more than 20 objects most of which cannot be compressed any more, as if they
        were encrypted.
      - V(nested) is for a source or target inside another one, which is left alone then.
    type: list
    elements: str
    choices: [source, nested, mass_delete, mass_rewrite, entropy_jump]
    default: []
  verify:
    description:
      - Whether to change nothing and only compare both sides. The task fails when they are not equal.
      - V(yes) compares the listings. V(content) reads all objects of both sides, too, and compares their SHA-256.
    type: str
    choices: ['no', 'yes', content]
    default: 'no'
  keep_overwritten:
    description:
      - Whether objects that are overwritten are saved first, where the target does not keep versions.
      - Objects that are removed are always saved.
    type: bool
    default: true
  compare_properties:
    description:
      - Whether to look at every object for changed headers, metadata, tags and locks.
      - MinIO shows them in its listings, so that it is not needed between two of its servers.
      - Elsewhere it takes up to four more requests for each object.
    type: bool
    default: false
  threads:
    description:
      - How many objects are copied at once, up to 128.
    type: int
    default: 16
  bandwidth:
    description:
      - How much may be read from the source in each second, such as V(20MB) or V(10MiB).
      - By default there is no limit.
    type: str
  plan_file:
    description:
      - File on the host that the task runs on, to which all that is to be done is written, also in check mode.
      - Each line is a JSON object with target, action, key and bytes. Only its owner may read it.
    type: path
seealso:
  - module: lifeboat.recovery.minio_bucket
    description: Makes buckets, with versions and object lock.
  - module: lifeboat.recovery.bucket_backup
"""

EXAMPLES = r"""
---
- name: Mirror a bucket to another site
  lifeboat.recovery.s3_mirror:
    source: &photos
      bucket: photos
      endpoint_url: https://minio.example.com:9000
      access_key: mirror-reader
      secret_key: "{{ vault_reader_secret_key }}"
    targets:
      - &offsite
        name: offsite
        bucket: photos
        endpoint_url: https://s3.offsite.example.com
        access_key: mirror-writer
        secret_key: "{{ vault_writer_secret_key }}"
    bandwidth: 20MB

- name: Say what would be done, with all keys in a file
  lifeboat.recovery.s3_mirror:
    source: *photos
    targets: [*offsite]
    plan_file: /var/tmp/photos.jsonl
  check_mode: true
  diff: true

- name: Mirror although most objects were rewritten on purpose
  lifeboat.recovery.s3_mirror:
    source: *photos
    targets: [*offsite]
    allow: [mass_rewrite]

- name: Prove that every byte of the mirror is right
  lifeboat.recovery.s3_mirror:
    source: *photos
    targets: [*offsite]
    verify: content

- name: Keep a plain copy of a prefix on disk as well
  lifeboat.recovery.s3_mirror:
    source:
      bucket: photos
      prefix: 2026
      endpoint_url: https://minio.example.com:9000
      access_key: mirror-reader
      secret_key: "{{ vault_reader_secret_key }}"
    targets:
      - path: /srv/photos/2026
"""

RETURN = r"""
source:
  description: Name of the source.
  returned: success, and when single objects or a comparison make the task fail
  type: str
  sample: s3://photos
objects:
  description: How many objects the source has.
  returned: success, and when single objects or a comparison make the task fail
  type: int
  sample: 10000
targets:
  description: What was done at each target. In check mode and with O(verify), what would be done.
  returned: success, and when single objects or a comparison make the task fail
  type: list
  elements: dict
  contains:
    name:
      description: Name of the target.
      type: str
      sample: offsite
    copied:
      description: How many objects came that were not there.
      type: int
      sample: 12
    replaced:
      description: How many objects came in the place of others.
      type: int
      sample: 3
    removed:
      description: How many objects the source does not have any more.
      type: int
      sample: 1
    unchanged:
      description: How many objects are the same.
      type: int
      sample: 9985
    hidden:
      description: How many of these the source has without listing them, as MinIO does with C(p/c) beside C(p).
      type: int
      sample: 0
    bytes:
      description: How much was written.
      type: int
      sample: 1048576
    failed:
      description: How many objects could not be copied or removed.
      type: int
      sample: 0
    left:
      description: How many removals were left for the next run, because copies failed or the object came back.
      type: int
      sample: 0
    quarantine:
      description: Where old states were saved, empty when none had to be.
      type: str
      sample: .lifeboat-quarantine/20261121T020000Z-0a1b2c/
    problems:
      description: What went wrong, with up to 20 objects over all targets.
      type: list
      elements: str
      sample: []
    samples:
      description: Up to 20 keys over all targets for each of C(copied), C(replaced) and C(removed).
      type: dict
      sample: {copied: [2026/11/21.jpg], replaced: [], removed: []}
    read:
      description: How many objects were read on both sides, with O(verify=content).
      returned: with O(verify=content)
      type: int
      sample: 10000
    corrupt:
      description: How many of them have other bytes.
      returned: with O(verify=content)
      type: int
      sample: 0
guard:
  description: Name of the guard that refused.
  returned: when a guard refused
  type: str
  sample: mass_delete
"""

import contextlib
import dataclasses
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge import run as bridge
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.mirror_options import MIRROR, mirror_job_from
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import IncompleteError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import mirror_answer, mirror_run
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.mirror_run import (
    MirrorPlan,
    MirrorStopped,
)


@dataclasses.dataclass(frozen=True)
class Planned:
    """What a mirror would do, or what a comparison found."""

    plan: MirrorPlan
    answer: bridge.Result
    changed: bool

    def diff(self) -> tuple[bridge.Result, bridge.Result]:
        """Return what each target lacks or has too much."""
        return mirror_answer.difference(self.plan)

    def result(self) -> bridge.Result:
        """Return what would be done."""
        return self.answer


def plan(module: AnsibleModule, stack: contextlib.ExitStack) -> Planned:
    """Compare the sides, which stay open until the module ends."""
    job = mirror_job_from(module.params)
    request = stack.enter_context(mirror_run.opened(job))
    if module.params["verify"] != "no":
        planned, compared, error = mirror_run.verify(request, job, module.params["verify"] == "content")
        answer = mirror_answer.compared_answer(planned, compared)
        if error is not None:
            bridge.fail(module, error, answer)
        return Planned(planned, answer, changed=False)
    planned = mirror_run.plan(request, job)
    return Planned(planned, mirror_answer.planned_answer(planned), changed=not planned.is_empty)


def apply(module: AnsibleModule, planned: Planned) -> bridge.Result:
    """Mirror; what failed is a failure that says what was done."""
    try:
        return mirror_answer.answer(planned.plan, mirror_run.run(planned.plan))
    except (IncompleteError, MirrorStopped) as error:
        answer = mirror_answer.answer(planned.plan, error.result)
        is_changed = any(each["copied"] or each["replaced"] or each["removed"] for each in answer["targets"])
        bridge.fail(module, error, {**answer, "changed": is_changed})


def main() -> t.NoReturn:
    module = AnsibleModule(argument_spec=MIRROR, supports_check_mode=True)
    with contextlib.ExitStack() as stack:
        bridge.run(module, lambda _params: plan(module, stack), lambda planned: apply(module, planned))


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_notify
short_description: Tell somebody how a backup ended
version_added: 1.0.0
description:
  - Tells by mail, webhook or ping how another task ended, in the words and forms that the host command uses.
  - Give it the registered result of a module of this collection, such as M(lifeboat.recovery.pg_backup), from a
    C(rescue) or C(always) section. It finds out by itself what the result means.
  - A message that cannot be sent is a warning, so that nobody takes a backup for failed.
  - Messages hold what the result says of the backup, and no secrets.
author:
  - Lifeboat maintainers (@lifeboat)
extends_documentation_fragment:
  - lifeboat.recovery._attributes
attributes:
  check_mode:
    support: full
    details:
      - Nothing is sent. The result says who would be told, and what.
  diff_mode:
    support: full
    details:
      - The difference is who would be told of what.
  idempotent:
    support: none
    details:
      - Each task sends its messages again.
options:
  job:
    description:
      - Name of the job that the message is about.
    type: str
    required: true
  result:
    description:
      - The registered result of the task to tell about.
      - Nothing is sent about a task that was skipped.
    type: dict
    required: true
  command:
    description:
      - What was done with the job, in one word.
    type: str
    default: run
  host:
    description:
      - The host that the message is about. By default it is the one that this task runs on.
      - Set it to C(inventory_hostname) where the task is delegated.
    type: str
    default: ""
  recovered:
    description:
      - Whether the task before this one failed, so that those who were told of that learn that it works again.
    type: bool
    default: false
  fail_undelivered:
    description:
      - Whether the task fails when a channel does not take the message.
    type: bool
    default: false
  channels:
    description:
      - Whom to tell, and how.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - What results call the channel.
        type: str
        required: true
      type:
        description:
          - V(smtp) is mail by an SMTP server, V(sendmail) mail by the program of the host.
          - V(webhook) posts a JSON document. Its key C(text) is one line for people, which chat servers show.
          - V(ping) posts to a URL as healthchecks wants it, to itself after success and with C(/fail) otherwise.
        type: str
        choices: [smtp, sendmail, webhook, ping]
        required: true
      "on":
        description:
          - What the channel is told of. A V(ping) is told of everything.
        type: list
        elements: str
        choices: [failure, incomplete, flagged, success, recovered]
        default: [failure, incomplete, flagged, recovered]
      to:
        description:
          - Addresses of the recipients. Required for V(smtp) and V(sendmail).
        type: list
        elements: str
      from:
        description:
          - Address of the sender. By default it is C(lifeboat) at the name of the host.
        type: str
        default: ""
      server:
        description:
          - Name or address of the SMTP server.
        type: str
        default: localhost
      port:
        description:
          - Its port. V(0) is the usual one, 587 for V(starttls), 465 for V(tls), 25 for V(none).
        type: int
        default: 0
      security:
        description:
          - How the connection is encrypted.
          - V(none) is for servers on this machine, or with O(channels[].allow_plaintext).
        type: str
        choices: [starttls, tls, none]
        default: starttls
      user:
        description:
          - Who logs in to the SMTP server.
        type: str
        default: ""
      password:
        description:
          - Password of O(channels[].user).
        type: str
      program:
        description:
          - The program of V(sendmail).
        type: path
        default: /usr/sbin/sendmail
      url:
        description:
          - Where to post. C({job}), C({command}) and C({host}) in it are replaced. Required for V(webhook) and V(ping).
        type: str
      token:
        description:
          - Sent with a V(webhook) as C(Authorization) of the type C(Bearer).
        type: str
      proxy:
        description:
          - URL of a proxy for V(webhook) and V(ping). Variables of the environment are not looked at.
        type: str
        default: ""
      ca_cert:
        description:
          - Path of the certificate authorities to trust instead of those of the system, in PEM.
        type: path
      allow_plaintext:
        description:
          - Allows to send to another machine without encryption.
        type: bool
        default: false
      timeout_s:
        description:
          - How many seconds to wait for each answer, V(1) to V(30).
        type: int
        default: 10
      attempts:
        description:
          - How often to try, V(1) to V(5).
        type: int
        default: 3
seealso:
  - module: lifeboat.recovery.pg_backup
  - module: lifeboat.recovery.bucket_backup
  - module: lifeboat.recovery.files_backup
"""

EXAMPLES = r"""
---
- name: Back up, and tell of it whatever way it ends
  block:
    - name: Back up
      lifeboat.recovery.pg_backup:
        job: db1-shop
        database: shop
        repositories:
          - name: local
            path: /srv/backup/lifeboat
      register: backup
  always:
    - name: Tell
      lifeboat.recovery.backup_notify:
        job: db1-shop
        result: "{{ backup }}"
        host: "{{ inventory_hostname }}"
        channels:
          - name: ops
            type: smtp
            to: [ops@example.com]
            server: mail.example.com
            user: backup
            password: "{{ vault_mail_password }}"
          - name: healthchecks
            type: ping
            url: "{{ vault_ping_url }}/{job}"
      delegate_to: localhost

- name: See who would be told of a backup that failed
  lifeboat.recovery.backup_notify:
    job: db1-shop
    result:
      failed: true
      msg: This is a trial.
    channels:
      - name: chat
        type: webhook
        url: "{{ vault_chat_url }}"
  check_mode: true
"""

RETURN = r"""
outcome:
  description:
    - What the result means, V(success), V(failure), V(incomplete) or V(flagged).
    - It is V(null) for a skipped task.
  returned: always
  type: str
  sample: failure
title:
  description: The message in one line. It is empty for a skipped task.
  returned: always
  type: str
  sample: "Lifeboat on db1: run db1-shop FAILED"
notifications:
  description: One entry for each channel that wants to hear of it.
  returned: always
  type: list
  elements: dict
  contains:
    channel:
      description: Name of the channel.
      type: str
      sample: ops
    delivered:
      description: Whether it took the message. It is V(null) in check mode.
      type: bool
      sample: true
    problem:
      description: Why it did not.
      type: str
      sample: ""
"""

import dataclasses
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge import run as bridge
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.notify_options import (
    CHANNELS,
    channels_from,
    event_from,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import LifeboatError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.notify_channel import Channel
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.notify_delivery import Delivery, Outbox
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.notify_event import SUCCESS, Event


@dataclasses.dataclass(frozen=True)
class Planned:
    """A message, and who is to get it."""

    event: Event | None  # None: nothing happened
    channels: tuple[Channel, ...]  # that want to hear of it

    @property
    def changed(self) -> bool:
        return bool(self.channels)

    def diff(self) -> tuple[bridge.Result, bridge.Result]:
        """Return who is told of what; before nobody was."""
        told = {"title": self._title, "told": [channel.name for channel in self.channels]}
        return {"title": "", "told": []}, told

    def result(self) -> bridge.Result:
        """Return who would be told."""
        rows = [{"channel": channel.name, "delivered": None, "problem": ""} for channel in self.channels]
        outcome = self.event.outcome if self.event else None
        return {"outcome": outcome, "title": self._title, "notifications": rows}

    @property
    def _title(self) -> str:
        return self.event.title if self.event else ""


def plan(params: bridge.Params) -> Planned:
    """Find out what the result means and who wants to hear of it. Raises UsageError."""
    channels = channels_from(params["channels"])
    event = event_from(params["job"], params["command"], params["host"], params["result"])
    if event is None:
        return Planned(None, ())
    event = dataclasses.replace(event, is_recovery=params["recovered"] and event.outcome == SUCCESS)
    return Planned(event, tuple(channel for channel in channels if channel.wants(event)))


def apply(module: AnsibleModule, planned: Planned) -> bridge.Result:
    """Send the message; what was not taken is a warning, or a failure if that is wanted."""
    found = Outbox(planned.channels).send(planned.event) if planned.event else ()
    lost = [each for each in found if not each.is_done]
    answer = {**planned.result(), "notifications": [each.document() for each in found], "warnings": _words(lost)}
    if lost and module.params["fail_undelivered"]:
        names = ", ".join(each.channel for each in lost)
        error = LifeboatError(f"Cannot tell {names}", "; ".join(each.problem for each in lost), "correct the channel")
        bridge.fail(module, error, {**answer, "warnings": [], "changed": len(lost) < len(found)})
    return answer


def _words(lost: t.Sequence[Delivery]) -> list[str]:
    return [f"Channel {each.channel} did not take the message: {each.problem}" for each in lost]


def main() -> t.NoReturn:
    module = AnsibleModule(
        argument_spec={
            "job": {"type": "str", "required": True},
            "result": {"type": "dict", "required": True},
            "command": {"type": "str", "default": "run"},
            "host": {"type": "str", "default": ""},
            "recovered": {"type": "bool", "default": False},
            "fail_undelivered": {"type": "bool", "default": False},
            **CHANNELS,
        },
        supports_check_mode=True,
    )
    bridge.run(module, plan, lambda planned: apply(module, planned))


if __name__ == "__main__":
    main()

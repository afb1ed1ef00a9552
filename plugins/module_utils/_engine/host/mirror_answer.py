# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import typing as t

from ..objects.mirror_plan import SAMPLE, Action, Tally
from ..objects.mirror_run import Done, MirrorPlan, MirrorResult
from ..objects.mirror_verify import Compared

Document = dict[str, t.Any]

_LONGEST = 200  # characters of a key or a problem, as JSON writes it: a key can have 12 for each of its signs
# What results call what was done, and what is still to be done.
_DONE = {Action.COPY: "copied", Action.REPLACE: "replaced", Action.REMOVE: "removed"}
_LACKS = {Action.COPY: "missing", Action.REPLACE: "different", Action.REMOVE: "extra"}


def planned_answer(planned: MirrorPlan) -> Document:
    """Return what would be done at each target, with bounded samples."""
    return {"targets": [_target(planned, number, Done()) for number in range(len(planned.tallies))], **_source(planned)}


def answer(planned: MirrorPlan, result: MirrorResult) -> Document:
    """Return what was done at each target."""
    targets = [_target(planned, number, done, is_done=True) for number, done in enumerate(result.targets)]
    return {"targets": targets, **_source(planned), "warnings": [_cut(words) for words in result.remarks]}


def difference(planned: MirrorPlan) -> tuple[Document, Document]:
    """Return what each target lacks or has too much, before and after."""
    before: Document = {}
    after: Document = {}
    for target, tally in zip(planned.request.targets, planned.tallies):
        name = target.location.name
        before[name] = {
            words: {
                "objects": tally.counts[action],
                "bytes": tally.bytes[action],
                "sample": _sample(planned, tally, action),
            }
            for action, words in _LACKS.items()
        }
        after[name] = {words: {"objects": 0, "bytes": 0, "sample": []} for words in _LACKS.values()}
    return before, after


def compared_answer(planned: MirrorPlan, compared: t.Sequence[Compared]) -> Document:
    """Return what a comparison found; `compared` is empty when no bytes were read."""
    found = planned_answer(planned)
    for target, each in zip(found["targets"], compared):
        target["read"] = each.objects
        target["corrupt"] = each.different
        target["problems"] = [_cut(words) for words in each.samples[: _share(planned)]]
    return found


def lines(document: Document, is_done: bool) -> list[str]:
    """Return what people read."""
    found = []
    for target in document["targets"]:
        counts = ", ".join(f"{target[words]:,} {words}" for words in _DONE.values())
        verb = "" if is_done else "would be: "
        found.append(f"{document['source']} to {target['name']}: {verb}{counts}, {target['unchanged']:,} unchanged")
        if target.get("quarantine"):
            found.append(f"  old states are kept in {target['quarantine']}")
    return found


def _source(planned: MirrorPlan) -> Document:
    return {"source": planned.request.source.location.name, "objects": planned.objects}


def _target(planned: MirrorPlan, number: int, done: Done, is_done: bool = False) -> Document:
    target, tally = planned.request.targets[number], planned.tallies[number]
    counts = done.counts if is_done else tally.counts
    coming = tally.bytes[Action.COPY] + tally.bytes[Action.REPLACE]
    return {
        "name": target.location.name,
        **{words: counts[action] for action, words in _DONE.items()},
        "unchanged": tally.unchanged,
        "hidden": tally.hidden,
        "bytes": done.bytes if is_done else coming,
        "failed": done.failed,
        "left": done.left,
        "quarantine": target.quarantine,
        "problems": [_cut(words) for words in done.problems[: _share(planned)]],
        "samples": {words: _sample(planned, tally, action) for action, words in _DONE.items()},
    }


def _sample(planned: MirrorPlan, tally: Tally, action: Action) -> list[str]:
    return [_cut(key) for key in tally.samples[action][: _share(planned)]]


def _share(planned: MirrorPlan) -> int:
    """Return how many keys each target may show: results stay small however many targets there are."""
    return max(1, SAMPLE // len(planned.tallies))


def _cut(text: str) -> str:
    """Return a text that JSON writes in at most 200 characters."""
    if len(json.dumps(text)) <= _LONGEST:
        return text
    while len(json.dumps(text)) > _LONGEST - 6:
        text = text[: len(text) * 3 // 4]
    return f"{text}…"

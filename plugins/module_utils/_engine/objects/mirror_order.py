# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What has to be removed from folders before something can be copied there: a file and a directory need one name."""

from __future__ import annotations

import typing as t

from .mirror_plan import Difference, Step


class Obstacles:
    """The removals of a plan that stand in the way of its copies, at targets where a key is a path.

    A file `a` that the source does not have any more stands in the way of `a/b`, and a file `a/b` in that of `a`.
    """

    def __init__(self, steps: t.Iterable[Difference], trees: t.Collection[int]) -> None:
        """`steps` are read from the beginning each time, in the order of their keys; `trees` are numbers of targets."""
        self._steps = steps
        self._trees = trees
        self._files: set[str] = set()  # keys of removals in the way of something below

    @property
    def are_possible(self) -> bool:
        return bool(self._trees)

    def first(self) -> t.Iterator[Difference]:
        """Yield what has to be removed before anything is copied, for the targets where it is in the way."""
        for difference, above in _with_those_above(self._steps):
            for each in above:
                if each.item is None and self._is_in_way(each, difference) and each.key not in self._files:
                    self._files.add(each.key)
                    yield each._replace(steps=self._at_trees(each))
            if any(self._is_in_way(difference, each) for each in above):
                yield difference._replace(steps=self._at_trees(difference))

    def last(self) -> t.Iterator[Difference]:
        """Yield what is to be removed when all was copied; `first` has come to its end."""
        if not self._trees:
            yield from (difference for difference in self._steps if difference.item is None)
            return
        for difference, above in _with_those_above(self._steps):
            if difference.item is not None:
                continue
            is_early = difference.key in self._files or any(self._is_in_way(difference, each) for each in above)
            early = self._at_trees(difference) if is_early else ()
            left = tuple(step for step in difference.steps if step not in early)
            if left:
                yield difference._replace(steps=left)

    def _is_in_way(self, removal: Difference, coming: Difference) -> bool:
        """Say whether a folder cannot have both, what is to be removed and what is to be copied."""
        if removal.item is not None or coming.item is None:
            return False
        targets = {step.target for step in coming.steps if step.target in self._trees}
        return any(step.target in targets for step in removal.steps)

    def _at_trees(self, removal: Difference) -> tuple[Step, ...]:
        return tuple(step for step in removal.steps if step.target in self._trees)


def _with_those_above(steps: t.Iterable[Difference]) -> t.Iterator[tuple[Difference, list[Difference]]]:
    """Yield the differences, each with those whose keys are paths above its own.

    What stands between `a` and `a/b` in the order of keys begins with `a`, so that few are remembered at a time.
    """
    begun: list[Difference] = []
    for difference in steps:
        while begun and not difference.key.startswith(begun[-1].key):
            begun.pop()
        yield difference, [each for each in begun if difference.key.startswith(f"{each.key}/")]
        begun.append(difference)

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A source whose server fails for some objects."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import LifeboatError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.patient_source import (
    IN_A_ROW,
    PatientSource,
    patient,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.rows import Item
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.source import (
    Described,
    ObjectError,
    Order,
    Outcome,
    ReadsSeveral,
    Take,
    VanishedError,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3 import failure
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.failure import S3Error


class Server:
    """A source whose objects fail as their keys say: an HTTP status, a code without one, or `gone`."""

    kind = "bucket"

    def _answer(self, key: str) -> Described:
        if key.startswith("gone"):
            raise VanishedError("Cannot read it", "it is not there")
        if key[:3].isdigit():
            raise S3Error("Cannot read it", int(key[:3]), "Oops", "no")
        if key.startswith("!"):
            raise S3Error("Cannot read it", 0, key[1:].partition(" ")[0], "no")
        return Described(item(key), "", {})

    def describe(self, _collection: str, item: Item) -> Described:
        return self._answer(item.key)

    def read_whole(self, _collection: str, item: Item) -> tuple[Described, bytes]:
        return self._answer(item.key), b"x"

    def read_range(self, _collection: str, item: Item, _offset: int, _length: int) -> t.Iterator[bytes]:
        yield b"x"
        self._answer(item.key)

    def read_into(self, _collection: str, item: Item, _offset: int, _room: memoryview) -> t.Iterator[int]:
        yield 1
        self._answer(item.key)

    def read_through(self, take: Take, _at_once: int) -> t.Iterator[tuple[t.Any, Outcome]]:
        while True:
            order = take(True)
            if order is None:
                return
            outcome: Outcome
            try:
                outcome = self.read_whole(order.collection, order.item)
            except LifeboatError as error:
                outcome = error
            yield order.token, outcome

    def _unused(self) -> t.Any:
        raise AssertionError("nobody asked for that")

    identity = collections = items = documents = _unused


def item(key: str) -> Item:
    return Item(key, 1, "e", "m", "")


def ask(source: PatientSource, key: str, how: str = "read_whole") -> LifeboatError | None:
    try:
        if how == "read_range":
            list(source.read_range("c", item(key), 0, 1))
        elif how == "read_into":
            list(source.read_into("c", item(key), 0, memoryview(bytearray(1))))
        elif how == "read_through":
            orders = iter([Order("token", "c", item(key), False)])
            ((token, outcome),) = t.cast(ReadsSeveral, source).read_through(lambda _may_wait: next(orders, None), 4)
            assert token == "token"
            return outcome if isinstance(outcome, LifeboatError) else None
        else:
            getattr(source, how)("c", item(key))
    except LifeboatError as error:
        return error
    return None


@pytest.fixture
def source() -> PatientSource:
    return patient(t.cast(t.Any, Server()))


@pytest.mark.parametrize("how", ["describe", "read_whole", "read_range", "read_into", "read_through"])
@pytest.mark.parametrize("key", ["500", "503", f"!{failure.LOST_ANSWER}"])
def test_an_object_for_which_the_server_fails_is_one_that_cannot_be_read(
    source: PatientSource, key: str, how: str
) -> None:
    error = ask(source, key, how)
    assert isinstance(error, ObjectError) and "no" in error.cause


@pytest.mark.parametrize("key", [f"!{failure.NOT_CONNECTED}", f"!{failure.UNTRUSTED}", "403"])
def test_what_concerns_all_objects_ends_the_run_at_once(source: PatientSource, key: str) -> None:
    assert isinstance(ask(source, key), S3Error)


@pytest.mark.parametrize("between", ["good", "gone"])
def test_failures_with_answers_between_them_go_on_for_ever(source: PatientSource, between: str) -> None:
    for number in range(5 * IN_A_ROW):
        assert isinstance(ask(source, f"503 {number}"), ObjectError)
        if number % (IN_A_ROW - 1) == IN_A_ROW - 2:
            ask(source, between)


def test_many_failures_in_a_row_end_the_run_with_what_the_server_says(source: PatientSource) -> None:
    hows = ("read_through", "read_whole")
    found = [ask(source, f"503 {number}", hows[number % 2]) for number in range(IN_A_ROW)]
    assert [isinstance(error, ObjectError) for error in found] == [True] * (IN_A_ROW - 1) + [False]
    assert isinstance(found[-1], S3Error)
    assert isinstance(ask(source, "500 another"), S3Error)


def test_one_object_that_fails_again_and_again_counts_once(source: PatientSource) -> None:
    for how in ("describe", "read_whole", "read_range", "read_into", "read_through") * IN_A_ROW:
        assert isinstance(ask(source, "503", how), ObjectError)

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import threading
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3 import flight
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.client import S3Client
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.endpoint import Endpoint
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.failure import S3Error
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.s3 import scripted_server as scripted
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.s3.scripted_server import (
    ScriptedServer,
    answer,
    hang_up,
    raw,
    refusal,
)

DATA = b"0123456789"
OBJECT = {"last-modified": "Fri, 20 Nov 2026 02:00:00 GMT", "etag": '"e1"'}
WHOLE = answer(200, DATA, OBJECT)
STORED = answer(200, b"", {"etag": '"e1"'})
Task = flight.Task[t.Any]


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waited: list[float] = []
    monkeypatch.setattr(clock, "sleep", waited.append)
    return waited


def client(server: ScriptedServer, **settings: t.Any) -> S3Client:
    return S3Client(Endpoint(server.url, access_key="ID", secret_key="secret", **{"max_attempts": 4, **settings}))


def fly(tasks: t.Iterable[Task], in_flight: int = 4) -> list[t.Any]:
    waiting = iter(tasks)
    return list(flight.Flight(in_flight).run(lambda _may_wait: next(waiting, None)))


def get(s3: S3Client, key: str) -> Task:
    try:
        body, _stored = yield from s3.get_task("bucket", key, 100)
    except S3Error as error:
        return key, error.code
    return key, body


def gets(s3: S3Client, count: int) -> t.Iterator[Task]:
    for number in range(count):
        yield get(s3, str(number))


def all_read(count: int) -> list[tuple[str, bytes]]:
    return [(str(number), DATA) for number in range(count)]


def test_all_tasks_are_done_with_no_more_connections_than_requests_on_their_way() -> None:
    with ScriptedServer(*[WHOLE] * 20) as server:
        assert sorted(fly(gets(client(server), 20))) == sorted(all_read(20))
        assert (len(server.received), server.connections) == (20, 4)


def test_several_requests_are_sent_before_the_first_is_answered() -> None:
    may_answer = threading.Event()
    came = threading.Semaphore(0)

    def held(connection: t.Any, stream: t.Any) -> bool:
        came.release()
        return may_answer.wait(10) and WHOLE(connection, stream)

    with ScriptedServer(held, held, held) as server:
        s3 = client(server)

        def release() -> None:
            for _request in range(3):
                assert came.acquire(timeout=10)
            may_answer.set()

        threading.Thread(target=release).start()
        assert len(fly(gets(s3, 3), 3)) == 3
        assert may_answer.is_set()


@pytest.mark.parametrize("act", [refusal(503, "SlowDown"), hang_up(), raw(b"HTTP/1.1 banana\r\n\r\n")])
def test_what_fails_for_once_is_asked_again(act: scripted.Act) -> None:
    with ScriptedServer(WHOLE, act, *[WHOLE] * 5) as server:
        s3 = client(server)
        assert sorted(fly(gets(s3, 6), 2)) == all_read(6)


def test_a_body_that_breaks_off_is_asked_for_again() -> None:
    cut = raw(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n0123")
    with ScriptedServer(cut, *[WHOLE] * 3) as server:
        s3 = client(server)
        assert sorted(fly(gets(s3, 3), 2)) == all_read(3)


def test_a_lasting_refusal_is_thrown_into_its_task_alone(pauses: list[float]) -> None:
    with ScriptedServer(WHOLE, refusal(404, "NoSuchKey"), WHOLE) as server:
        s3 = client(server)
        assert fly(gets(s3, 3), 1) == [("0", DATA), ("1", "NoSuchKey"), ("2", DATA)]
        assert (len(server.received), pauses) == (3, [])


def test_a_refusal_that_does_not_end_is_repeated_as_often_as_allowed() -> None:
    with ScriptedServer(*[refusal(503, "SlowDown")] * 5) as server:
        s3 = client(server)
        assert fly(gets(s3, 1)) == [("0", "SlowDown")]
        assert len(server.received) == 1 + 4


def test_a_server_that_says_nothing_is_left_after_the_allowed_time() -> None:
    until = threading.Event()
    with ScriptedServer(scripted.stall(until), WHOLE) as server:
        s3 = client(server, read_timeout_s=0.2)
        assert fly(gets(s3, 1)) == [("0", DATA)]
        until.set()


def test_a_task_may_ask_for_more_than_one_thing() -> None:
    def both(s3: S3Client) -> Task:
        first = yield from get(s3, "first")
        second = yield from get(s3, "second")
        return first, second

    with ScriptedServer(WHOLE, WHOLE) as server:
        s3 = client(server)
        assert fly([both(s3)]) == [(("first", DATA), ("second", DATA))]
        assert server.connections == 1


def test_what_must_not_be_repeated_is_sent_alone_and_once() -> None:
    with ScriptedServer(hang_up(), STORED) as server:
        s3 = client(server)
        with pytest.raises(S3Error, match="s3://bucket/key"):
            fly([s3.put_task("bucket", "key", DATA, {"if-none-match": "*"}, once=True)])
        assert len(server.received) == 1


def test_a_put_that_stored_other_bytes_is_an_error() -> None:
    with ScriptedServer(answer(200, b"", {"etag": '"e"', "x-amz-checksum-crc32": "AAAAAA=="})) as server:
        s3 = client(server)
        with pytest.raises(S3Error, match="other bytes"):
            fly([s3.put_task("bucket", "key", DATA, {})])


def test_what_a_task_raises_comes_out_and_the_connections_are_closed() -> None:
    def failing(s3: S3Client) -> Task:
        yield from get(s3, "first")
        raise ValueError("enough")

    until = threading.Event()
    with ScriptedServer(WHOLE, scripted.stall(until)) as server:
        s3 = client(server)
        with pytest.raises(ValueError, match="enough"):
            fly([failing(s3), get(s3, "second")], 2)
        until.set()
        assert server.has_closed.wait(10)


def test_a_task_that_needs_no_request_is_done_as_well() -> None:
    def nothing() -> Task:
        return "done"
        yield

    assert fly([nothing(), nothing()]) == ["done", "done"]

# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import datetime as dt
import random
import threading
import typing as t
import weakref
import zlib

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock, steps
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3 import multipart
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.calls import Part
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.client import S3Client
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.endpoint import Endpoint
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.failure import S3Error
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.response import LeanResponse
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.transport import pause_s
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.s3 import scripted_server as scripted
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.s3.scripted_server import (
    ScriptedServer,
    answer,
    hang_up,
    raw,
    refusal,
)

SECRET = "the-secret-canary"
WHEN = "Fri, 20 Nov 2026 02:00:00 GMT"
MODIFIED = {"last-modified": WHEN}
OBJECT = {**MODIFIED, "etag": '"e1"'}
DATA = b"0123456789"
WHOLE = answer(200, DATA, OBJECT)


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waited: list[float] = []
    monkeypatch.setattr(clock, "sleep", waited.append)
    return waited


def client(server: ScriptedServer, **settings: t.Any) -> S3Client:
    return S3Client(Endpoint(server.url, access_key="ID", secret_key=SECRET, **{"max_attempts": 4, **settings}))


def read(server: ScriptedServer, **settings: t.Any) -> bytes:
    return b"".join(client(server, **settings).get_object("bucket", "key"))


def part_of(start: int, total: int = len(DATA), etag: str = '"e1"') -> scripted.Act:
    headers = {**MODIFIED, "etag": etag, "content-range": f"bytes {start}-{total - 1}/{total}"}
    return answer(206, DATA[start:total], headers)


# Repeating


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_passing_refusal_is_waited_out(status: int, pauses: list[float]) -> None:
    with ScriptedServer(refusal(status, "Busy"), refusal(status, "Busy"), WHOLE) as server:
        assert client(server).get_bytes("bucket", "key", 100)[0] == DATA
    assert len(pauses) == 2


def test_a_lasting_refusal_ends_after_the_allowed_tries(pauses: list[float]) -> None:
    with ScriptedServer(*[refusal(503, "SlowDown", "later")] * 9) as server:
        with pytest.raises(S3Error, match="later") as caught:
            client(server).get_bytes("bucket", "key", 100)
        assert (len(server.received), len(pauses), caught.value.code) == (4, 3, "SlowDown")


def test_pauses_grow_and_are_spread() -> None:
    for tries, longest in ((1, 0.25), (2, 0.5), (3, 1.0), (6, 8.0), (9, 10.0), (50, 10.0)):
        drawn = [pause_s(tries) for _ignored in range(400)]
        assert 0 <= min(drawn) < longest / 4
        assert longest * 3 / 4 < max(drawn) <= longest


@pytest.mark.parametrize(("status", "code"), [(400, "InvalidRequest"), (403, "AccessDenied"), (404, "NoSuchKey")])
def test_a_lasting_answer_is_not_asked_for_again(status: int, code: str) -> None:
    with ScriptedServer(refusal(status, code), WHOLE) as server:
        with pytest.raises(S3Error, match=code):
            client(server).get_bytes("bucket", "key", 100)
        assert len(server.received) == 1


def test_a_server_without_a_listing_of_versions_has_the_objects_alone() -> None:
    listed = (
        b"<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>a</Key>"
        b'<LastModified>2026-11-20T02:00:00Z</LastModified><ETag>"e1"</ETag><Size>3</Size></Contents></ListBucketResult>'
    )
    with ScriptedServer(refusal(501, "NotImplemented"), answer(200, listed)) as server:
        (found,) = client(server).list_versions("bucket")
    assert (found.key, found.version_id, found.is_latest, found.is_delete_marker) == ("a", "", True, False)
    with ScriptedServer(refusal(403, "AccessDenied")) as server, pytest.raises(S3Error, match="AccessDenied"):
        list(client(server).list_versions("bucket"))


@pytest.mark.parametrize("status", [400, 412, 501])
def test_parts_that_a_server_does_not_tell_of_are_unknown(status: int) -> None:
    with ScriptedServer(answer(status), answer(200, headers=OBJECT)) as server:
        assert client(server).part_layout("bucket", "key", "e1-2") is None
        first, second = server.received
    assert "partNumber=1" in first.target and "partNumber" not in second.target
    assert second.fields["if-match"] == '"e1-2"'


def test_an_object_that_has_changed_is_told_where_its_parts_are_asked_for() -> None:
    with ScriptedServer(answer(412), answer(412)) as server, pytest.raises(S3Error) as error:
        client(server).part_layout("bucket", "key", "e1-2")
    assert error.value.status == 412


def test_nobody_listening_is_told_as_such(pauses: list[float]) -> None:
    with ScriptedServer() as server:
        pass
    with pytest.raises(S3Error) as caught:
        client(server).put_object("bucket", "key", DATA, only_if_new=True)
    assert caught.value.code == "NotConnected"
    assert len(pauses) == 3, "nothing was sent, so that even a conditional request may be repeated"


@pytest.mark.parametrize("act", [hang_up(), raw(b""), raw(b"HTTP/1.1 200 OK\r\nconte"), refusal(500, "InternalError")])
def test_a_plain_put_whose_answer_was_lost_is_sent_again(act: scripted.Act) -> None:
    with ScriptedServer(act, answer(200, b"", {"etag": '"x"'})) as server:
        assert client(server).put_object("bucket", "key", DATA).etag == "x"
        assert [request.body for request in server.received] == [DATA, DATA]


@pytest.mark.parametrize(
    "act",
    [
        hang_up(),
        raw(b"HTTP/1.1 200 OK\r\nconte"),
        raw(b"nonsense\r\n\r\n"),
        refusal(500, "InternalError"),
        refusal(502, "BadGateway"),
        refusal(503, "SlowDownWrite"),
        refusal(503, "ServiceUnavailable"),
    ],
)
@pytest.mark.parametrize("condition", [{"only_if_new": True}, {"only_if_etag": "e"}])
def test_a_conditional_put_whose_outcome_is_unknown_is_never_sent_again(
    act: scripted.Act, condition: dict[str, t.Any]
) -> None:
    with ScriptedServer(act, answer()) as server:
        with pytest.raises(S3Error) as caught:
            client(server).put_object("bucket", "key", DATA, **condition)
        assert len(server.received) == 1
        assert not caught.value.is_without_effect


@pytest.mark.parametrize("act", [hang_up(), refusal(500, "InternalError"), refusal(503, "SlowDownWrite")])
def test_a_dated_deletion_whose_outcome_is_unknown_is_never_sent_again(act: scripted.Act) -> None:
    with ScriptedServer(act, answer(204)) as server:
        with pytest.raises(S3Error) as caught:
            client(server).delete("bucket", "key", signed_at=clock.now())
        assert len(server.received) == 1
        assert not caught.value.is_without_effect


def test_a_deletion_without_a_date_is_repeated(pauses: list[float]) -> None:
    with ScriptedServer(hang_up(), answer(204)) as server:
        client(server).delete("bucket", "key")
        assert len(server.received) == 2


@pytest.mark.parametrize(("status", "code"), [(503, "SlowDown"), (409, "ConditionalRequestConflict")])
def test_a_conditional_put_that_was_not_begun_is_sent_again(status: int, code: str) -> None:
    with ScriptedServer(refusal(status, code), answer()) as server:
        client(server).put_object("bucket", "key", DATA, only_if_new=True)
        assert [request.fields["if-none-match"] for request in server.received] == ["*", "*"]


def test_a_failed_condition_is_told_as_such() -> None:
    with ScriptedServer(refusal(412, "PreconditionFailed")) as server:
        with pytest.raises(S3Error) as caught:
            client(server).put_object("bucket", "key", DATA, only_if_etag="abc")
        assert (caught.value.status, server.received[0].fields["if-match"]) == (412, '"abc"')


def test_no_answer_in_time_is_a_lost_answer() -> None:
    over = threading.Event()
    with ScriptedServer(scripted.stall(over), WHOLE) as server:
        with pytest.raises(S3Error, match="no answer in time"):
            client(server, read_timeout_s=0.1).put_object("bucket", "key", DATA, only_if_new=True)
        over.set()


# Connections


def test_a_connection_is_used_again() -> None:
    with ScriptedServer(WHOLE, WHOLE, WHOLE) as server:
        used = client(server)
        for _ignored in range(3):
            used.get_bytes("bucket", "key", 100)
        assert server.connections == 1


def test_a_connection_that_the_server_closed_meanwhile_is_opened_anew_even_for_a_conditional_put() -> None:
    with ScriptedServer(answer(200, DATA, OBJECT, keep=False), answer()) as server:
        used = client(server)
        used.get_bytes("bucket", "key", 100)
        assert server.has_closed.wait(10)
        used.put_object("bucket", "key", DATA, only_if_new=True)
        assert server.connections == 2


def test_bytes_that_nobody_asked_for_are_never_taken_for_an_answer() -> None:
    stray = b'HTTP/1.1 200 OK\r\ncontent-length: 0\r\netag: "stray"\r\n\r\n'
    with ScriptedServer(
        raw(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n" + stray, keep=True), answer(200, b"", {"etag": '"good"'})
    ) as server:
        used = client(server)
        used.put_object("bucket", "key", b"")
        assert used.put_object("bucket", "key", b"").etag == "good"


def test_a_connection_whose_body_was_not_read_to_its_end_is_not_used_again() -> None:
    with ScriptedServer(answer(200, b"x" * 3_000_000, OBJECT), WHOLE) as server:
        used = client(server)
        download = used.get_object("bucket", "key")
        next(iter(download))
        download.close()
        assert used.get_bytes("bucket", "key", 100)[0] == DATA
        assert server.connections == 2


def test_a_server_that_asks_to_close_is_obeyed() -> None:
    with ScriptedServer(answer(200, DATA, {**OBJECT, "connection": "close"}), WHOLE) as server:
        used = client(server)
        used.get_bytes("bucket", "key", 100)
        used.get_bytes("bucket", "key", 100)
        assert server.connections == 2


# Odd answers


def test_chunked_bodies_are_read() -> None:
    head = f'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\netag: "e1"\r\nlast-modified: {WHEN}\r\n'
    with ScriptedServer(
        raw(head.encode() + b"\r\n4\r\n0123\r\n6;x=y\r\n456789\r\n0\r\n\r\n", keep=True), WHOLE
    ) as server:
        used = client(server)
        assert used.get_bytes("bucket", "key", 100)[0] == DATA
        assert used.get_bytes("bucket", "key", 100)[0] == DATA
        assert server.connections == 1


def test_a_chunked_body_that_is_cut_is_asked_for_again() -> None:
    cut = raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\n0123\r\n6\r\n45")
    with ScriptedServer(cut, WHOLE) as server:
        assert client(server).get_bytes("bucket", "key", 100)[0] == DATA
        assert len(server.received) == 2


@pytest.mark.parametrize(
    "head",
    [
        b'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 10\r\netag: "e1"\r\n',
        b"HTTP/1.1 100 Continue\r\nx: y\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
        b'HTTP/1.1 200 OK\r\ncontent-length: 10\r\netag: "e1"\r\n',
        b'HTTP/1.1 200 OK\r\ncontent-length: 10\r\nx-a: b\r\n  folded\r\netag: "e1"\r\n',
        b'HTTP/1.1 200 OK\r\ncontent-length: 10\r\nContent-Length: 10\r\netag: "e1"\r\n',
        b'HTTP/1.1 200 OK\r\nvary: a\r\nVARY: b\r\ncontent-length: 10\r\nETag: "e1"\r\n',
        b'HTTP/1.1 200 OK\nContent-Length: 10\netag: "e1"\n',
        b'HTTP/1.0 200 OK\r\nContent-Length: 10\r\netag: "e1"\r\n',
        b'HTTP/1.1 200\r\nContent-Length:10\r\nETAG:"e1"   \r\n',
    ],
)
def test_odd_but_legal_heads_are_read(head: bytes) -> None:
    end = b"\n" if b"\r" not in head else b"\r\n"
    modified = b"last-modified: Fri, 20 Nov 2026 02:00:00 GMT" + end
    with ScriptedServer(raw(head + modified + end + DATA)) as server:
        data, found = client(server, max_attempts=1).get_bytes("bucket", "key", 100)
    assert (data, found.etag) == (DATA, "e1")


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\n{}content-length: 4\r\ncontent-length: 10\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n{}content-length: 10\r\ncontent-length: 4\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n{}\r\n",
        b"HTTP/1.1 200 OK\r\n{}content-length: -4\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n{}content-length: ten\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n{}content-length: 20\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n{}content-length: 10\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 200 + b"{}content-length: 10\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70000 + b"\r\n{}content-length: 10\r\n\r\n",
        b"HTTP/1.1 200 OK\r\netag: 1\r\ncontent-length: 10\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\r\n\r\n",
    ],
)
def test_an_answer_that_cannot_be_trusted_is_an_error(head: bytes) -> None:
    full = head.replace(b"{}", f"last-modified: {WHEN}\r\n".encode()) + DATA
    with ScriptedServer(raw(full), raw(full)) as server, pytest.raises(S3Error):
        client(server, max_attempts=2).get_bytes("bucket", "key", 100)


def test_whatever_comes_is_an_s3_error_or_an_answer_and_the_next_request_is_not_disturbed() -> None:
    chance = random.Random(20261120)
    good = (
        b'HTTP/1.1 200 OK\r\ncontent-length: 10\r\nlast-modified: Fri, 20 Nov 2026 02:00:00 GMT\r\netag: "e1"\r\n\r\n'
        + DATA
    )
    for _ignored in range(300):
        noise = bytearray(good)
        for _ignored in range(chance.randint(1, 6)):
            position = chance.randrange(len(noise))
            noise[position : position + chance.randint(0, 3)] = chance.choice(
                (b"", b"\r\n", b":", b" ", b"\xff", b"9", b"\0")
            )
        with ScriptedServer(
            raw(bytes(noise[: chance.randint(1, len(noise))])), answer(200, b"", {"etag": '"f"'})
        ) as server:
            used = client(server, max_attempts=1)
            try:
                used.get_bytes("bucket", "key", 100)
            except S3Error as error:
                assert SECRET not in str(error)
            assert server.has_closed.wait(10)
            assert used.put_object("bucket", "key", b"").etag == "f"


def test_a_folded_header_is_read_as_a_whole() -> None:
    head = f"HTTP/1.1 200 OK\r\nlast-modified: {WHEN}\r\nx-a: b\r\n\t c\r\nContent-Length: 10\r\n\r\n".encode()
    with ScriptedServer(raw(head + DATA)) as server:
        assert client(server).get_bytes("bucket", "key", 100)[1].fields["x-a"] == "b c"


def test_an_empty_line_in_the_body_does_not_end_the_head_of_an_odd_server() -> None:
    body = b"0\r\n\r\n56789"
    head = f"HTTP/1.1 200 OK\nContent-Length: 10\nlast-modified: {WHEN}\n\n".encode()
    with ScriptedServer(raw(head + body)) as server:
        assert client(server, max_attempts=1).get_bytes("bucket", "key", 100)[0] == body


@pytest.mark.parametrize("cut", range(1, 90))
def test_a_head_that_comes_in_two_pieces_is_read(cut: int) -> None:
    whole = f"HTTP/1.1 200 OK\r\ncontent-length: 10\r\nlast-modified: {WHEN}\r\n\r\n".encode() + DATA
    with ScriptedServer(scripted.in_two_pieces(whole, cut)) as server:
        assert client(server, max_attempts=1).get_bytes("bucket", "key", 100)[0] == DATA


def test_plain_answers_are_not_left_to_the_standard_library(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*_: object) -> t.NoReturn:
        raise AssertionError("the slow parser was used")

    monkeypatch.setattr(LeanResponse, "_begin_again", slow)
    # As MinIO sends it: "Vary" comes twice.
    plain = b"HTTP/1.1 200 OK\r\nVary: Origin\r\nVary: Accept-Encoding\r\nContent-Length: 0\r\n\r\n"
    with ScriptedServer(raw(plain)) as server:
        client(server).put_object("bucket", "key", DATA)


def test_a_document_that_is_too_long_is_refused() -> None:
    with ScriptedServer(answer(200, b"x" * 101, OBJECT)) as server, pytest.raises(S3Error, match="TooLarge"):
        client(server).get_bytes("bucket", "key", 100)


@pytest.mark.parametrize("takes_rest", [True, False])
def test_a_refusal_that_comes_before_the_body_was_taken_is_read(takes_rest: bool) -> None:
    body = b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>"
    early = scripted.early(403, body, takes_rest)
    with ScriptedServer(early) as server, pytest.raises(S3Error) as caught:
        client(server).put_object("bucket", "key", b"x" * 20_000_000)
    assert caught.value.code == "AccessDenied"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_host_is_an_error(status: int) -> None:
    with ScriptedServer(answer()) as other:
        where = {"location": f"{other.url}/bucket/key"}
        with ScriptedServer(answer(status, b"", where)) as server, pytest.raises(S3Error) as caught:
            client(server).put_object("bucket", "key", DATA)
        assert "redirect" in str(caught.value)
        assert other.connections == 0
        assert len(server.received) == 1


def test_the_right_region_is_named_when_the_server_tells_it() -> None:
    told = refusal(301, "PermanentRedirect", "elsewhere", {"x-amz-bucket-region": "eu-west-3"})
    with ScriptedServer(told) as server, pytest.raises(S3Error, match="set region to eu-west-3"):
        client(server).get_bytes("bucket", "key", 100)


# Reading streams


def test_a_body_that_ends_early_is_resumed_from_there() -> None:
    short = answer(200, DATA[:4], {**OBJECT, "content-length": "10"}, keep=False)
    with ScriptedServer(short, part_of(4)) as server:
        assert read(server) == DATA
        resumed = server.received[1].fields
        assert (resumed["range"], resumed["if-match"]) == ("bytes=4-9", '"e1"')


def test_a_body_that_ends_early_is_resumed_in_the_same_room() -> None:
    headers = {**OBJECT, "content-length": "6", "content-range": "bytes 1-6/10"}
    rest = {**OBJECT, "content-length": "3", "content-range": "bytes 4-6/10"}
    with ScriptedServer(answer(206, DATA[1:4], headers, keep=False), answer(206, DATA[4:7], rest)) as server:
        room = bytearray(8)
        download = client(server).get_object("bucket", "key", offset=1, length=6)
        assert list(download.into(memoryview(room)[1:7])) == [3, 3]
        assert bytes(room) == b"\0" + DATA[1:7] + b"\0"
        resumed = server.received[1].fields
        assert (resumed["range"], resumed["if-match"]) == ("bytes=4-6", '"e1"')


def test_a_body_that_breaks_off_again_and_again_is_given_up(pauses: list[float]) -> None:
    nothing = answer(206, b"", {**OBJECT, "content-length": "6", "content-range": "bytes 4-9/10"}, keep=False)
    short = answer(200, DATA[:4], {**OBJECT, "content-length": "10"}, keep=False)
    with ScriptedServer(short, *[nothing] * 20) as server, pytest.raises(S3Error, match="LostAnswer"):
        read(server)
    assert len(pauses) == 3


def test_progress_renews_the_allowed_tries() -> None:
    acts = [answer(200, DATA[:1], {**OBJECT, "content-length": "10"}, keep=False)]
    for start in range(1, 10):
        headers = {**OBJECT, "content-length": str(10 - start), "content-range": f"bytes {start}-9/10"}
        acts.append(answer(206, DATA[start : start + 1], headers, keep=False))
    with ScriptedServer(*acts) as server:
        assert read(server) == DATA


@pytest.mark.parametrize("second", [part_of(4, etag='"e2"'), refusal(412, "PreconditionFailed"), WHOLE, part_of(3)])
def test_what_is_resumed_must_be_the_same_object_at_the_same_place(second: scripted.Act) -> None:
    short = answer(200, DATA[:4], {**OBJECT, "content-length": "10"}, keep=False)
    with ScriptedServer(short, second) as server, pytest.raises(S3Error):
        read(server)


SHIFTED = answer(206, DATA[1:9], {**OBJECT, "content-range": "bytes 1-8/10"})


@pytest.mark.parametrize("act", [WHOLE, part_of(0), part_of(3), SHIFTED, answer(206, DATA[2:], OBJECT)])
def test_another_range_than_was_asked_for_is_refused(act: scripted.Act) -> None:
    with ScriptedServer(act) as server, pytest.raises(S3Error, match="BadAnswer"):
        b"".join(client(server).get_object("bucket", "key", offset=2))


def test_a_range_ends_where_it_was_asked_to() -> None:
    headers = {**OBJECT, "content-range": "bytes 2-5/10"}
    with ScriptedServer(answer(206, DATA[2:6], headers)) as server:
        download = client(server).get_object("bucket", "key", offset=2, length=4)
        assert (b"".join(download), download.stored.size) == (DATA[2:6], 10)


def test_chunks_are_at_most_one_mebibyte() -> None:
    with ScriptedServer(answer(200, b"x" * 2_500_000, OBJECT)) as server:
        sizes = [len(chunk) for chunk in client(server).get_object("bucket", "key")]
    assert (max(sizes), sum(sizes)) == (1024 * 1024, 2_500_000)


def test_an_empty_object_is_read() -> None:
    with ScriptedServer(answer(200, b"", OBJECT)) as server:
        assert read(server) == b""


# Checksums


def crc(data: bytes) -> str:
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


def test_uploads_carry_a_checksum_that_the_server_can_check() -> None:
    with ScriptedServer(answer()) as server:
        client(server).put_object("bucket", "key", DATA)
        assert server.received[0].fields["x-amz-checksum-crc32"] == crc(DATA)


@pytest.mark.parametrize(
    "headers", [{"x-amz-checksum-crc32": "AAAAAA=="}, {"etag": '"781e5e245d69b566979b86e28d23f2c8"'}]
)
def test_a_put_that_stored_other_bytes_is_an_error(headers: dict[str, str]) -> None:
    with ScriptedServer(answer(200, b"", headers)) as server, pytest.raises(S3Error, match="Altered"):
        client(server).put_object("bucket", "key", b"other")


@pytest.mark.parametrize(
    "headers",
    [
        {"etag": '"781e5e245d69b566979b86e28d23f2c7"'},
        {"etag": '"781e5e245d69b566979b86e28d23f2c8"', "x-amz-checksum-crc32": crc(DATA)},
        {"etag": '"781e5e245d69b566979b86e28d23f2c8"', "x-amz-server-side-encryption": "aws:kms"},
        {"etag": '"opaque"'},
        {},
    ],
)
def test_a_put_is_judged_by_checksum_else_by_an_etag_that_is_an_md5(headers: dict[str, str]) -> None:
    with ScriptedServer(answer(200, b"", headers)) as server:
        client(server).put_object("bucket", "key", DATA)


def test_a_document_that_arrives_altered_is_an_error() -> None:
    altered = answer(200, DATA, {**OBJECT, "x-amz-checksum-crc32": crc(b"x")})
    with ScriptedServer(altered) as server, pytest.raises(S3Error, match="Altered"):
        client(server).get_bytes("bucket", "key", 100)


# Time


def stamps(server: ScriptedServer) -> list[str]:
    return [request.fields["x-amz-date"] for request in server.received]


def test_a_given_time_is_signed_and_kept_over_repetitions() -> None:
    moment = dt.datetime(2026, 11, 20, 2, 0, tzinfo=dt.timezone.utc)
    with ScriptedServer(hang_up(), refusal(503, "SlowDown"), answer()) as server:
        client(server).put_object("bucket", "key", DATA, signed_at=moment)
        assert stamps(server) == ["20261120T020000Z"] * 3


def test_a_time_that_is_asked_for_is_asked_again_before_each_try() -> None:
    times = iter(dt.datetime(2026, 11, 20, hour, tzinfo=dt.timezone.utc) for hour in range(5))
    with ScriptedServer(refusal(503, "SlowDown"), answer()) as server:
        client(server).put_object("bucket", "key", DATA, signed_at=lambda: next(times))
        assert stamps(server) == ["20261120T000000Z", "20261120T010000Z"]


SKEWED = refusal(403, "RequestTimeTooSkewed", "too far", {"date": "Fri, 20 Nov 2020 02:00:00 GMT"})


def test_a_request_whose_time_was_given_is_never_signed_with_another() -> None:
    with ScriptedServer(SKEWED, answer()) as server:
        with pytest.raises(S3Error, match="RequestTimeTooSkewed"):
            client(server).put_object("bucket", "key", DATA, signed_at=clock.now())
        assert len(server.received) == 1


def test_other_requests_take_over_the_clock_of_the_server() -> None:
    with ScriptedServer(SKEWED, answer(), answer()) as server:
        used = client(server)
        used.put_object("bucket", "key", DATA)
        used.put_object("bucket", "key", DATA)
        assert [stamp[:11] for stamp in stamps(server)[1:]] == ["20201120T02"] * 2


def test_a_server_that_refuses_its_own_time_is_not_asked_for_ever() -> None:
    with ScriptedServer(*[SKEWED] * 5) as server:
        with pytest.raises(S3Error, match="RequestTimeTooSkewed"):
            client(server).put_object("bucket", "key", DATA)
        assert len(server.received) == 2


@pytest.mark.parametrize("status", [200, 403, 404])
def test_the_clock_of_the_server_is_read_from_any_answer(status: int) -> None:
    with ScriptedServer(answer(status, b"", {**OBJECT, "date": "Fri, 20 Nov 2020 02:00:00 GMT"})) as server:
        assert client(server).server_time("bucket", "key") == dt.datetime(2020, 11, 20, 2, tzinfo=dt.timezone.utc)


# Errors, secrets, fault points


def test_secrets_that_a_server_repeats_are_not_repeated_by_us() -> None:
    chatty = refusal(403, "SignatureDoesNotMatch", f"you used {SECRET} and\x07\n more")
    with ScriptedServer(chatty) as server, pytest.raises(S3Error) as caught:
        client(server).get_bytes("bucket", "key", 100)
    assert "you used *** and" in str(caught.value)
    assert SECRET not in repr(caught.value)
    assert "\x07" not in str(caught.value)


def test_a_header_cannot_smuggle_another_one() -> None:
    with ScriptedServer(answer()) as server:
        with pytest.raises(S3Error, match="line feed"):
            client(server).put_object("bucket", "key", DATA, {"x-amz-meta-a": "b\r\nx-evil: c"})
        assert server.received == []


def test_a_missing_key_and_a_missing_bucket_are_told_apart_though_a_head_has_no_body() -> None:
    bare = raw(b"HTTP/1.1 404 Not Found\r\n\r\n")
    with ScriptedServer(bare, refusal(404, "NoSuchKey")) as server:
        assert client(server).head("bucket", "key") is None
    with ScriptedServer(bare, refusal(404, "NoSuchBucket")) as server, pytest.raises(S3Error, match="NoSuchBucket"):
        client(server).head("bucket", "key")


@pytest.mark.parametrize("body", [b"", b"<html>no such page</html>"])
def test_a_404_of_a_proxy_is_not_taken_for_a_missing_object(body: bytes) -> None:
    """No S3 server leaves its word out, but who stands before it may know nothing of objects."""
    page = raw(b"HTTP/1.1 404 Not Found\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
    with ScriptedServer(page) as server, pytest.raises(S3Error) as caught:
        client(server).get_bytes("bucket", "key", 100)
    assert not caught.value.is_missing_key
    with ScriptedServer(page, page) as server, pytest.raises(S3Error, match="404"):
        client(server).head("bucket", "key")


def test_the_layout_of_an_object_that_vanished_is_missing_though_the_answer_has_no_word() -> None:
    with ScriptedServer(raw(b"HTTP/1.1 404 Not Found\r\n\r\n")) as server, pytest.raises(S3Error) as caught:
        client(server).part_layout("bucket", "key", "e-2")
    assert caught.value.is_missing_key


def test_changing_requests_pass_their_fault_points() -> None:
    seen: list[str] = []
    steps.watch(seen.append)
    try:
        with ScriptedServer(answer(), refusal(403, "AccessDenied"), WHOLE) as server:
            used = client(server)
            used.put_object("bucket", "key", DATA)
            with pytest.raises(S3Error):
                used.delete("bucket", "key")
            used.get_bytes("bucket", "key", 100)
    finally:
        steps.unwatch(seen.append)
    assert seen == ["s3.put.sent", "s3.put.answered", "s3.delete.sent", "s3.delete.answered"]


def test_odd_keys_are_sent_as_they_are_signed() -> None:
    with ScriptedServer(answer()) as server:
        client(server).put_object("bucket", "a b+c/ä?#%2F~", DATA)
        assert server.received[0].target == "/bucket/a%20b%2Bc/%C3%A4%3F%23%252F~"


# Multipart


COMPLETED = answer(200, b"<CompleteMultipartUploadResult><ETag>&quot;x-1&quot;</ETag></CompleteMultipartUploadResult>")
BEGUN = answer(200, b"<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>")


def test_an_error_in_an_answer_with_status_200_is_an_error() -> None:
    failed = answer(200, b"<Error><Code>InternalError</Code><Message>sorry</Message></Error>")
    with ScriptedServer(failed) as server, pytest.raises(S3Error, match="InternalError"):
        client(server).complete_upload("bucket", "key", "u1", [Part(1, "e", "c")])


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multipart, "part_sizes", lambda _estimate: iter([4] * 10))


PART = answer(200, b"", {"etag": '"e"'})


def upload(server: ScriptedServer, **settings: t.Any) -> multipart.MultipartUpload:
    sending = multipart.MultipartUpload(client(server, **settings), "bucket", "key")
    sending.write(DATA[:8])
    return sending


def part_number(target: str) -> int:
    return int(target.partition("partNumber=")[2].partition("&")[0])


def head(size: int, etag: str) -> scripted.Act:
    # Hangs up, so that a client that takes it for an answer with a body does not wait for one.
    return raw(f"HTTP/1.1 200 OK\r\ncontent-length: {size}\r\nlast-modified: {WHEN}\r\netag: {etag}\r\n\r\n".encode())


@pytest.mark.usefixtures("small_parts")
def test_a_lost_answer_to_the_completion_is_settled_by_looking() -> None:
    acts = (BEGUN, PART, PART, hang_up(), refusal(404, "NoSuchUpload"), head(8, '"x-2"'), head(8, '"x-2"'))
    with ScriptedServer(*acts) as server:
        assert upload(server).finish().etag == "x-2"


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("found", [head(7, '"x-2"'), head(8, '"x-3"'), refusal(404, "NoSuchKey")])
def test_an_object_that_is_not_ours_is_not_taken_for_the_upload(found: scripted.Act) -> None:
    acts = (BEGUN, PART, PART, hang_up(), refusal(404, "NoSuchUpload"), found, found, answer(204))
    with ScriptedServer(*acts) as server, pytest.raises(S3Error):
        upload(server).finish()


@pytest.mark.usefixtures("small_parts")
def test_a_part_that_cannot_be_written_fails_the_upload_and_drops_it() -> None:
    with ScriptedServer(BEGUN, *[refusal(403, "AccessDenied")] * 8) as server:
        sending = multipart.MultipartUpload(client(server), "bucket", "key")
        with pytest.raises(S3Error, match="AccessDenied"):
            sending.write(DATA[:8])
            sending.finish()
        sending.abort()  # as whoever writes does; after a failed `finish` it does nothing
        assert (server.received[-1].method, server.received[-1].target) == ("DELETE", "/bucket/key?uploadId=u1")


@pytest.mark.usefixtures("small_parts")
def test_an_object_of_another_size_than_was_written_fails_the_upload() -> None:
    acts = (BEGUN, PART, PART, COMPLETED, head(7, '"x-1"'), answer(204))
    with ScriptedServer(*acts) as server, pytest.raises(S3Error, match="Altered"):
        upload(server).finish()


class Room(bytearray):
    """A room for bytes of which one can see whether it is still there."""


def test_every_part_has_its_own_bytes_in_room_that_others_had(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = [4] * 6 + [8] * 4
    monkeypatch.setattr(multipart, "part_sizes", lambda _estimate: iter(sizes))
    monkeypatch.setattr(multipart, "IN_FLIGHT", 16)
    made: list[weakref.ref[Room]] = []

    def watched(size: int) -> Room:
        room = Room(size)
        made.append(weakref.ref(room))
        return room

    monkeypatch.setattr(multipart, "bytearray", watched, raising=False)
    data = bytes(range(sum(sizes) - 3))
    acts = (BEGUN, *[PART] * len(sizes), COMPLETED, head(len(data), '"x-1"'))
    with ScriptedServer(*acts) as server:
        sending = multipart.MultipartUpload(client(server), "bucket", "key")
        sending.write(data)
        assert sending.finish().size == len(data)
        assert [room() for room in made if room() is not None] == [], "an upload that has ended keeps no room"
        parts = {part_number(each.target): each.body for each in server.received if each.method == "PUT"}
    assert b"".join(parts[number] for number in sorted(parts)) == data
    assert len(made) <= 4 + 2, "as many as may be in memory at once"


def test_an_upload_that_is_given_up_before_its_first_part_was_full_sends_nothing() -> None:
    with ScriptedServer() as server:
        sending = multipart.MultipartUpload(client(server), "bucket", "key")
        sending.write(DATA)
        sending.abort()
        sending.abort()
        assert server.received == []


def test_a_small_upload_is_one_put() -> None:
    with ScriptedServer(answer(200, b"", {"etag": '"e"'}), head(10, '"e"')) as server:
        sending = multipart.MultipartUpload(client(server), "bucket", "key")
        for sign in DATA:
            sending.write(bytes([sign]))
        assert sending.finish().size == 10
        assert [request.method for request in server.received] == ["PUT", "HEAD"]

"""What servers answer: framing, connections that end, answers that are none."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from perflab.load import LoadError, LoadSamples, Request, Target, run_open

from .server import OK, Answer, Asked, Server, never, ok, says, serving, then_closes

GET = Request("GET", "/")
HEAD = Request("HEAD", "/")


def twice(answer: Answer, request: Request = GET, **options: object) -> tuple[LoadSamples, Server]:
    """Two requests, one after the other, over one connection if the server lets it live."""
    with serving(answer) as server:
        samples = run_open(
            server.target,
            request,
            [0.0, 0.05],
            connections=1,
            **options,  # type: ignore[arg-type]
        )
    return samples, server


def in_turn(*answers: Answer) -> Answer:
    """The first request gets the first answer; the last one serves for the rest."""
    numbers = iter(range(len(answers) - 1))

    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await answers[next(numbers, len(answers) - 1)](asked, writer)

    return answer


def bytewise(answer: bytes) -> Sequence[bytes]:
    return [answer[position : position + 1] for position in range(len(answer))]


CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\nhello\r\n4;ext=1\r\n you\r\n0\r\nX-Trailer: 1\r\n\r\n"
)
EARLY = b"HTTP/1.1 103 Early Hints\r\nX-Tag: early\r\nLink: </a>\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
TAGGED = b"HTTP/1.1 200 OK\r\nX-Tag: final\r\nContent-Length: 2\r\n\r\nok"


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        pytest.param(OK, 200, b"ok", id="content-length"),
        pytest.param(CHUNKED, 200, b"hello you", id="chunked"),
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", id="204"),
        pytest.param(b'HTTP/1.1 304 Not Modified\r\nETag: "1"\r\n\r\n', 304, b"", id="304"),
        pytest.param(
            b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 304, b"", id="304-length"
        ),
        pytest.param(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", 503, b"", id="503"),
        pytest.param(CONTINUE + EARLY + TAGGED, 200, b"ok", id="interim"),
        pytest.param(
            b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
            200,
            b"ok",
            id="http-1.0-keep-alive",
        ),
    ],
)
@pytest.mark.parametrize("split", [lambda answer: [answer], bytewise])
def test_connection_lives_on_after_a_whole_answer(
    answer: bytes, status: int, body: bytes, split: Callable[[bytes], Sequence[bytes]]
) -> None:
    samples, server = twice(says(*split(answer)), keep_body=True)
    assert samples.statuses == {status: 2}
    assert samples.bodies == (body, body)
    assert samples.body_bytes.tolist() == [len(body)] * 2
    assert server.connections == samples.connections_opened == 1


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\nall that comes", b"all that comes", id="no-length"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nzz", b"zz", id="other-coding"
        ),
        pytest.param(b"HTTP/1.0 200 OK\r\n\r\nold", b"old", id="http-1.0"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
            b"ok",
            id="close-with-length",
        ),
        pytest.param(CHUNKED.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1),
                     b"hello you", id="close-chunked"),
    ],
)  # fmt: skip
def test_answer_that_ends_its_connection_counts_and_the_next_opens_another(
    answer: bytes, body: bytes
) -> None:
    samples, server = twice(then_closes(says(answer)), keep_body=True)
    assert samples.statuses == {200: 2}
    assert samples.bodies == (body, body)
    assert server.connections == 2


@pytest.mark.parametrize(
    ("answer", "connections"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 1, id="length"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 1, id="chunked"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n", 1, id="without-length"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n", 2, id="close"
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 2, id="body-that-must-not-be"
        ),
    ],
)
def test_answer_to_head_has_no_body(answer: bytes, connections: int) -> None:
    samples, server = twice(says(answer), HEAD, keep_header="content-length")
    assert samples.statuses == {200: 2}
    assert set(samples.body_bytes) == {0}
    assert server.connections == connections


def test_kept_header_is_the_final_answers_not_the_interim_ones() -> None:
    samples, _ = twice(says(CONTINUE, EARLY + TAGGED), keep_header="x-tag")
    assert samples.kept_header == (b"final", b"final")
    samples, _ = twice(says(*bytewise(b"\r\n" + EARLY + TAGGED)), keep_header="x-tag")
    assert samples.kept_header == (b"final", b"final")


def test_request_body_arrives_whole() -> None:
    request = Request("POST", "/", (("Content-Type", "text/plain"),), b"x" * 300_000)
    samples, server = twice(ok, request)
    assert samples.answered.all()
    assert [len(asked.body) for asked in server.asked] == [300_000] * 2


@pytest.mark.parametrize(
    "part",
    [b"", b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
     b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhel", CHUNKED[:-20]],
)  # fmt: skip
def test_answer_cut_short_is_a_reset(part: bytes) -> None:
    samples, server = twice(in_turn(ok, then_closes(says(part))), Request("POST", "/"))
    assert samples.errors == {"connect": 0, "timeout": 0, "reset": 1, "protocol": 0}
    assert samples.answered.tolist() == [True, False]
    assert samples.ended_s[1] > samples.started_s[1]
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    "garbage",
    [b"SSH-2.0-OpenSSH_9\r\n", b"HTTP/1.1 abc\r\n\r\n",
     b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nok",
     b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
     b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nx"],
)  # fmt: skip
def test_what_is_no_answer_is_a_protocol_error_and_costs_the_connection(garbage: bytes) -> None:
    samples, server = twice(in_turn(says(garbage), ok))
    assert samples.errors == {"connect": 0, "timeout": 0, "reset": 0, "protocol": 1}
    assert samples.answered.tolist() == [False, True]
    assert server.connections == 2


@pytest.mark.parametrize("more", [OK, b"x", b"HTTP/1.1 2"])
def test_bytes_after_an_answer_are_nobodys_answer(more: bytes) -> None:
    samples, server = twice(in_turn(says(OK + more), ok), keep_body=True)
    assert samples.bodies == (b"ok", b"ok")
    assert server.connections == 2
    assert samples.resent == 0


def test_server_without_an_answer_times_out_and_the_connection_is_replaced() -> None:
    samples, server = twice(in_turn(never, ok), timeout_s=0.3)
    assert samples.errors["timeout"] == 1
    assert samples.answered.tolist() == [False, True]
    assert 0.3 <= samples.service_s[0] < 5
    assert server.connections == 2


def test_nobody_listening_is_a_connect_error_for_each_request() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        samples = run_open(Target("127.0.0.1", port), GET, np.linspace(0, 0.05, 20))
    assert samples.errors == {"connect": 20, "timeout": 0, "reset": 0, "protocol": 0}
    assert not samples.answered.any()
    assert samples.throughput_per_s == 0
    assert np.isnan(samples.percentiles_s([0.5])).all()
    assert len(samples.frame()) == 20


def test_idle_connection_closed_by_the_server_costs_no_request() -> None:
    closed = asyncio.Event()

    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        if asked.connection == 0:
            await writer.drain()
            writer.close()
            closed.set()

    with serving(answer) as server:
        samples = run_open(server.target, GET, np.linspace(0, 0.2, 5), connections=1)
    assert samples.answered.all()
    assert server.connections == 2


def test_request_that_met_a_closing_connection_is_sent_once_more_and_counted() -> None:
    async def silent(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.close()

    samples, server = twice(in_turn(ok, silent, ok))
    assert samples.answered.all()
    assert samples.resent == 1
    assert [asked.connection for asked in server.asked] == [0, 0, 1]


def test_request_is_not_sent_a_third_time() -> None:
    async def silent(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.close()

    samples, server = twice(in_turn(ok, silent))
    assert samples.answered.tolist() == [True, False]
    assert samples.errors["reset"] == samples.resent == 1
    assert len(server.asked) == 3


def test_request_that_must_not_be_repeated_is_not() -> None:
    async def silent(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.close()

    samples, server = twice(in_turn(ok, silent), Request("POST", "/"))
    assert samples.resent == 0
    assert samples.errors["reset"] == 1
    assert len(server.asked) == 2


def test_name_without_address_is_one_clear_error() -> None:
    with pytest.raises(LoadError, match=r"host: 'nowhere\.invalid' has no address"):
        run_open(Target("nowhere.invalid", 80), GET, [0.0])


def test_name_with_several_addresses_finds_the_one_that_listens() -> None:
    with serving(ok) as server:
        samples = run_open(Target("localhost", server.port), GET, [0.0])
    assert samples.answered.all()
    assert server.asked[0].fields["host"] == f"localhost:{server.port}"

"""Loads over TLS and over IPv6: the same answers, and one line for a stranger's certificate."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from perflab.load import LoadError, Request, Target, run_closed, run_open
from perflab.load.arrivals import constant

from .server import Asked, ok, says, serving, then_closes


class Certified(NamedTuple):
    """A certificate for localhost, signed by itself."""

    file: Path
    server: ssl.SSLContext


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Certified:
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("openssl, which makes the certificate, is not installed")
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        [program, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return Certified(certificate, context)


@pytest.fixture
def trusted(certified: Certified, monkeypatch: pytest.MonkeyPatch) -> Certified:
    monkeypatch.setenv("SSL_CERT_FILE", str(certified.file))
    return certified


async def shapes(asked: Asked, writer: asyncio.StreamWriter) -> None:
    """Every way in which an answer may end."""
    match asked.target:
        case "/chunked":
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for part in (b"3\r\nabc\r\n", b"4\r\ndefg\r\n", b"0\r\n\r\n"):
                writer.write(part)
                await writer.drain()
        case "/empty":
            writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        case "/moved":
            writer.write(b"HTTP/1.1 302 F\r\nLocation: /\r\nContent-Length: 0\r\n\r\n")
        case "/head":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n")
        case _:
            await ok(asked, writer)


def test_every_shape_of_answer_comes_over_tls(trusted: Certified) -> None:
    asked = [
        Request("GET", "/chunked"), Request("GET", "/empty"), Request("GET", "/moved"),
        Request("HEAD", "/head"), Request("GET", "/"),
    ]  # fmt: skip
    with serving(shapes, tls=trusted.server) as server:
        target = Target("localhost", server.port, "https")
        samples = run_open(target, asked * 4, constant(100, count=20), connections=2)
    assert samples.answered.all()
    assert samples.status.tolist() == [200, 204, 302, 200, 200] * 4
    assert samples.body_bytes.tolist() == [7, 0, 0, 0, 2] * 4
    assert samples.connections_opened == 2
    assert server.asked[0].fields["host"] == target.authority


def test_server_that_closes_after_each_answer_gets_a_new_connection(trusted: Certified) -> None:
    closing = then_closes(says(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok"))
    with serving(closing, tls=trusted.server) as server:
        target = Target("localhost", server.port, "https")
        samples = run_open(target, Request("GET", "/"), constant(50, count=6), connections=1)
    assert samples.statuses == {200: 6}
    assert samples.connections_opened == 6


@pytest.mark.parametrize("own_process", [False, True])
def test_certificate_that_is_not_trusted_is_one_line(
    own_process: bool, certified: Certified
) -> None:
    with serving(ok, tls=certified.server) as server:
        target = Target("localhost", server.port, "https")
        with pytest.raises(LoadError, match=r"'localhost' is not trusted.*SSL_CERT_FILE"):
            run_open(target, Request("GET", "/"), [0.0], own_process=own_process)
    assert not server.asked


def test_certificate_for_another_name_is_one_line(trusted: Certified) -> None:
    with serving(ok, tls=trusted.server) as server:
        target = Target("127.0.0.1", server.port, "https")
        with pytest.raises(LoadError, match="is not trusted"):
            run_open(target, Request("GET", "/"), [0.0])


def test_server_without_tls_is_an_error_of_each_request(trusted: Certified) -> None:
    with serving(ok) as server:
        target = Target("localhost", server.port, "https")
        samples = run_open(target, Request("GET", "/"), [0.0, 0.01], timeout_s=0.3)
    assert not samples.answered.any()
    assert sum(samples.errors.values()) == 2


def test_ipv6_is_loaded_by_its_address() -> None:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6")
    with serving(ok, host="::1") as server:
        samples = run_closed(
            Target.from_url(f"http://[::1]:{server.port}"),
            Request("GET", "/"),
            users=2,
            seconds=0.1,
        )
    assert samples.answered.all()
    assert server.asked[0].fields["host"] == f"[::1]:{server.port}"

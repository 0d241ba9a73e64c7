"""The proxy: passes bytes, cuts, refuses, stalls, delays, and ends."""

from __future__ import annotations

import socket
import socketserver
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
import redis
from psycopg.conninfo import conninfo_to_dict

from perflab.services import Postgres, Redis, ServiceError
from perflab.services.proxy import Proxy, postgres_proxy

PATIENCE_S = 20.0


class Echo(socketserver.BaseRequestHandler):
    """Sends everything back; at the end of the input says so and ends."""

    def handle(self) -> None:
        while data := self.request.recv(65_536):
            self.request.sendall(data)
        self.request.sendall(b"end")


class TcpServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False


class UnixServer(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    block_on_close = False


def serving(server: socketserver.TCPServer) -> Iterator[socketserver.TCPServer]:
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server that sends everything back."""
    for server in serving(TcpServer(("127.0.0.1", 0), Echo)):
        yield int(server.socket.getsockname()[1])


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection((proxy.host, proxy.port), PATIENCE_S)


def exchange(sock: socket.socket, data: bytes) -> bytes:
    sock.sendall(data)
    return receive(sock, len(data))


def receive(sock: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size and (data := sock.recv(65_536)):
        found += data
    return found


def test_bytes_pass_unchanged_in_both_directions(echo: int) -> None:
    data = bytes(range(256)) * 20_000
    with Proxy("127.0.0.1", echo) as proxy, closing(connect(proxy)) as sock:
        sender = threading.Thread(target=sock.sendall, args=(data,))
        sender.start()
        assert receive(sock, len(data)) == data
        sender.join()


def test_the_end_of_one_direction_leaves_the_other_open(echo: int) -> None:
    with Proxy("127.0.0.1", echo) as proxy, closing(connect(proxy)) as sock:
        sock.sendall(b"x")
        sock.shutdown(socket.SHUT_WR)
        assert receive(sock, 4) == b"xend"
        assert sock.recv(1) == b""


def test_cut_resets_every_connection_and_serves_new_ones(echo: int) -> None:
    with Proxy("127.0.0.1", echo) as proxy:
        socks = [connect(proxy) for _ in range(3)]
        for sock in socks:
            assert exchange(sock, b"hello") == b"hello"
        assert proxy.connections == 3
        proxy.cut()
        for sock in socks:
            with pytest.raises(ConnectionResetError):
                sock.recv(1)
            sock.close()
        assert proxy.connections == 0
        with closing(connect(proxy)) as again:
            assert exchange(again, b"again") == b"again"


def test_refuse_keeps_the_port_and_open_connections_and_lets_nobody_in(echo: int) -> None:
    with Proxy("127.0.0.1", echo) as proxy, closing(connect(proxy)) as before:
        assert exchange(before, b"1") == b"1"
        port = proxy.port
        proxy.refuse()
        for _ in range(3):
            with pytest.raises(ConnectionRefusedError):
                connect(proxy)
        assert exchange(before, b"2") == b"2"
        proxy.resume()
        assert proxy.port == port
        with closing(connect(proxy)) as after:
            assert exchange(after, b"3") == b"3"


def test_stall_answers_nobody_and_resume_delivers_what_was_held_back(echo: int) -> None:
    with Proxy("127.0.0.1", echo) as proxy, closing(connect(proxy)) as before:
        assert exchange(before, b"1") == b"1"
        proxy.stall()
        before.sendall(b"held")
        with closing(connect(proxy)) as during:
            during.sendall(b"new")
            for sock in (before, during):
                sock.settimeout(0.2)
                with pytest.raises(TimeoutError):
                    sock.recv(1)
                sock.settimeout(PATIENCE_S)
            proxy.resume()
            assert receive(before, 4) == b"held"
            assert receive(during, 3) == b"new"


def test_latency_delays_each_direction_and_bytes_overlap_on_their_way(echo: int) -> None:
    with Proxy("127.0.0.1", echo, latency_s=0.1) as proxy, closing(connect(proxy)) as sock:
        started = time.perf_counter()
        assert exchange(sock, b"x") == b"x"
        assert time.perf_counter() - started >= 0.2
        proxy.latency_s = 30.0
        sock.sendall(b"late")
        sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            sock.recv(1)


def test_a_server_that_is_gone_breaks_the_connection() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with (
            Proxy("127.0.0.1", port) as proxy,
            # the reset may come before the connection is seen to stand
            pytest.raises(ConnectionResetError),
            closing(connect(proxy)) as sock,
        ):
            sock.recv(1)


def test_a_unix_socket_is_served_over_tcp() -> None:
    with tempfile.TemporaryDirectory(prefix="proxy-") as folder:
        path = str(Path(folder) / "s")
        for _server in serving(UnixServer(path, Echo)):
            with Proxy(path) as proxy, closing(connect(proxy)) as sock:
                assert exchange(sock, b"x") == b"x"


def test_leaving_it_frees_the_port_and_ends_its_thread(echo: int) -> None:
    with Proxy("127.0.0.1", echo) as proxy:
        sock = connect(proxy)
        assert exchange(sock, b"x") == b"x"
        port = proxy.port
    with pytest.raises(ConnectionResetError):
        sock.recv(1)
    sock.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), PATIENCE_S)
    assert not [t for t in threading.enumerate() if t.name == "perflab-proxy"]
    with pytest.raises(ServiceError, match="not open"):
        proxy.cut()


def test_postgres_through_the_proxy(postgres: Postgres) -> None:
    with postgres_proxy(postgres.conninfo()) as (proxy, conninfo):
        assert conninfo_to_dict(conninfo)["host"] == postgres.host
        with psycopg.connect(conninfo) as conn:
            assert conn.execute("SELECT 1").fetchone() == (1,)
            proxy.refuse()
            proxy.cut()
            with pytest.raises(psycopg.OperationalError):
                conn.execute("SELECT 1")
        with pytest.raises(psycopg.OperationalError, match="refused"):
            psycopg.connect(conninfo)
        proxy.resume()
        with psycopg.connect(conninfo) as conn:
            assert conn.execute("SELECT 2").fetchone() == (2,)


def test_a_name_stays_for_certificates_and_a_socket_folder_does_not() -> None:
    with postgres_proxy("host=db.example port=5433 user=u") as (proxy, conninfo):
        parts = conninfo_to_dict(conninfo)
        assert (parts["host"], parts["hostaddr"]) == ("db.example", "127.0.0.1")
        assert int(str(parts["port"])) == proxy.port
    with postgres_proxy("host=/run/pg port=5433 user=u") as (proxy, conninfo):
        parts = conninfo_to_dict(conninfo)
        assert parts["host"] == "127.0.0.1"
        assert repr(proxy) == "<Proxy to /run/pg/.s.PGSQL.5433:0>"


def test_redis_through_the_proxy(redis_server: Redis) -> None:
    password = redis_server.address.password
    with Proxy(redis_server.host, redis_server.port) as proxy:
        url = f"redis://:{password}@{proxy.host}:{proxy.port}/0"
        with redis.Redis.from_url(url) as client:
            assert client.ping()
            proxy.refuse()
            proxy.cut()
            assert proxy.connections == 0
            proxy.resume()
            assert client.ping()

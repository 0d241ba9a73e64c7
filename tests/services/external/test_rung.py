"""The url rung: URLs read, servers refused in one line, and only the lab's own things removed."""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, cast

import psutil
import psycopg
import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from perflab.database.own import Databases
from perflab.services import (
    RungUnavailable,
    ServiceError,
    Services,
    attach_services,
    open_services,
    probe,
)
from perflab.services.addresses import Rung, ServiceName
from perflab.services.embedded.postgres import EmbeddedPostgres
from perflab.services.external import postgres as postgres_url
from perflab.services.external import redis as redis_url
from perflab.services.external.leftovers import connect_redis, drop_databases, sweep_databases
from perflab.services.owner import Mark
from perflab.services.proxy import postgres_proxy

SECRET = "hunter2-\N{SNOWMAN}"
ENCODED = "hunter2-%E2%98%83"
GONE_S = 10.0
ONLY_POSTGRES: list[ServiceName] = ["postgres"]
ONLY_REDIS: list[ServiceName] = ["redis"]
DEAD = 2**22 + 1
"""A process id beyond the largest that Linux gives."""


@pytest.fixture(autouse=True)
def no_urls(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PERFLAB_POSTGRES_URL", "PERFLAB_REDIS_URL", "PERFLAB_REDIS_PREFIX"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def admin(own_services: Services) -> Iterator[psycopg.Connection]:
    """A superuser's session on the user's server, with the roles that the tests name."""
    with psycopg.connect(own_services.postgres.conninfo(), autocommit=True) as conn:
        for role, attributes in (
            ("worker", "LOGIN CREATEDB"),
            ("poor", "LOGIN"),
            ("shutout", "CREATEDB"),
            ("reader", "LOGIN CREATEDB"),
        ):
            conn.execute(f"CREATE ROLE {role} {attributes} PASSWORD '{SECRET}'".encode())
        conn.execute("ALTER ROLE reader SET default_transaction_read_only = on")
        conn.execute("CREATE DATABASE app OWNER worker")
        yield conn


@pytest.fixture
def client(own_services: Services) -> Iterator[redis.Redis]:
    with connect_redis(own_services.redis.url()) as found:
        yield found
        found.flushall()


def postgres_at(services: Services, user: str = "worker", database: str = "app") -> str:
    return f"postgresql://{user}:{ENCODED}@127.0.0.1:{services.postgres.port}/{database}"


@pytest.fixture
def urls(
    own_services: Services, admin: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERFLAB_POSTGRES_URL", postgres_at(own_services))
    monkeypatch.setenv("PERFLAB_REDIS_URL", own_services.redis.url())


def databases(admin: psycopg.Connection) -> set[str]:
    return {row[0] for row in admin.execute("SELECT datname FROM pg_database")}


def wait_until(true: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)


class Says(socketserver.BaseRequestHandler):
    """Answers whatever it is told with the server's ``answer``; nothing if that is empty."""

    def handle(self) -> None:
        while self.request.recv(4096):
            answer = cast(Any, self.server).answer
            if answer:
                self.request.sendall(answer)
                return


@pytest.fixture
def saying() -> Iterator[Callable[[bytes], int]]:
    """Starts a server that says one thing; gives its port."""
    servers = []

    def start(answer: bytes) -> int:
        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Says)
        server.daemon_threads, server.block_on_close = True, False
        cast(Any, server).answer = answer
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        servers.append(server)
        return int(server.server_address[1])

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def refused(rung: Rung | Literal["auto"], service: ServiceName) -> str:
    """What the user reads; no password is in it nor in what led to it."""
    with pytest.raises(RungUnavailable) as caught:
        open_services(rung, only=[service])
    error: BaseException | None = caught.value
    said = str(error)
    assert "\n" not in said
    while error is not None:
        assert "hunter" not in str(error)
        error = error.__cause__ or error.__context__
    return said


# --- what works -----------------------------------------------------------------------------


@pytest.mark.usefixtures("urls")
def test_both_servers_of_the_users_own_are_used_and_left_clean(
    own_services: Services, admin: psycopg.Connection, client: redis.Redis
) -> None:
    before = databases(admin)
    client.set("theirs", 1)
    with open_services("auto") as services:
        postgres, server = services.postgres, services.redis
        assert (postgres.rung, postgres.owned, server.rung, server.owned) == (
            "url",
            False,
            "url",
            False,
        )
        assert postgres.version == own_services.postgres.version
        assert server.flavour == own_services.redis.flavour
        assert re.fullmatch(r"perflab_[0-9a-f]{8}_", postgres.prefix)
        assert re.fullmatch(r"perflab:[0-9a-f]{8}:", server.prefix)
        own = Databases(postgres)
        own.create("one")
        own.clone("one", "two")
        assert databases(admin) - before == {f"{postgres.prefix}one", f"{postgres.prefix}two"}
        with connect_redis(server.url()) as conn:
            conn.set(f"{server.prefix}key", 1)
        for restart in (postgres.restart, server.restart):
            with pytest.raises(ServiceError, match="not the lab's to restart"):
                restart()
        assert not postgres.keep("data")
        said = f"{services} {services.notes} {postgres.address} {server.address} {probe()}"
        assert "hunter" not in said
        assert own_services.redis.address.password not in said
        assert all("url (" in note and "PERFLAB_" in note for note in services.notes)
    assert databases(admin) == before
    assert client.keys("*") == [b"theirs"]


@pytest.mark.usefixtures("urls")
def test_only_the_settings_that_figures_depend_on_are_recorded() -> None:
    with open_services("url", only=ONLY_POSTGRES) as services:
        settings = services.postgres.settings
    assert settings["fsync"] == "on"
    assert settings["shared_buffers"] == "32MB"
    assert settings["max_connections"] == "200"
    assert "primary_conninfo" not in settings
    assert "port" not in settings


@pytest.mark.usefixtures("admin")
def test_one_service_can_be_the_users_and_the_other_the_labs(
    own_services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERFLAB_POSTGRES_URL", postgres_at(own_services))
    with open_services("auto") as services:
        assert services.postgres.rung == "url"
        assert services.redis.owned
        assert "PERFLAB_REDIS_URL not set" in services.notes[1]
        services.redis.restart()


@pytest.mark.usefixtures("admin")
def test_schemes_parameters_and_passwords_from_elsewhere_work(
    own_services: Services, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    port = own_services.postgres.port
    at = f"worker@127.0.0.1:{port}/app"

    def works(url: str) -> dict[str, Any]:
        monkeypatch.setenv("PERFLAB_POSTGRES_URL", url)
        with open_services("url", only=ONLY_POSTGRES) as services:
            conninfo = Databases(services.postgres).create("x")
            with psycopg.connect(conninfo) as conn:
                assert conn.execute("SELECT current_user").fetchone() == ("worker",)
        return conninfo_to_dict(conninfo)

    found = works(
        f"postgresql+psycopg://worker:{ENCODED}@127.0.0.1:{port}/app?sslmode=prefer&keepalives=0"
        "&options=-c%20work_mem%3D8MB"
    )
    assert (found["sslmode"], found["keepalives"]) == ("prefer", "0")
    assert found["options"] == "-c work_mem=8MB"
    assert int(str(found["connect_timeout"])) == 5
    works(f"postgres://worker:{ENCODED}@127.0.0.1:{port}/app?connect_timeout=3")
    monkeypatch.setenv("PGPASSWORD", SECRET)
    works(f"postgresql://{at}")
    monkeypatch.delenv("PGPASSWORD")
    passwords = tmp_path / "pgpass"
    passwords.touch(mode=0o600)
    # for this database only: the lab's own have other names
    passwords.write_text(f"127.0.0.1:{port}:app:worker:{SECRET}\n", encoding="utf-8")
    monkeypatch.setenv("PGPASSFILE", str(passwords))
    works(f"postgresql://{at}")


def test_a_database_without_an_encoding_works(
    own_services: Services, admin: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Debian's PostgreSQL makes its first databases in SQL_ASCII where no locale is set."""
    admin.execute(
        "CREATE DATABASE ascii OWNER worker TEMPLATE template0 ENCODING 'SQL_ASCII'"
        " LOCALE_PROVIDER libc LOCALE 'C'"
    )
    before = databases(admin)
    monkeypatch.setenv("PERFLAB_POSTGRES_URL", postgres_at(own_services, database="ascii"))
    with open_services("url", only=ONLY_POSTGRES) as services:
        own = Databases(services.postgres)
        with psycopg.connect(own.create("x")) as conn:
            assert conn.execute("SELECT 'é'").fetchone() == ("é",)
        assert own.exists("x")
        assert services.postgres.settings["fsync"] == "on"
    assert databases(admin) == before


def test_a_unix_socket_works_with_and_without_the_proxy(
    own_services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = own_services.postgres.control
    assert isinstance(control, EmbeddedPostgres)
    url = f"postgresql://perflab@/postgres?host={control.site.sockets}&port={control.site.port}"
    monkeypatch.setenv("PERFLAB_POSTGRES_URL", url)
    with open_services("url", only=ONLY_POSTGRES) as services:
        conninfo = Databases(services.postgres).create("x")
        with psycopg.connect(conninfo) as conn:
            assert conn.execute("SELECT inet_server_port()").fetchone() == (None,)
        with postgres_proxy(conninfo) as (proxy, through), psycopg.connect(through) as conn:
            assert conn.info.hostaddr == proxy.host
            assert conn.execute("SELECT inet_server_port()").fetchone() == (None,)


class TlsFront(socketserver.BaseRequestHandler):
    """Speaks TLS as PostgreSQL does, and passes on to one that was built without it."""

    def handle(self) -> None:
        front = cast(Any, self.server)
        self.request.recv(8)  # SSLRequest
        self.request.sendall(b"S")
        try:
            client = front.tls.wrap_socket(self.request, server_side=True)
        except ssl.SSLError:
            return
        with client, socket.create_connection(("127.0.0.1", front.behind)) as server:
            while True:
                ready = [client] if client.pending() else select.select([client, server], [], [])[0]
                for source in ready:
                    data = source.recv(65_536)
                    if not data:
                        return
                    (server if source is client else client).sendall(data)


def test_tls_and_its_certificate_names_are_kept_through_the_proxy(
    own_services: Services,
    admin: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command.split(), *names, *files], check=True, capture_output=True)
    front = socketserver.ThreadingTCPServer(("127.0.0.1", 0), TlsFront)
    front.daemon_threads, front.block_on_close = True, False
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    cast(Any, front).tls, cast(Any, front).behind = tls, own_services.postgres.port
    threading.Thread(target=front.serve_forever, args=(0.05,), daemon=True).start()
    try:
        port = front.server_address[1]
        url = (
            f"postgresql://worker:{ENCODED}@{{}}:{port}/app?hostaddr=127.0.0.1&sslmode=verify-full"
        )
        trusting = f"{url}&sslrootcert={certificate}"
        monkeypatch.setenv("PERFLAB_POSTGRES_URL", trusting.format("localhost"))
        with open_services("url", only=ONLY_POSTGRES) as services:
            conninfo = Databases(services.postgres).create("x")
            with postgres_proxy(conninfo) as (proxy, through), psycopg.connect(through) as conn:
                assert conn.pgconn.ssl_in_use
                assert conn.info.port == proxy.port
        monkeypatch.setenv("PERFLAB_POSTGRES_URL", trusting.format("other.example"))
        assert "do not agree on TLS: server certificate for" in refused("url", "postgres")
        monkeypatch.setenv(
            "PERFLAB_POSTGRES_URL", f"{url}&sslrootcert=/nowhere".format("localhost")
        )
        assert "do not agree on TLS: root certificate file" in refused("url", "postgres")
    finally:
        front.shutdown()
        front.server_close()


ATTACH = """
import sys
from pathlib import Path
import psycopg
from perflab.database.own import Databases
from perflab.services import attach_services
with attach_services(Path(sys.argv[1])) as services:
    own = Databases(services.postgres)
    with psycopg.connect(own.create("attached")) as conn:
        print(conn.info.dbname, services.redis.prefix, services.postgres.owned)
    own.create("left_behind")
"""


@pytest.mark.usefixtures("urls")
def test_another_process_attaches_with_the_same_prefixes(admin: psycopg.Connection) -> None:
    before = databases(admin)
    with open_services("url") as services:
        path = services.share()
        done = subprocess.run(
            [sys.executable, "-c", ATTACH, str(path)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        for written in path.parent.glob("leftovers-*.json"):
            assert written.stat().st_mode & 0o077 == 0
        prefix = services.postgres.prefix
        assert done.stdout.split() == [f"{prefix}attached", services.redis.prefix, "False"]
        attach_services(path).close()
        # what an attached process closes or leaves is still the owner's to remove
        assert f"{prefix}left_behind" in databases(admin)
    assert databases(admin) == before


# --- one clear error each -------------------------------------------------------------------


def test_a_rung_that_was_asked_for_says_which_variable_to_set() -> None:
    assert "PERFLAB_POSTGRES_URL not set; set it to postgresql://" in refused("url", "postgres")
    assert "PERFLAB_REDIS_URL not set; set it to redis://" in refused("url", "redis")


REFUSED_POSTGRES = [
    ("postgresql://poor:{secret}@{at}/app", "'poor', which may not create databases.*CREATEDB"),
    ("postgresql://worker:hunter3@{at}/app", "wrong user or password; correct them"),
    ("postgresql://worker@{at}/app", "wrong user or password"),
    ("postgresql://nobody:{secret}@{at}/app", "wrong user or password"),
    ("postgresql://shutout:{secret}@{at}/app", "a user that .* does not let in"),
    ("postgresql://reader:{secret}@{at}/app", "read-only for this user; name a primary"),
    ("postgresql://worker:{secret}@{at}/nowhere", "a database that is not to be had"),
    ("postgresql://worker:{secret}@{at}", "a database that is not to be had"),
    ("postgresql://worker:{secret}@no.such.invalid/app", "a host that is not known"),
    ("postgresql://worker:{secret}@127.0.0.1:9/app", "127.0.0.1:9, where no server listens"),
    ("postgresql://worker:{secret}@/app?host=/nowhere&port=7", "/nowhere:7, where no server"),
    ("postgresql://worker:{secret}@{at}/app?sslmode=require", "do not agree on TLS: server does"),
    ("postgresql://worker:{secret}@{at},127.0.0.2:1/app", "several servers; name the one"),
    ("postgresql://worker:hun@ter2@{at}/app", "special character that is not encoded"),
    ("postgresql://worker:hun/ter2@{at}/app", "special character that is not encoded"),
    ("postgresql://worker:hun%zzter2@{at}/app", "not a URL that can be read; write"),
    ("postgresql://worker:x@127.0.0.1:hunter2/app", "a port that is not a number"),
    ("postgresql://worker:x@127.0.0.1:70000/app", "a port that is not a number"),
    ("postgresql://worker:{secret}@{at}/app?sslmod=require", "a parameter sslmod that libpq"),
    ("postgresql://worker:hunter2 @{at}/app", "a blank or a control character"),
    ("hunter2", "does not begin with one of postgresql://"),
    ("mysql://worker:{secret}@{at}/app", "does not begin with one of postgresql://"),
]


@pytest.mark.usefixtures("admin")
@pytest.mark.parametrize(("url", "says"), REFUSED_POSTGRES)
@pytest.mark.parametrize("rung", ["url", "auto"])
def test_a_postgres_that_cannot_serve_is_refused(
    own_services: Services,
    monkeypatch: pytest.MonkeyPatch,
    url: str,
    says: str,
    rung: Rung | Literal["auto"],
) -> None:
    at = f"127.0.0.1:{own_services.postgres.port}"
    monkeypatch.setenv("PERFLAB_POSTGRES_URL", url.format(at=at, secret=ENCODED))
    said = refused(rung, "postgres")
    assert re.search(says, said), said
    assert said.startswith("postgres: PERFLAB_POSTGRES_URL ")
    assert said.endswith("; or unset PERFLAB_POSTGRES_URL to let the lab start a server")


def test_what_is_not_a_postgres_is_refused(
    saying: Callable[[bytes], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    port = saying(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    monkeypatch.setenv("PERFLAB_POSTGRES_URL", f"postgresql://u:{ENCODED}@127.0.0.1:{port}/x")
    assert "something else than PostgreSQL answers" in refused("url", "postgres")


def test_a_server_that_never_answers_is_given_up(
    saying: Callable[[bytes], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    port = saying(b"")
    monkeypatch.setenv(
        "PERFLAB_POSTGRES_URL", f"postgresql://u:{ENCODED}@127.0.0.1:{port}/x?connect_timeout=2"
    )
    assert "which does not answer" in refused("url", "postgres")
    monkeypatch.setenv("PERFLAB_REDIS_URL", f"redis://127.0.0.1:{port}/0?socket_timeout=0.5")
    assert "which does not answer" in refused("url", "redis")


class Server:
    """A connection to a PostgreSQL that none here can be."""

    def __init__(self, version: int, *answer: object) -> None:
        self.info = SimpleNamespace(
            server_version=version,
            backend_pid=7,
            user="worker",
            parameter_status=lambda _name: f"{version // 10000}.{version % 10000} (Debian)",
        )
        self._answer = answer

    def execute(self, _query: str) -> Server:
        return self

    def fetchone(self) -> tuple[object, ...]:
        return self._answer


@pytest.mark.parametrize(
    ("server", "says"),
    [
        (Server(130012), "leads to PostgreSQL 13.12 on db:5432; name a server of version 14"),
        (Server(160001, True, False, True, 7), "db:5432, which is a standby in recovery; name"),
        (Server(160001, False, False, True, 8), "a connection pooler on db:5432; name the server"),
    ],
)
def test_old_servers_standbys_and_poolers_are_refused(server: Server, says: str) -> None:
    with pytest.raises(RungUnavailable, match=re.escape(says)):
        postgres_url._check(cast(psycopg.Connection, server), "db:5432")


def test_a_server_of_the_oldest_version_is_taken() -> None:
    server = Server(postgres_url.OLDEST, False, False, True, 7)
    postgres_url._check(cast(psycopg.Connection, server), "db:5432")


REFUSED_REDIS = [
    ("redis://:hunter2@{at}/0", "wrong user or password; correct them"),
    ("redis://{at}/0", "wrong user or password"),
    ("redis://someone:hunter2@{at}/0", "wrong user or password"),
    ("redis://:hunter2@no.such.invalid/0", "a host that is not known"),
    ("redis://:hunter2@127.0.0.1:9/0", "127.0.0.1:9, where no server listens"),
    ("unix:///nowhere/redis.sock", "/nowhere/redis.sock, where no server listens"),
    ("redis://:hun/ter2@{at}/0", "special character that is not encoded"),
    ("redis://:hun#ter2@{at}/0", "special character that is not encoded"),
    ("redis://:hun?ter2@{at}/0", "special character that is not encoded"),
    ("redis://:hunter2@127.0.0.1:hunter2/0", "not a URL that can be read"),
    ("redis://:{password}@{at}/zero", "not a URL that can be read"),
    ("redis://:{password}@{at}/99", "a database number that .* does not have"),
    ("rediss://:{password}@{at}/0?socket_timeout=1", "does not answer; .* if it speaks no TLS"),
    ("https://:hunter2@{at}/0", "does not begin with one of redis://"),
    ("hunter2", "does not begin with one of redis://"),
]


@pytest.mark.parametrize(("url", "says"), REFUSED_REDIS)
def test_a_redis_that_cannot_serve_is_refused(
    own_services: Services, monkeypatch: pytest.MonkeyPatch, url: str, says: str
) -> None:
    server = own_services.redis
    at, password = f"127.0.0.1:{server.port}", server.address.password
    monkeypatch.setenv("PERFLAB_REDIS_URL", url.format(at=at, password=password))
    said = refused("auto", "redis")
    assert re.search(says, said), said
    assert password not in said
    assert said.startswith("redis: PERFLAB_REDIS_URL ")
    assert said.endswith("; or unset PERFLAB_REDIS_URL to let the lab start a server")


def test_what_is_not_a_redis_is_refused(
    own_services: Services, saying: Callable[[bytes], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for port in (saying(b"HTTP/1.1 400 Bad\r\n\r\n"), own_services.postgres.port):
        monkeypatch.setenv("PERFLAB_REDIS_URL", f"redis://:hunter2@127.0.0.1:{port}/0")
        assert "something else than a Redis answers" in refused("url", "redis")


@pytest.mark.usefixtures("urls")
def test_a_replica_is_refused(client: redis.Redis) -> None:
    client.execute_command("REPLICAOF", "127.0.0.1", "9")  # type: ignore[no-untyped-call]
    try:
        assert "which is a replica; name the primary" in refused("url", "redis")
    finally:
        client.execute_command("REPLICAOF", "NO", "ONE")  # type: ignore[no-untyped-call]


def test_a_redis_user_who_may_not_do_enough_is_refused(
    own_services: Services, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = f"127.0.0.1:{own_services.redis.port}"
    monkeypatch.setenv("PERFLAB_REDIS_URL", f"redis://limited:hunter2@{at}/0")
    client.acl_setuser("limited", enabled=True, passwords=["+hunter2"], categories=["+@read"])
    assert "names a user that may not do" in refused("url", "redis")
    client.acl_setuser(
        "limited", enabled=True, passwords=["+hunter2"], categories=["+@all"], keys=["other:*"]
    )
    assert "names a user that may not do" in refused("url", "redis")
    client.acl_setuser(
        "limited", enabled=True, passwords=["+hunter2"], categories=["+@all"], keys=["perflab:*"]
    )
    with open_services("url", only=ONLY_REDIS) as services:
        assert services.redis.prefix.startswith("perflab:")
    client.acl_deluser("limited")


@pytest.mark.parametrize(
    ("info", "says"),
    [
        ({"redis_mode": "cluster"}, "runs as cluster; name a single server"),
        ({"redis_mode": "sentinel"}, "runs as sentinel; name a single server"),
        ({"role": "slave"}, "which is a replica; name the primary"),
    ],
)
def test_clusters_sentinels_and_replicas_are_refused(info: dict[str, Any], says: str) -> None:
    with pytest.raises(RungUnavailable, match=says):
        redis_url._check(info, "cache:6379")
    redis_url._check({"redis_mode": "standalone", "role": "master"}, "cache:6379")


PIECES = st.text(st.sampled_from("abZ019@:/?#%[]{}&=+,;'\"\\!* "), max_size=6)


@given(before=PIECES, after=PIECES)
@settings(max_examples=200, deadline=None)
def test_no_password_however_it_is_written_is_in_a_message(before: str, after: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        password = f"{before}hunter{after}"
        patch.setenv("PERFLAB_POSTGRES_URL", f"postgresql://me:{password}@127.0.0.1:9/app")
        patch.setenv("PERFLAB_REDIS_URL", f"redis://me:{password}@127.0.0.1:9/0")
        refused("auto", "postgres")
        refused("auto", "redis")


# --- prefixes -------------------------------------------------------------------------------


@pytest.mark.usefixtures("urls")
def test_a_prefix_that_others_use_is_refused_and_a_free_one_is_emptied_at_the_end(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERFLAB_REDIS_PREFIX", "app[1]*:")
    client.mset({"app1:x": 1, "app[1]:x": 1})
    with (
        open_services("url", only=ONLY_REDIS) as services,
        connect_redis(services.redis.url()) as c,
    ):
        assert services.redis.prefix == "app[1]*:"
        c.set("app[1]*:mine", 1)
        # a second lab must not share it
        assert "has keys that begin with 'app[1]*:'" in refused("url", "redis")
    assert sorted(client.keys("*")) == [b"app1:x", b"app[1]:x"]
    client.set("app[1]*:theirs", 1)
    assert "choose a prefix that is free" in refused("url", "redis")
    assert client.exists("app[1]*:theirs")


@pytest.mark.usefixtures("urls")
def test_many_keys_are_all_removed(client: redis.Redis) -> None:
    with open_services("url", only=ONLY_REDIS) as services:
        prefix = services.redis.prefix
        client.mset({f"{prefix}{n}": n for n in range(5_000)})
        client.mset({f"theirs:{n}": n for n in range(100)})
    assert client.dbsize() == 100


# --- kill -9 --------------------------------------------------------------------------------

LAB = """
import sys, time
import redis
from perflab.database.own import Databases
from perflab.services import open_services
services = open_services("url")
Databases(services.postgres).create("made")
redis.Redis.from_url(services.redis.url()).set(services.redis.prefix + "made", 1)
print(services.postgres.prefix, services.redis.prefix, services.share().parent, flush=True)
time.sleep(600)
"""


@pytest.fixture
def lab(urls: None) -> Iterator[tuple[psutil.Popen, list[str]]]:
    """A lab in a process of its own, in the middle of its work."""
    process = psutil.Popen([sys.executable, "-c", LAB], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    yield process, process.stdout.readline().split()
    if process.is_running():
        process.kill()
    process.wait()
    process.stdout.close()


def test_a_killed_lab_leaves_no_database_and_no_key(
    admin: psycopg.Connection, client: redis.Redis, lab: tuple[psutil.Popen, list[str]]
) -> None:
    process, (prefix, key_prefix, _folder) = lab
    assert f"{prefix}made" in databases(admin)
    assert client.exists(f"{key_prefix}made")
    process.kill()
    wait_until(
        lambda: f"{prefix}made" not in databases(admin) and not client.keys("*"),
        GONE_S,
    )


def test_the_next_lab_removes_what_a_lab_killed_with_its_watchdog_left(
    admin: psycopg.Connection, client: redis.Redis, lab: tuple[psutil.Popen, list[str]]
) -> None:
    process, (prefix, key_prefix, folder) = lab
    watchdog = next(child for child in process.children() if "warden.py" in child.cmdline()[3])
    os.kill(watchdog.pid, signal.SIGKILL)
    process.kill()
    process.wait()
    # the folder that says what to remove is gone too, as after a clean-up of the temporary folder
    for path in Path(folder).glob("leftovers-*"):
        path.unlink()
    # made by a session that outlived the lab: without a mark, known by its prefix
    admin.execute(f"CREATE DATABASE {prefix}late OWNER worker".encode())
    before = databases(admin)
    with open_services("url"):
        left = databases(admin)
        assert before - left == {f"{prefix}made", f"{prefix}late"}
        assert not client.keys(f"{key_prefix}*")
        assert client.hlen("perflab:labs") == 1


def mark(prefix: str, **changes: Any) -> str:
    return Mark(prefix, **{**here(), **changes}).text


def here() -> dict[str, Any]:
    made = Mark.of_this_process("")
    return {"machine": made.machine, "pid": made.pid, "started": made.started}


NOT_A_DEAD_LABS = {
    "perflab_unmarked": None,
    "perflab_0000000a_unmarked": None,
    "perflab_0000000b_commented": "perflab is great",
    "perflab_0000000c_alive": mark("perflab_0000000c_"),
    "perflab_0000000d_elsewhere": mark("perflab_0000000d_", machine="far away", pid=DEAD),
    "perflab_0000000e_other_prefix": mark("perflab_0000000f_", pid=DEAD),
    "perflab_short": mark("perflab_", pid=DEAD),
    "app_of_mine": mark("app_", pid=DEAD),
}
"""Names of databases with their comments."""


@pytest.mark.parametrize(("name", "comment"), NOT_A_DEAD_LABS.items(), ids=list(NOT_A_DEAD_LABS))
def test_a_database_that_is_not_a_dead_labs_is_never_dropped(
    own_services: Services, admin: psycopg.Connection, name: str, comment: str | None
) -> None:
    admin.execute(f"CREATE DATABASE {name}".encode())
    if comment:
        admin.execute(f"COMMENT ON DATABASE {name} IS '{comment}'".encode())
    try:
        sweep_databases(own_services.postgres.conninfo())
        assert name in databases(admin)
    finally:
        admin.execute(f"DROP DATABASE IF EXISTS {name}".encode())


def test_a_dead_labs_database_is_dropped(own_services: Services, admin: psycopg.Connection) -> None:
    admin.execute("CREATE DATABASE perflab_0000000a_dead")
    comment = mark("perflab_0000000a_", pid=DEAD)
    admin.execute(f"COMMENT ON DATABASE perflab_0000000a_dead IS '{comment}'".encode())
    assert sweep_databases(own_services.postgres.conninfo()) == ("perflab_0000000a_",)
    assert "perflab_0000000a_dead" not in databases(admin)


def test_sessions_of_the_lab_are_ended_before_its_databases_are_dropped(
    own_services: Services, admin: psycopg.Connection
) -> None:
    conninfo = own_services.postgres.conninfo()
    with psycopg.connect(conninfo, application_name="perflab_0000000a_") as session:
        drop_databases(conninfo, "perflab_0000000a_")
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")


@pytest.mark.parametrize("prefix", ["", "perflab_", "app", "perflab_0000000a"])
def test_nothing_is_dropped_by_a_prefix_that_could_be_others(
    own_services: Services, prefix: str
) -> None:
    with pytest.raises(ServiceError, match="nothing was dropped"):
        drop_databases(own_services.postgres.conninfo(), prefix)


@pytest.mark.usefixtures("urls")
def test_what_cannot_be_removed_is_named(own_services: Services, admin: psycopg.Connection) -> None:
    services = open_services("url", only=ONLY_POSTGRES)
    prefix = services.postgres.prefix
    Databases(services.postgres).create("kept")
    admin.execute("ALTER ROLE worker NOLOGIN")
    try:
        with pytest.raises(ServiceError, match=rf"{prefix}\* .*not permitted to log in"):
            services.close()
    finally:
        admin.execute("ALTER ROLE worker LOGIN")
        drop_databases(own_services.postgres.conninfo(), prefix)

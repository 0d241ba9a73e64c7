"""What the lab sees of its servers: addresses, versions, settings, and how to restart them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal, Protocol

import msgspec

from perflab.services.errors import ServiceError

Rung = Literal["url", "docker", "embedded"]
"""Where a server came from."""
ServiceName = Literal["postgres", "redis", "edge"]
SERVICE_NAMES: tuple[ServiceName, ...] = ("postgres", "redis", "edge")
USUAL_NAMES: tuple[ServiceName, ...] = ("postgres", "redis")
"""What is started unasked; an edge has nothing to serve before somebody has an origin for it."""
RestartMode = Literal["fast", "immediate"]


class PostgresSettings(msgspec.Struct, frozen=True):
    """What a caller may decide about the PostgreSQL that the lab starts."""

    shared_buffers_mb: int = 512
    extra: dict[str, str] = {}
    """More settings by name, over the lab's own; never a secret, they are recorded."""


class PostgresControl(Protocol):
    """How a rung restarts and copies a PostgreSQL that the lab owns."""

    def restart(self, mode: RestartMode) -> None:
        """Stop and start again."""

    def keep(self, template: str) -> bool:
        """Store the data under a name; False where the rung keeps nothing."""


class RedisControl(Protocol):
    """How a rung restarts a Redis that the lab owns."""

    def restart(self) -> None:
        """Stop and start again."""


class NginxControl(Protocol):
    """How a rung runs an nginx, which is always the lab's own."""

    def serve(self, text: str) -> None:
        """Serve something else."""

    def restart(self) -> None:
        """Stop and start again."""

    def stop(self, *, kill: bool) -> None:
        """Stop until it is restarted."""


class PostgresAddress(msgspec.Struct, frozen=True):
    """Everything needed to talk to a PostgreSQL; printed without the password."""

    rung: Rung
    owned: bool
    version: str
    build: str
    host: str
    port: int
    user: str
    password: str
    settings: dict[str, str]
    prefix: str = "perflab_"
    dbname: str = "postgres"
    options: dict[str, str] = {}
    """More parameters of libpq, by name; one of them can be a secret."""
    mark: str = ""
    """The comment that tells the lab's databases from others; empty where all are the lab's."""

    def __repr__(self) -> str:
        return f"PostgresAddress({self.rung}, {self.version}, {self.host}:{self.port})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("address", f"{self.host}:{self.port}")]


class RedisAddress(msgspec.Struct, frozen=True):
    """Everything needed to talk to a Redis; printed without the password."""

    rung: Rung
    owned: bool
    version: str
    flavour: str
    build: str
    host: str
    port: int
    password: str
    prefix: str = "perflab:"
    given: str = ""
    """The user's own URL, password included; empty where the lab started the server."""

    def __repr__(self) -> str:
        return f"RedisAddress({self.rung}, {self.version}, {self.host}:{self.port})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("address", f"{self.host}:{self.port}")]


class NginxAddress(msgspec.Struct, frozen=True):
    """Where an nginx is, and what of it lies in the lab's folder."""

    rung: Rung
    version: str
    build: str
    host: str
    port: int
    cache: Path


class Postgres:
    """A running PostgreSQL."""

    def __init__(
        self,
        address: PostgresAddress,
        control: PostgresControl | None = None,
        holding: object = None,
    ) -> None:
        self._address = address
        self._control = control
        self._holding = holding  # the lab's folder lasts while its server is referred to

    def __repr__(self) -> str:
        return f"<Postgres {self.version} ({self.rung}) on {self.host}:{self.port}>"

    @property
    def address(self) -> PostgresAddress:
        """The whole address, password included; for ``share``, not for printing."""
        return self._address

    @property
    def control(self) -> PostgresControl | None:
        """What restarts it; None where it is not the lab's."""
        return self._control

    @property
    def rung(self) -> Rung:
        """Where it came from."""
        return self._address.rung

    @property
    def owned(self) -> bool:
        """Whether the lab started it, and so may restart it."""
        return self._address.owned

    @property
    def version(self) -> str:
        """As people say it: ``18.6``."""
        return self._address.version

    @property
    def version_num(self) -> int:
        """As ``server_version_num`` says it: ``180006``."""
        return version_num(self._address.version)

    @property
    def build(self) -> str:
        """A hash of the server's program: part of the key of a cached data folder."""
        return self._address.build

    @property
    def host(self) -> str:
        """The address it listens on."""
        return self._address.host

    @property
    def port(self) -> int:
        """The port it listens on; a restart keeps it."""
        return self._address.port

    @property
    def user(self) -> str:
        """The role that the lab connects as; a superuser where the lab owns the server."""
        return self._address.user

    @property
    def prefix(self) -> str:
        """With what the names of the lab's own databases begin."""
        return self._address.prefix

    @property
    def mark(self) -> str:
        """The comment to put on each of the lab's own databases; empty where none is needed."""
        return self._address.mark

    @property
    def settings(self) -> Mapping[str, str]:
        """The settings that differ from the server's defaults; never a secret."""
        return MappingProxyType(self._address.settings)

    def conninfo(self, dbname: str = "") -> str:
        """A libpq connection string for ``psycopg.connect``, password included.

        Without a name it leads to the database that is there anyway, for administration.
        """
        from psycopg.conninfo import make_conninfo

        # Over loopback neither is of use, and asking for them costs round trips.
        plain = {"sslmode": "disable", "gssencmode": "disable"} if self.owned else {}
        # By its name the lab's sessions are known on a server that has others. Without an encoding
        # text from a database of SQL_ASCII would be bytes.
        own = {} if self.owned else {"application_name": self.prefix, "client_encoding": "UTF8"}
        parts = {"connect_timeout": "10"} | plain | self._address.options | own
        return make_conninfo(
            host=self.host,
            port=self.port,
            user=self.user,
            password=self._address.password or None,
            dbname=dbname or self._address.dbname,
            **parts,
        )

    def restart(self, mode: RestartMode = "fast") -> None:
        """Stop the server and start it again on the same port with the same data.

        ``fast`` ends sessions and checkpoints; ``immediate`` is a crash, followed by recovery.
        A ServiceError where the lab does not own the server.
        """
        if self._control is None:
            raise ServiceError(
                f"the PostgreSQL on {self.host}:{self.port} is not the lab's to restart;"
                " restart it yourself, or let the lab start one (--services embedded)"
            )
        self._control.restart(mode)

    def keep(self, template: str) -> bool:
        """Store the server's data under this name, for ``open_services(template=...)``.

        The server restarts for it. False where nothing is kept: on a server of the user's own.
        """
        return self._control is not None and self._control.keep(template)


class Redis:
    """A running Redis or Valkey."""

    def __init__(
        self,
        address: RedisAddress,
        control: RedisControl | None = None,
        holding: object = None,
    ) -> None:
        self._address = address
        self._control = control
        self._holding = holding  # the lab's folder lasts while its server is referred to

    def __repr__(self) -> str:
        return f"<Redis {self.flavour} {self.version} ({self.rung}) on {self.host}:{self.port}>"

    @property
    def address(self) -> RedisAddress:
        """The whole address, password included; for ``share``, not for printing."""
        return self._address

    @property
    def control(self) -> RedisControl | None:
        """What restarts it; None where it is not the lab's."""
        return self._control

    @property
    def rung(self) -> Rung:
        """Where it came from."""
        return self._address.rung

    @property
    def owned(self) -> bool:
        """Whether the lab started it, and so may restart it."""
        return self._address.owned

    @property
    def version(self) -> str:
        """The server's own version, not the Redis version that Valkey claims to be like."""
        return self._address.version

    @property
    def flavour(self) -> str:
        """``valkey`` or ``redis``."""
        return self._address.flavour

    @property
    def host(self) -> str:
        """The address it listens on."""
        return self._address.host

    @property
    def port(self) -> int:
        """The port it listens on; a restart keeps it."""
        return self._address.port

    @property
    def prefix(self) -> str:
        """With what the lab's own keys begin."""
        return self._address.prefix

    def url(self) -> str:
        """A URL for ``redis.Redis.from_url``, password included."""
        return self._address.given or f"redis://:{self._address.password}@{self.host}:{self.port}/0"

    def restart(self) -> None:
        """Stop the server and start it again, empty, on the same port."""
        if self._control is None:
            raise ServiceError(
                f"the Redis on {self.host}:{self.port} is not the lab's to restart;"
                " restart it yourself, or let the lab start one (--services embedded)"
            )
        self._control.restart()


class Nginx:
    """A running nginx: the edge in front of an origin, both on this machine's loopback interface.

    It answers 503 until ``serve`` gives it something to do.
    """

    def __init__(self, address: NginxAddress, control: NginxControl) -> None:
        self._address = address
        self._control = control

    def __repr__(self) -> str:
        return f"<Nginx {self.version} ({self.rung}) on {self.host}:{self.port}>"

    @property
    def control(self) -> NginxControl:
        """What restarts it."""
        return self._control

    @property
    def rung(self) -> Rung:
        """Where it came from."""
        return self._address.rung

    @property
    def owned(self) -> bool:
        """Whether the lab started it: it always did."""
        return True

    @property
    def version(self) -> str:
        """As people say it: ``1.31.3``."""
        return self._address.version

    @property
    def build(self) -> str:
        """Tells one build from another."""
        return self._address.build

    @property
    def host(self) -> str:
        """The address to listen on."""
        return self._address.host

    @property
    def port(self) -> int:
        """The port to listen on; a restart keeps it."""
        return self._address.port

    @property
    def cache(self) -> Path:
        """The folder for stored responses. This process may remove files there, on every rung."""
        return self._address.cache

    def url(self) -> str:
        """Where it answers, without a slash at the end."""
        return f"http://{self.host}:{self.port}"

    def serve(self, text: str) -> None:
        """Serve what ``text`` says from now on: directives for nginx's ``http`` block.

        It must listen on ``host`` and ``port`` and may keep files in ``cache``, which is emptied.
        The server is restarted. A ServiceError names what nginx finds wrong with it; the server
        goes on as before then.
        """
        self._control.serve(text)

    def restart(self) -> None:
        """Stop and start again: same port, same configuration; what was stored stays."""
        self._control.restart()

    def stop(self, *, kill: bool = False) -> None:
        """Stop until ``restart`` or ``serve``; ``kill`` makes it a crash."""
        self._control.stop(kill=kill)


def version_num(version: str) -> int:
    """``server_version_num`` of a version as people say it: 18.6 is 180006, 19beta1 is 190000."""
    major, _dot, minor = version.partition(".")
    digits = "".join(char for char in major[:2] if char.isdigit())
    return int(digits or 0) * 10000 + (int(minor) if minor.isdigit() else 0)

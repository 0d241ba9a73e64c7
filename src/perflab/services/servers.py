"""What the lab sees of its servers: what they are, how to reach them and how to restart them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Generic, Literal, Protocol, TypeVar

from perflab.services.addresses import Address, NginxAddress, PostgresAddress, RedisAddress, Rung
from perflab.services.errors import ServiceError

RestartMode = Literal["fast", "immediate"]
A = TypeVar("A", bound=Address)
C = TypeVar("C")


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


class Server(Generic[A, C]):
    """What a running server of any kind says of itself."""

    def __init__(self, address: A, control: C, holding: object = None) -> None:
        self._address = address
        self._control = control
        self._holding = holding  # the lab's folder lasts while its server is referred to

    def __repr__(self) -> str:
        name = type(self).__name__
        return f"<{name} {self.version} ({self.rung}) on {self.host}:{self.port}>"

    @property
    def address(self) -> A:
        """The whole address, password included; for ``share``, not for printing."""
        return self._address

    @property
    def control(self) -> C:
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
        """The server's own, as people say it: ``18.6``; of Valkey not the Redis it is like."""
        return self._address.version

    @property
    def build(self) -> str:
        """Tells one build of the program from another."""
        return self._address.build

    @property
    def host(self) -> str:
        """The address it listens on."""
        return self._address.host

    @property
    def port(self) -> int:
        """The port it listens on; a restart keeps it."""
        return self._address.port


class Postgres(Server[PostgresAddress, PostgresControl | None]):
    """A running PostgreSQL."""

    @property
    def version_num(self) -> int:
        """As ``server_version_num`` says it: ``180006``."""
        return version_num(self._address.version)

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


class Redis(Server[RedisAddress, RedisControl | None]):
    """A running Redis or Valkey."""

    def __repr__(self) -> str:
        return f"<Redis {self.flavour} {self.version} ({self.rung}) on {self.host}:{self.port}>"

    @property
    def flavour(self) -> str:
        """``valkey`` or ``redis``."""
        return self._address.flavour

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


class Nginx(Server[NginxAddress, NginxControl]):
    """A running nginx: the edge in front of an origin, both on this machine's loopback interface.

    It answers 503 until ``serve`` gives it something to do.
    """

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

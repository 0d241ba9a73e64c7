"""Where the lab's servers are: what a process needs to talk to them, and what may be asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

Rung = Literal["url", "docker", "embedded"]
"""Where a server came from."""
ServiceName = Literal["postgres", "redis", "edge"]
SERVICE_NAMES: tuple[ServiceName, ...] = ("postgres", "redis", "edge")
USUAL_NAMES: tuple[ServiceName, ...] = ("postgres", "redis")
"""What is started unasked; an edge has nothing to serve before somebody has an origin for it."""


class PostgresSettings(msgspec.Struct, frozen=True):
    """What a caller may decide about the PostgreSQL that the lab starts."""

    shared_buffers_mb: int = 512
    extra: dict[str, str] = {}
    """More settings by name, over the lab's own; never a secret, they are recorded."""


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """Where a server is, what it is and where it came from; printed without a password."""

    rung: Rung
    owned: bool = True
    """Whether the lab started it, and so may restart it."""
    version: str
    build: str
    """Tells one build of the program from another: part of the key of a cached data folder."""
    host: str
    port: int

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.rung}, {self.version}, {self.host}:{self.port})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("address", f"{self.host}:{self.port}")]


class PostgresAddress(Address, frozen=True, kw_only=True):
    """Everything needed to talk to a PostgreSQL."""

    user: str
    password: str
    settings: dict[str, str]
    prefix: str = "perflab_"
    dbname: str = "postgres"
    options: dict[str, str] = {}
    """More parameters of libpq, by name; one of them can be a secret."""
    mark: str = ""
    """The comment that tells the lab's databases from others; empty where all are the lab's."""


class RedisAddress(Address, frozen=True, kw_only=True):
    """Everything needed to talk to a Redis."""

    flavour: str
    password: str
    prefix: str = "perflab:"
    given: str = ""
    """The user's own URL, password included; empty where the lab started the server."""


class NginxAddress(Address, frozen=True, kw_only=True):
    """Where an nginx is, and what of it lies in the lab's folder."""

    cache: Path

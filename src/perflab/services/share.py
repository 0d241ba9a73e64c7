"""A file from which another process of the same user can use a lab's servers."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import TypeVar

import msgspec

from perflab.services.addresses import PostgresAddress, RedisAddress
from perflab.services.docker.place import ContainerSite
from perflab.services.embedded.postgres import EmbeddedPostgres, PostgresSite
from perflab.services.embedded.redis import EmbeddedRedis, RedisSite
from perflab.services.errors import ServiceError
from perflab.services.servers import Postgres, PostgresControl, Redis, RedisControl

_VERSION = 1
Site = TypeVar("Site", PostgresSite, RedisSite, ContainerSite)


class Shared(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the file holds."""

    version: int
    notes: tuple[str, ...]
    postgres: PostgresAddress | None = None
    postgres_site: PostgresSite | None = None
    postgres_container: ContainerSite | None = None
    redis: RedisAddress | None = None
    redis_site: RedisSite | None = None
    redis_container: ContainerSite | None = None


def write_share(
    path: Path, postgres: Postgres | None, redis: Redis | None, notes: tuple[str, ...]
) -> None:
    """Write the file, complete or not at all, readable by its owner only."""
    shared = Shared(
        version=_VERSION,
        notes=notes,
        postgres=postgres.address if postgres else None,
        postgres_site=_site(postgres, PostgresSite),
        postgres_container=_site(postgres, ContainerSite),
        redis=redis.address if redis else None,
        redis_site=_site(redis, RedisSite),
        redis_container=_site(redis, ContainerSite),
    )
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(msgspec.json.encode(shared))
    partial.replace(path)


def read_share(path: Path) -> tuple[Postgres | None, Redis | None, tuple[str, ...]]:
    """The servers of the lab that wrote the file; a ServiceError if it cannot be used."""
    try:
        found = path.stat()
        if found.st_uid not in (os.geteuid(), 0) or found.st_mode & 0o077:
            raise ServiceError(f"{path} can be changed or read by others; it will not be used")
        shared = msgspec.json.decode(path.read_bytes(), type=Shared)
    except FileNotFoundError:
        raise ServiceError(f"{path}: no such file; the lab that shared it has ended") from None
    except OSError as error:
        raise ServiceError(f"{path} cannot be read: {error.strerror}") from None
    except msgspec.DecodeError:
        raise ServiceError(f"{path} was not written by this version of perflab") from None
    if shared.version != _VERSION:
        raise ServiceError(f"{path} was not written by this version of perflab")
    postgres = redis = None
    if shared.postgres:
        postgres = Postgres(shared.postgres, _postgres_control(shared, shared.postgres.password))
    if shared.redis:
        redis = Redis(shared.redis, _redis_control(shared, shared.redis.password))
    return postgres, redis, shared.notes


def _postgres_control(shared: Shared, password: str) -> PostgresControl | None:
    if shared.postgres_container:
        from perflab.services.docker.servers import DockerPostgres

        return DockerPostgres(shared.postgres_container, password)
    return EmbeddedPostgres(shared.postgres_site) if shared.postgres_site else None


def _redis_control(shared: Shared, password: str) -> RedisControl | None:
    if shared.redis_container:
        from perflab.services.docker.servers import DockerRedis

        return DockerRedis(shared.redis_container, password)
    return EmbeddedRedis(shared.redis_site, password) if shared.redis_site else None


def _site(server: Postgres | Redis | None, kind: type[Site]) -> Site | None:
    """Where a server lives, if it lives in such a place."""
    site = getattr(server.control, "site", None) if server else None
    return site if isinstance(site, kind) else None

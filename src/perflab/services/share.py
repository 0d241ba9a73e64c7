"""A file from which another process of the same user can use a lab's servers."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import msgspec

from perflab.services.errors import ServiceError
from perflab.services.postgres import EmbeddedPostgres, PostgresSite
from perflab.services.redis import EmbeddedRedis, RedisSite
from perflab.services.servers import Postgres, PostgresAddress, Redis, RedisAddress

_VERSION = 1


class Shared(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the file holds."""

    version: int
    notes: tuple[str, ...]
    postgres: PostgresAddress | None = None
    postgres_site: PostgresSite | None = None
    redis: RedisAddress | None = None
    redis_site: RedisSite | None = None


def write_share(
    path: Path, postgres: Postgres | None, redis: Redis | None, notes: tuple[str, ...]
) -> None:
    """Write the file, complete or not at all, readable by its owner only."""
    shared = Shared(
        version=_VERSION,
        notes=notes,
        postgres=postgres.address if postgres else None,
        postgres_site=_postgres_site(postgres),
        redis=redis.address if redis else None,
        redis_site=_redis_site(redis),
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
        site = shared.postgres_site
        postgres = Postgres(shared.postgres, EmbeddedPostgres(site) if site else None)
    if shared.redis:
        place = shared.redis_site
        control = EmbeddedRedis(place, shared.redis.password) if place else None
        redis = Redis(shared.redis, control)
    return postgres, redis, shared.notes


def _postgres_site(postgres: Postgres | None) -> PostgresSite | None:
    control = postgres.control if postgres else None
    return control.site if isinstance(control, EmbeddedPostgres) else None


def _redis_site(redis: Redis | None) -> RedisSite | None:
    control = redis.control if redis else None
    return control.site if isinstance(control, EmbeddedRedis) else None

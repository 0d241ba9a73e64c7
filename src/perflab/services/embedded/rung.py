"""The embedded rung: servers started from programs on this machine, in a folder of their own."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

from perflab.paths import cache_dir
from perflab.services.account import Account, server_account
from perflab.services.addresses import (
    NginxAddress,
    PostgresAddress,
    PostgresSettings,
    RedisAddress,
    Rung,
    ServiceName,
)
from perflab.services.embedded.binaries import Binaries, find_postgres, find_redis, runnable_by
from perflab.services.embedded.kept import find_kept
from perflab.services.embedded.nginx import start_nginx
from perflab.services.embedded.nginx_binary import find_nginx
from perflab.services.embedded.postgres import HOST, start_postgres
from perflab.services.embedded.redis import start_redis
from perflab.services.errors import ServiceError
from perflab.services.home import Home
from perflab.services.postgres_config import ROLE, lab_settings
from perflab.services.probe import Probe
from perflab.services.servers import Nginx, Postgres, Redis

NAME: Rung = "embedded"
_FIND: Mapping[ServiceName, Callable[[], Binaries]] = {
    "postgres": find_postgres,
    "redis": find_redis,
    "edge": find_nginx,
}
_TITLES = {"postgres": "PostgreSQL", "redis": "Redis", "valkey": "Valkey", "nginx": "nginx"}


def available(service: ServiceName) -> Probe:
    """Whether there are programs to start ``service`` from."""
    try:
        account = server_account()
        binaries = _FIND[service]()
    except ServiceError as error:
        reason, _, advice = str(error).rpartition("; ")
        return Probe(service, NAME, available=False, reason=reason, advice=advice)
    title = _TITLES[binaries.flavour]
    return Probe(
        service,
        NAME,
        available=True,
        version=binaries.version,
        path=binaries.path,
        reason=f"{title} {binaries.version} from {binaries.source}, run as {account.name}",
    )


def start(
    service: ServiceName,
    home: Home,
    settings: PostgresSettings,
    template: str,
) -> Postgres | Redis | Nginx:
    """Start ``service`` in ``home``; a ServiceError says what is in the way."""
    account = server_account()
    cache = _cache(account)
    programs = runnable_by(_FIND[service](), account, cache, home.path)
    if service == "edge":
        nginx = start_nginx(home.path, account, programs, holding=home)
        site = nginx.site
        return Nginx(
            NginxAddress(
                rung=NAME,
                version=programs.version,
                build=programs.build,
                host=HOST,
                port=site.port,
                cache=site.cache,
            ),
            nginx,
        )
    password = secrets.token_hex(16)
    if service == "redis":
        redis = start_redis(home.path, account, programs, password, holding=home)
        address = RedisAddress(
            rung=NAME,
            version=programs.version,
            flavour=programs.flavour,
            build=programs.build,
            host=HOST,
            port=redis.site.port,
            password=password,
        )
        return Redis(address, redis)
    given = lab_settings(settings, _library_folder(Path(programs.path)))
    postgres = start_postgres(
        home.path,
        account,
        programs,
        cache,
        given,
        find_kept(programs.build, template),
        password,
        holding=home,
    )
    return Postgres(
        PostgresAddress(
            rung=NAME,
            version=programs.version,
            build=programs.build,
            host=HOST,
            port=postgres.site.port,
            user=ROLE,
            password=password,
            settings=given,
        ),
        postgres,
    )


def _cache(account: Account) -> Path:
    """The cache; the servers' user must be able to pass through it to run programs kept there.

    A folder that the user chose keeps the permissions that it has.
    """
    cache = cache_dir()
    if account.switched and "PERFLAB_CACHE_DIR" not in os.environ:
        cache.chmod(cache.stat().st_mode & 0o7777 | 0o111)
    return cache


def _library_folder(programs: Path) -> Path | None:
    """Where the server's modules lie, relative to its programs: wheels, Debian, source builds."""
    places = (programs.parent / "lib", programs.parent / "lib" / "postgresql")
    return next((place for place in places if (place / "plpgsql.so").exists()), None)

"""The docker rung: servers in containers of this machine's Docker."""

from __future__ import annotations

import contextlib
import secrets

from perflab.services.addresses import (
    NginxAddress,
    PostgresAddress,
    PostgresSettings,
    RedisAddress,
    Rung,
    ServiceName,
)
from perflab.services.docker.containers import HOST
from perflab.services.docker.engine import NoDaemon, connect, reporting
from perflab.services.docker.images import IMAGE_ENV, find_image, image_name, why_not_fetch
from perflab.services.docker.leftovers import sweep
from perflab.services.docker.nginx import start_nginx, why_no_edge
from perflab.services.docker.place import write_down
from perflab.services.docker.servers import (
    DockerPostgres,
    DockerRedis,
    start_postgres,
    start_redis,
)
from perflab.services.errors import RungUnavailable
from perflab.services.home import Home
from perflab.services.postgres_config import ROLE
from perflab.services.probe import Probe
from perflab.services.servers import Nginx, Postgres, Redis

NAME: Rung = "docker"
_BUILD_CHARS = 12


def available(service: ServiceName) -> Probe:
    """Whether the daemon answers, and has the image or could fetch it; fetches nothing."""
    name = image_name(service)
    try:
        client = connect()
    except NoDaemon as error:
        return Probe(service, NAME, reason=error.reason, advice=error.advice)
    with contextlib.closing(client):
        version = client.version()["Version"]
        found = find_image(client, name)
        against = why_no_edge(client) if service == "edge" else ""
    if against:
        return Probe(service, NAME, reason=against, advice="choose the rung auto or embedded")
    if found:
        return Probe(
            service,
            NAME,
            available=True,
            path=name,
            reason=f"image {name} in Docker {version}",
        )
    against = why_not_fetch(name)
    advice = f"docker pull {name}, or name another image by {IMAGE_ENV[service]}"
    return Probe(
        service,
        NAME,
        available=not against,
        reason=against or f"image {name}, to be pulled into Docker {version}",
        advice=advice if against else "",
        missing=name,
    )


def start(
    service: ServiceName, home: Home, settings: PostgresSettings, template: str
) -> Postgres | Redis | Nginx:
    """Start ``service`` in a container; a ServiceError says what is in the way."""
    with reporting(f"Docker could not start {service}"):
        return _start(service, home, settings, template)


def _start(
    service: ServiceName, home: Home, settings: PostgresSettings, template: str
) -> Postgres | Redis | Nginx:
    name = image_name(service)
    client = connect()
    image = find_image(client, name)
    if image is None:
        raise RungUnavailable(f"{service}: no image {name} here; docker pull {name}")
    sweep(client)
    place = write_down(home.path)
    build = image.id.removeprefix("sha256:")[:_BUILD_CHARS]
    if service == "edge":
        nginx, version = start_nginx(place, home, image, name)
        address = NginxAddress(
            rung=NAME,
            version=version,
            build=build,
            host=HOST,
            port=nginx.site.port,
            cache=nginx.site.cache,
        )
        return Nginx(address, nginx)
    password = secrets.token_hex(16)
    if service == "redis":
        site, flavour, version = start_redis(place, home.path, image, password)
        return Redis(
            RedisAddress(
                rung=NAME,
                version=version,
                flavour=flavour,
                build=build,
                host=HOST,
                port=site.port,
                password=password,
            ),
            DockerRedis(site, password, holding=home),
        )
    site, given, version = start_postgres(place, home.path, image, settings, template, password)
    return Postgres(
        PostgresAddress(
            rung=NAME,
            version=version,
            build=build,
            host=HOST,
            port=site.port,
            user=ROLE,
            password=password,
            settings=given,
        ),
        DockerPostgres(site, password, holding=home),
    )

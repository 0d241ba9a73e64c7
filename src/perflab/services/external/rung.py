"""The url rung: servers of the user's own, which the lab uses and never changes.

On a server that it did not start the lab stops, restarts, configures, flushes and resets nothing.
It works in databases and below a key prefix of its own, and removes both at the end.

There is no URL for an edge: what serves is configured by the lab and its files are removed, so an
edge is always the lab's own, and this rung starts nothing. It refuses one and says so; ``auto``
starts one beside servers of the user's own.
"""

from __future__ import annotations

import contextlib

import psycopg

from perflab.services.addresses import PostgresSettings, RedisAddress, Rung, ServiceName
from perflab.services.errors import RungUnavailable
from perflab.services.external import postgres as postgres_url
from perflab.services.external import redis as redis_url
from perflab.services.external.leftovers import Leftovers, sweep_databases, write_down
from perflab.services.external.urls import EXAMPLES, URL_ENV, given
from perflab.services.home import Home
from perflab.services.probe import Probe
from perflab.services.servers import Postgres, Redis

NAME: Rung = "url"


def available(service: ServiceName) -> Probe:
    """Whether the URL of a service is set and its server can serve; asks that server."""
    if service == "edge":
        reason = "an edge is always the lab's own, and the rung url starts nothing"
        advice = "choose the rung auto, which starts one and still takes the servers with a URL"
        return Probe(service, NAME, reason=reason, advice=advice)
    variable = URL_ENV[service]
    if not given(service):
        advice = f"set it to {EXAMPLES[service]}, or choose the rung auto"
        return Probe(service, NAME, reason=f"{variable} not set", advice=advice)
    try:
        address = postgres_url.find() if service == "postgres" else redis_url.find()
    except RungUnavailable as error:
        reason, _, advice = str(error).partition("; ")
        advice += f"; or unset {variable} to let the lab start a server"
        return Probe(service, NAME, reason=reason, advice=advice, insists=True)
    title = address.flavour.capitalize() if isinstance(address, RedisAddress) else "PostgreSQL"
    where = f"{address.host}:{address.port}" if address.port else address.host
    return Probe(
        service,
        NAME,
        available=True,
        version=address.version,
        path=where,
        reason=f"{title} {address.version} on {where}, from {variable}",
        insists=True,
    )


def start(
    service: ServiceName, home: Home, settings: PostgresSettings, template: str
) -> Postgres | Redis:
    """The server of the URL, with a prefix of the lab's own; a RungUnavailable says why not.

    ``settings`` are for servers that the lab starts, and no data is ever kept here.
    """
    if service == "redis":
        found = redis_url.find()
        redis_url.claim(found, home.path)
        return Redis(found, None, holding=home)
    address = postgres_url.find()
    postgres = Postgres(address, None, holding=home)
    # somebody's session in a dead lab's database must not keep this one from starting
    with contextlib.suppress(psycopg.Error):
        sweep_databases(postgres.conninfo())
    write_down(home.path, Leftovers(mark=address.mark, conninfo=postgres.conninfo()))
    return postgres

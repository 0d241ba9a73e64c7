"""What is loaded: the API as it is, without its cache, and without the indexes as well."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Final

import msgspec
import psycopg

from perflab.load import Request
from perflab.profiles import CapacitySizes
from perflab.progress import Step
from perflab.studies.api.ceiling import POSTGRES, REDIS, SERVER, Served
from perflab.studies.api.cores import listening
from perflab.studies.api.identities import sign_in
from perflab.studies.api.opened import Door
from perflab.studies.api.parts import FULL, NO_CACHE
from perflab.studies.api.served import Orders
from perflab.studies.api.site import Person, Site, StudyError, make_site
from perflab.studies.api.throughput import warm
from perflab.studies.api.traffic import PAGE, Traffic, categories, signed
from perflab.studies.capacity.stores import Stores

NEITHER: Final = "no indexes, no cache"
MIX: Final = "tasks"
"""The category of the plan that the load is made of."""
_COLD_RPS: Final = 400.0
"""First visits a second while the caches are filled: of thousands of users, more would outrun the
server, and go without an answer."""
_KINDS: Final = 10
"""A category repeats itself after so many requests."""


@dataclass(frozen=True)
class Arm:
    """One server and its own line of requests."""

    served: Served
    traffic: Traffic
    stores: Stores


@dataclass(frozen=True)
class Stack:
    """Servers by name, all on one core with Redis and PostgreSQL."""

    site: Site
    arms: dict[str, Arm]
    people: int
    """Who are signed in and take turns."""
    database_gb: float
    """What the data takes in PostgreSQL, indexes included, in 10⁹ bytes,"""
    database_users: int
    """and of how many users it is."""

    @property
    def full(self) -> Arm:
        """The API with all its parts."""
        return self.arms[FULL]

    def __repr__(self) -> str:
        cores = self.site.cores
        where = (
            f"API, Redis and PostgreSQL on core {cores.served}, the generator on core"
            f" {cores.generator}"
            if cores.served is not None
            else "everything on the one core that there is: the generator's share is the server's"
        )
        return f"{self.full.traffic.about}; {self.people:,} users take turns; {where}"


def open_stack(lab: Door, sizes: CapacitySizes, step: Step | None = None) -> Stack:
    """Data, users and three servers, the first with a warm cache, until the lab closes.

    A StudyError where the profile's data has too few users.
    """
    site = make_site(lab, sizes.identities, step)
    site = replace(site, people=turn_takers(site.people))
    bare = _without_indexes(lab, site)
    orders = {
        FULL: site.orders(),
        NO_CACHE: site.orders("cache"),
        NEITHER: _elsewhere(site.orders("cache"), bare.conninfo),
    }
    with ExitStack() as stack:
        served = stack.enter_context(site.serving(orders))
        lab.at_close(stack.pop_all().close)
    warm(served[FULL], _reads(site.people), _COLD_RPS)
    stores = {
        POSTGRES: listening(site.services.postgres.port),
        REDIS: listening(site.services.redis.port),
    }  # with the connections that the servers have opened by now
    arms = {}
    for name, server in served.items():
        processes = {SERVER: listening(server.port), **stores}
        put_on = Served(server.port, processes, site.cores.generator)
        of = bare if name == NEITHER else site
        asked = Stores(of.conninfo, site.services.redis.url())
        lab.at_close(asked.close)
        arms[name] = Arm(put_on, _mix(of), asked)
    gb, users = _stored(site.conninfo)
    return Stack(site, arms, len(site.people), gb, users)


def turn_takers(people: Sequence[Person]) -> tuple[Person, ...]:
    """As many as there are, but so that everybody sends every kind of request, in its order.

    How often a cache hits depends on that order: on how many reads follow a write. One more than
    a multiple of the kinds, and whoever comes again sends the next kind.
    """
    return tuple(people[: len(people) - (len(people) - 1) % _KINDS])


def _mix(site: Site) -> Traffic:
    return next(traffic for traffic in categories(site) if traffic.name == MIX)


def _reads(people: Sequence[Person]) -> list[Request]:
    paths = [(person, path) for person in people for path in (PAGE, f"/tasks/{person.task_id}")]
    return [signed(person, "GET", path) for person, path in paths]


def _without_indexes(lab: Door, site: Site) -> Site:
    """The same data and users, on a database that has only its constraints' indexes."""
    conninfo = lab.datasets.clone("api_bare")
    tokens = sign_in(conninfo, site.secret, [person.user_id for person in site.people])
    people = tuple(
        replace(person, token=token) for person, token in zip(site.people, tokens, strict=True)
    )
    return replace(site, conninfo=conninfo, people=people)


def _elsewhere(orders: Orders, conninfo: str) -> Orders:
    if orders.settings is None:
        raise StudyError("the bare framework has no database")
    settings = msgspec.structs.replace(orders.settings, postgres=conninfo)
    return msgspec.structs.replace(orders, settings=settings)


def _stored(conninfo: str) -> tuple[float, int]:
    with psycopg.connect(conninfo) as conn:
        row = conn.execute(
            "SELECT pg_database_size(current_database()), (SELECT count(*) FROM users)"
        ).fetchone()
    if row is None:
        raise StudyError("the database does not say how large it is")
    return float(row[0]) / 1e9, int(row[1])

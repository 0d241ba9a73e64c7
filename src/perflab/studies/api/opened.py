"""The API opened for a notebook: data, users and all servers, until the lab closes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Protocol

from perflab.profiles import ApiSizes
from perflab.progress import Step
from perflab.studies.api.ceiling import Served
from perflab.studies.api.parts import FULL, SERVERS
from perflab.studies.api.site import Bench, Person, Site, make_site
from perflab.studies.api.throughput import BARE, bare_orders


class Door(Bench, Protocol):
    """What of a lab is needed: ``Lab`` is one."""

    def at_close(self, callback: Callable[[], object]) -> None:
        """Call something when the lab closes."""


@dataclass(frozen=True)
class Api:
    """Servers by name, all on one core with Redis and PostgreSQL, and who is signed in."""

    site: Site
    served: dict[str, Served]

    @property
    def full(self) -> Served:
        """The API with all its parts."""
        return self.served[FULL]

    @property
    def people(self) -> tuple[Person, ...]:
        """Users who are signed in."""
        return self.site.people

    def __repr__(self) -> str:
        cores, services = self.site.cores, self.site.services
        where = "everything on the one core that there is: the generator's share is the server's"
        if cores.served is not None:
            both = services.postgres.owned and services.redis.owned
            where = (
                f"servers{', Redis and PostgreSQL' if both else ''} on core {cores.served},"
                f" the generator on core {cores.generator}"
            )
        return f"{len(self.people):,} users are signed in; {', '.join(self.served)}: {where}"


def open_api(lab: Door, sizes: ApiSizes, step: Step | None = None) -> Api:
    """Data, users, and the API with and without parts beside the bare framework."""
    site = make_site(lab, sizes.identities, step)
    with ExitStack() as stack:
        orders = {name: site.orders(*without) for name, without in SERVERS.items()}
        served = stack.enter_context(site.serving(orders))
        bare = bare_orders(served[FULL], site.people[0])
        served = served | stack.enter_context(site.serving({BARE: bare}))
        lab.at_close(stack.pop_all().close)
    return Api(site, served)

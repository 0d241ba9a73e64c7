"""The ladder: which rung gives each service, opened and closed together."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol, Self, cast

import msgspec

from perflab.paths import cache_dir
from perflab.services.account import server_account
from perflab.services.addresses import (
    SERVICE_NAMES,
    USUAL_NAMES,
    PostgresSettings,
    Rung,
    ServiceName,
)
from perflab.services.docker.place import uses_docker
from perflab.services.errors import RungUnavailable, ServiceError
from perflab.services.external import leftovers
from perflab.services.home import Home, sweep
from perflab.services.probe import Probe
from perflab.services.servers import Nginx, Postgres, Redis
from perflab.services.share import read_share, write_share


class RungModule(Protocol):
    """What a rung's module offers; the callers of this package never see which one it is."""

    def available(self, service: ServiceName, /) -> Probe:
        """Whether it can give this service, and why or why not."""

    def start(
        self,
        service: ServiceName,
        home: Home,
        settings: PostgresSettings,
        template: str,
        /,
    ) -> Postgres | Redis | Nginx:
        """The service, started or found."""


_SHARE_FILE = "share.json"
RUNGS: tuple[Rung, ...] = ("url", "docker", "embedded")
"""From the user's own servers down to ours; ``auto`` takes the first that can."""
_FOLDERS: Mapping[Rung, str] = {"url": "external", "docker": "docker", "embedded": "embedded"}
"""By name: Docker's client takes half a second to import, and most labs need none."""


class Services:
    """The servers of one lab. A context manager: leaving it closes them."""

    def __init__(
        self,
        postgres: Postgres | None,
        redis: Redis | None,
        notes: tuple[str, ...],
        home: Home | None = None,
        *,
        edge: Nginx | None = None,
    ) -> None:
        self._postgres = postgres
        self._redis = redis
        self._edge = edge
        self._home = home
        self._closed = False
        self.notes = notes
        """One line per service: its rung, and why that one."""

    def __repr__(self) -> str:
        servers = (self._postgres, self._redis, self._edge)
        parts = [repr(server) for server in servers if server is not None]
        return f"<Services {' '.join(parts)}{' closed' if self._closed else ''}>"

    @property
    def postgres(self) -> Postgres:
        """The PostgreSQL; a ServiceError if it was not asked for."""
        if self._postgres is None:
            raise ServiceError("these services were opened without PostgreSQL; add it to only=")
        return self._postgres

    @property
    def redis(self) -> Redis:
        """The Redis; a ServiceError if it was not asked for."""
        if self._redis is None:
            raise ServiceError("these services were opened without Redis; add it to only=")
        return self._redis

    @property
    def edge(self) -> Nginx:
        """The nginx; a ServiceError if this process did not ask for it.

        Unlike the others it is not shared: what it serves is for the process that it was opened by.
        """
        if self._edge is None:
            raise ServiceError(
                "these services have no edge; open one where its origin is:"
                " open_services(only=['edge'])"
            )
        return self._edge

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the servers that this process started and remove their folder; idempotent.

        On servers of the user's own the lab's databases and keys are removed, and with Docker its
        containers and volumes; a ServiceError says what could not be.
        """
        self._closed = True
        if self._home is None:
            return
        try:
            leftovers.clear(self._home.path, only_own=True)
            if uses_docker(self._home.path):
                from perflab.services.docker import leftovers as docker_leftovers

                docker_leftovers.clear(self._home.path, only_own=True)
        finally:
            self._home.close()

    def share(self) -> Path:
        """Write a file from which ``attach_services`` in another process can use these servers.

        The edge is left out.
        It holds the passwords: only this user can read it, and it goes when the lab is closed.
        """
        if self._home is None:
            raise ServiceError("only the process that opened the services can share them")
        if self._closed:
            raise ServiceError("the services are closed; open them again to share them")
        path = self._home.path / _SHARE_FILE
        write_share(path, self._postgres, self._redis, self.notes)
        return path


def open_services(
    rung: Rung | Literal["auto"] = "auto",
    *,
    settings: PostgresSettings | None = None,
    template: str = "",
    only: Collection[ServiceName] = USUAL_NAMES,
) -> Services:
    """Start or find the servers named in ``only``; each can come from a rung of its own.

    ``template`` is a name under which ``Postgres.keep`` kept data; where the rung has none of that
    name, the server starts empty. A RungUnavailable says why a rung cannot serve and what to do;
    ``url`` never has an edge, which is always the lab's own, and ``auto`` starts one.
    The servers end with ``close()``, or with this process.
    """
    unknown = set(only) - set(SERVICE_NAMES)
    if unknown:
        raise ServiceError(f"only={sorted(unknown)} is unknown; choose from {SERVICE_NAMES}")
    check_settings(rung, only)
    chosen = {name: _choose(name, rung) for name in SERVICE_NAMES if name in only}
    sweep()
    home = Home(server_account())
    try:
        servers = [
            module.start(name, home, settings or PostgresSettings(), template)
            for name, (module, _note) in chosen.items()
        ]
    except BaseException:
        with contextlib.suppress(ServiceError):
            home.close()
        raise
    return Services(
        next((server for server in servers if isinstance(server, Postgres)), None),
        next((server for server in servers if isinstance(server, Redis)), None),
        tuple(note for _module, note in chosen.values()),
        home,
        edge=next((server for server in servers if isinstance(server, Nginx)), None),
    )


def check_settings(
    rung: Rung | Literal["auto"], only: Collection[ServiceName] = SERVICE_NAMES
) -> None:
    """A PerflabError for a cache or an image that was chosen and can never serve."""
    cache_dir()
    if rung in ("auto", "docker"):
        from perflab.services.docker.images import image_name

        for name in only:
            image_name(name)


def attach_services(path: Path) -> Services:
    """The servers that another process shared; closing these services stops nothing."""
    return Services(*read_share(path))


def probe() -> tuple[Probe, ...]:
    """For each service and rung whether it could be used here, and if not, what to do."""
    return tuple(_probe(name, rung) for name in SERVICE_NAMES for rung in RUNGS)


def _module(rung: Rung) -> RungModule:
    return cast(RungModule, importlib.import_module(f"perflab.services.{_FOLDERS[rung]}.rung"))


def _probe(service: ServiceName, rung: Rung) -> Probe:
    return _module(rung).available(service)


def _choose(service: ServiceName, wanted: Rung | Literal["auto"]) -> tuple[RungModule, str]:
    """The rung that serves, and the line that says why; a RungUnavailable if none can.

    What the rung has to fetch first is here when this returns. A server of the user's own is never
    passed over in silence.
    """
    if wanted == "auto":
        probes = []
        for rung in RUNGS:
            probes.append(chosen := _ready(_probe(service, rung), asked=False))
            if chosen.available or chosen.insists:
                break
    elif wanted in RUNGS:
        probes = [chosen := _ready(_probe(service, wanted), asked=True)]
    else:
        raise ServiceError(f"services={wanted!r} is unknown; choose auto, {', '.join(RUNGS)}")
    if not chosen.available:
        raise RungUnavailable(f"{service}: {chosen.reason}; {chosen.advice}")
    others = [f"{probe.rung}: {probe.reason}" for probe in probes if not probe.available]
    line = f"{service}: {chosen.rung} ({chosen.reason})"
    return _module(chosen.rung), "; ".join((line, *others))


def _ready(found: Probe, *, asked: bool) -> Probe:
    """The probe once the image that it misses has been fetched; one asked for is always tried."""
    if not found.missing or not (asked or found.available):
        return found
    from perflab.services.docker.images import fetch

    try:
        fetch(found.missing, asked=asked)
    except RungUnavailable as error:
        reason, _, advice = str(error).rpartition("; ")
        return msgspec.structs.replace(found, available=False, reason=reason, advice=advice)
    return msgspec.structs.replace(
        found, available=True, reason=f"image {found.missing}, just pulled"
    )

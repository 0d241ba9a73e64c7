"""The parts of the API that are compared: which servers, and what each side is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from perflab.api.settings import Part as Left
from perflab.load import Request
from perflab.studies.api.caller import Caller
from perflab.studies.api.ceiling import Served
from perflab.studies.api.site import Person
from perflab.studies.api.traffic import GZIP, PAGE, signed

FULL: Final = "full"
AGAIN: Final = "full again"
NO_CACHE: Final = "no cache"
NO_POOL: Final = "no cache, no pool"
NO_LIMITER: Final = "no limiter"
NO_LEASES: Final = "no leases"
NOTHING: Final = "nothing"
SERVERS: Final[dict[str, tuple[Left, ...]]] = {
    FULL: (),
    AGAIN: (),
    NO_CACHE: ("cache",),
    NO_POOL: ("cache", "pool"),
    NO_LIMITER: ("limiter",),
    NO_LEASES: ("leases",),
    NOTHING: ("cache", "compression", "limiter", "pool"),
}
"""What each server is without."""

FIRST_VISITS: Final = 0.12
"""The share of requests that no cache has an answer for: what the plan's hit ratio of 88 %
leaves."""
IDENTITY: Final = ("Accept-Encoding", "identity")
LONG_PAGE: Final = "/tasks?limit=100"
BATCH: Final = 10

Make = Callable[[Person], Sequence[Request]]
"""What one operation sends for a person, one request after the other."""


@dataclass(frozen=True)
class Side:
    """One arm: whom it asks and what, by operation."""

    server: str
    makes: Mapping[str, Make]
    good: int = 200
    """The status of every answer."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """What is compared."""

    label: str
    before: Side
    after: Side
    control: str
    """A server like that of *after*, for the A/A control. Where both sides ask one server it is
    that server too: whoever comes second finds what the first has brought into its memory."""
    first_visits: bool = False
    """Whether some requests are first visits."""


def parts(served: Mapping[str, Served]) -> tuple[Part, ...]:
    """The single parts."""
    return (
        _between("cache", NO_CACHE, FULL, _READS, AGAIN),
        Part(
            label="compression",
            before=Side(FULL, _pages(IDENTITY)),
            after=Side(FULL, _pages(GZIP)),
            control=FULL,
        ),
        _revalidation(served),
        _between("connection pool", NO_POOL, NO_CACHE, _reading("/users/me", PAGE), NO_CACHE),
        _batching(),
        _between("limiter", NO_LIMITER, FULL, _reading("/users/me", PAGE), AGAIN),
    )


def everything() -> Part:
    """All of them at once: the plan's half."""
    return Part(
        label="everything",
        before=Side(NOTHING, {name: _gets(path, IDENTITY) for name, path in _PATHS.items()}),
        after=Side(FULL, _READS),
        control=AGAIN,
        first_visits=True,
    )


def _gets(path: str, *fields: tuple[str, str]) -> Make:
    def make(person: Person) -> list[Request]:
        return [signed(person, "GET", path.format(task=person.task_id), None, *fields)]

    return make


_PATHS: Final = {
    "a profile": "/users/me",
    "one task": "/tasks/{task}",
    "a page of 20 tasks": PAGE,
    "a dashboard": "/analytics/dashboard",
}
_READS: Final[dict[str, Make]] = {name: _gets(path) for name, path in _PATHS.items()}


def _reading(*paths: str) -> dict[str, Make]:
    return {name: _READS[name] for name, path in _PATHS.items() if path in paths}


def _pages(coding: tuple[str, str]) -> dict[str, Make]:
    return {
        "a page of 20 tasks": _gets(PAGE, coding),
        "a page of 100 tasks": _gets(LONG_PAGE, coding),
    }


def _between(label: str, before: str, after: str, makes: Mapping[str, Make], control: str) -> Part:
    """The same requests to two servers."""
    return Part(label=label, before=Side(before, makes), after=Side(after, makes), control=control)


def _revalidation(served: Mapping[str, Served]) -> Part:
    """A client that has a copy, and asks whether it is still good."""
    paths = {"one task": "/tasks/{task}", "a page of 100 tasks": LONG_PAGE}
    port = served[FULL].port
    tags: dict[tuple[str, Person], str] = {}

    def conditional(path: str) -> Make:
        def make(person: Person) -> Sequence[Request]:
            known = tags.get((path, person))
            if known is None:
                with Caller(port) as caller:
                    known = caller.ask(_gets(path)(person)[0]).etag
                tags[path, person] = known
            return _gets(path, GZIP, ("If-None-Match", known))(person)

        return make

    return Part(
        label="ETag and 304",
        before=Side(FULL, {name: _gets(path) for name, path in paths.items()}),
        after=Side(FULL, {name: conditional(path) for name, path in paths.items()}, good=304),
        control=FULL,
    )


def _batching() -> Part:
    """Ten pages, each in a request of its own and all in one."""
    paths = [f"/tasks?limit={number}" for number in range(1, BATCH + 1)]

    def singly(person: Person) -> list[Request]:
        return [signed(person, "GET", path) for path in paths]

    def together(person: Person) -> list[Request]:
        body = {"requests": [{"method": "GET", "path": path} for path in paths]}
        return [signed(person, "POST", "/batch", body)]

    name = f"{BATCH} pages"
    return Part(
        label="batching",
        before=Side(FULL, {name: singly}),
        after=Side(FULL, {name: together}),
        control=FULL,
    )

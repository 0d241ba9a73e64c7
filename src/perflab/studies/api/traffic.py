"""Requests of the plan's four categories, each of the next user in line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from perflab.load import Request
from perflab.studies.api.site import Person, Site

LOGINS_EACH: Final = 8
"""Logins from one address, of the ten in a quarter of an hour that it is granted."""
PAGE: Final = "/tasks?limit=20"
JSON: Final = ("Content-Type", "application/json")
GZIP: Final = ("Accept-Encoding", "gzip")
"""The plan's coding."""
CHANNELS: Final = 50

Make = Callable[[int, Person], Request]


class Traffic:
    """An endless line of requests; every one is of another user until all have had their turn.

    Args:
        name: the category's, as in the claims' ids.
        label: its name in the plan.
        people: whose requests they are.
        make: a request, from its number and its user.
        good: the statuses of an answer that is none of trouble.
        about: what is asked, in a few words.
    """

    def __init__(
        self,
        name: str,
        label: str,
        people: Sequence[Person],
        make: Make,
        *,
        good: tuple[int, ...] = (200,),
        about: str,
    ) -> None:
        self.name = name
        self.label = label
        self.good = good
        self.about = about
        self._people = people
        self._make = make
        self._next = 0

    def take(self, count: int) -> list[Request]:
        """The next ``count`` requests."""
        numbers = range(self._next, self._next + count)
        self._next += count
        people = self._people
        return [self._make(number, people[number % len(people)]) for number in numbers]


def categories(site: Site) -> tuple[Traffic, ...]:
    """The plan's four, in its order."""
    half = len(site.people) // 2  # away from those whom comparisons ask
    people = (*site.people[half:], *site.people[:half])
    return (
        Traffic(
            "auth",
            "Authentication",
            people,
            lambda number, person: _login(number, person, site.password),
            about="login with argon2id (19 MiB, t = 2, p = 1), 8 from each address",
        ),
        Traffic(
            "tasks",
            "Task Operations",
            people,
            _task,
            good=(200, 201),
            about="6 pages of 20, 2 single tasks, 1 new one, 1 change in every 10",
        ),
        Traffic(
            "analytics",
            "Analytics",
            people,
            lambda _number, person: signed(person, "GET", "/analytics/dashboard"),
            about="dashboards, each of another user: first visits",
        ),
        Traffic(
            "realtime",
            "Real-time",
            people,
            _message,
            good=(200, 201, 202),
            about=f"messages into {CHANNELS} channels, over HTTP",
        ),
    )


def signed(
    person: Person, method: str, target: str, body: object = None, *fields: tuple[str, str]
) -> Request:
    """A request with the person's token; gzip is welcome unless ``fields`` say otherwise."""
    named = {name.lower() for name, _ in fields}
    headers = [("Authorization", f"Bearer {person.token}"), *fields]
    if "accept-encoding" not in named:
        headers.append(GZIP)
    if body is None:
        return Request(method, target, tuple(headers))
    return Request(method, target, (*headers, JSON), msgspec.json.encode(body))


def _login(number: int, person: Person, password: str) -> Request:
    client = number // LOGINS_EACH
    address = f"10.{client >> 16 & 255}.{client >> 8 & 255}.{client & 255}"
    return Request(
        "POST",
        "/auth/login",
        (JSON, ("X-Forwarded-For", address)),
        msgspec.json.encode({"email": person.email, "password": password}),
    )


def _task(number: int, person: Person) -> Request:
    one = f"/tasks/{person.task_id}"
    match number % 10:
        case 7:
            return signed(person, "GET", one)
        case 8:
            return signed(person, "POST", "/tasks", {"title": f"Measure it {number} times"})
        case 9:
            return signed(person, "PATCH", one, {"title": f"Measured {number} times"})
        case 3:
            return signed(person, "GET", one)
    return signed(person, "GET", PAGE)


def _message(number: int, person: Person) -> Request:
    body = {"data": {"text": f"message {number}"}}
    return signed(person, "POST", f"/channels/study-{number % CHANNELS}/messages", body)

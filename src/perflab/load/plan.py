"""A load as plain values: what a thread or a process of its own needs to carry it out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from perflab.arguments import check_hook
from perflab.load.errors import LoadError
from perflab.load.request import Request, Target, check_field_name

Requests: TypeAlias = "Request | Sequence[Request] | Callable[[int], Request]"

_IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
"""RFC 9110, section 9.2.2."""


class Wire(msgspec.Struct, frozen=True):
    """A request as it is sent."""

    data: bytes
    head_only: bool
    """Whether its response has no body, whatever its fields say: it is a HEAD request."""
    idempotent: bool
    """Whether it may be sent twice."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for every request of a load."""

    connections: int
    waiting: int
    timeout_s: float
    keep_header: str | None
    keep_body: bool


class Open(msgspec.Struct, frozen=True, tag="open"):
    """A request at each due time."""

    due_s: tuple[float, ...]
    """Ascending."""

    @property
    def window_s(self) -> float:
        """From the start to the last arrival."""
        return self.due_s[-1]


class Closed(msgspec.Struct, frozen=True, tag="closed"):
    """Users who wait for their answers."""

    users: int
    window_s: float
    """How long they go on."""
    think_s: tuple[float, ...]


class Plan(msgspec.Struct, frozen=True):
    """One load."""

    host: str
    port: int
    wires: tuple[Wire, ...]
    """Each request once."""
    order: tuple[int, ...]
    """Which of them is sent as first, second and so on; from the front again after the last."""
    shape: Open | Closed
    limits: Limits
    tls: bool = False
    """Whether connections are encrypted."""


def ascending(due_s: NDArray[np.float64] | Sequence[float]) -> tuple[float, ...]:
    """Due times if they are usable; else a LoadError."""
    try:
        due = np.asarray(due_s, dtype=np.float64)
    except (TypeError, ValueError):
        raise LoadError("due_s: must be numbers, seconds from the start") from None
    if due.ndim != 1 or not len(due):
        raise LoadError(f"due_s: must be a row of at least one time, not of shape {due.shape}")
    if not np.isfinite(due).all() or due[0] < 0 or (np.diff(due) < 0).any():
        raise LoadError("due_s: times must be finite, ascending and not below 0")
    return tuple(due.tolist())


def pauses(think_s: float | Sequence[float] | NDArray[np.float64]) -> tuple[float, ...]:
    """Pauses if they are usable; else a LoadError."""
    try:
        several = np.atleast_1d(np.asarray(think_s, dtype=np.float64))
    except (TypeError, ValueError):
        raise LoadError("think_s: must be a number or several, in seconds") from None
    if several.ndim != 1 or not len(several):
        raise LoadError(f"think_s: must be one pause or a row of them, not {several.shape}")
    if not np.isfinite(several).all() or (several < 0).any():
        raise LoadError("think_s: pauses must be finite and not below 0")
    return tuple(several.tolist())


def field_name(name: str | None) -> str | None:
    """The header field to keep, if it can be one; else a LoadError."""
    if name is not None:
        check_field_name("keep_header", name)
    return name


def rendered(
    target: Target, requests: Requests, count: int | None
) -> tuple[tuple[Wire, ...], tuple[int, ...]]:
    """Wires and order of requests. ``count`` of them are needed; None if they go round.

    A LoadError if they are too few or too many, or not requests.
    """
    if not isinstance(target, Target):
        raise LoadError(f"target: must be a Target, not {target!r}")
    asked: Iterable[Request]
    if isinstance(requests, Request):
        asked = [requests] * (count or 1)
    elif callable(requests):
        if count is None:
            raise LoadError("requests: a closed load takes a sequence of them, not a function")
        check_hook("requests", requests, LoadError)
        asked = map(requests, range(count))
    else:
        if isinstance(requests, str | bytes) or not isinstance(requests, Sequence):
            raise LoadError(
                "requests: must be a Request, a sequence of them or a function, not"
                f" {type(requests).__name__}"
            )
        if not len(requests):
            raise LoadError("requests: must be at least one")
        if count is not None and len(requests) != count:
            raise LoadError(
                f"requests: {len(requests)} of them for {count} due times; give one for each"
            )
        asked = requests
    wires: list[Wire] = []
    order: list[int] = []
    # By identity, since hashing a request costs more than rendering it. It is kept along with its
    # number, so that no later one of a function gets its identity.
    known: dict[int, tuple[Request, int]] = {}
    for request in asked:
        found = known.get(id(request))
        if found is None:
            found = known[id(request)] = request, len(wires)
            wires.append(wire_of(target, request))
        order.append(found[1])
    return tuple(wires), tuple(order)


def wire_of(target: Target, request: Request) -> Wire:
    """A request as bytes for a target."""
    if not isinstance(request, Request):
        raise LoadError(f"requests: must be Requests, not {type(request).__name__}")
    return Wire(
        request.render(target),
        head_only=request.method == "HEAD",
        idempotent=request.method in _IDEMPOTENT,
    )

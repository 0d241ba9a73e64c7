"""Scenario files: what a load does, as typed TOML."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from perflab.load.scenarios.extract import Source

Rate = Annotated[float, Meta(gt=0, le=1e6)]
MaybeNone = Annotated[float, Meta(ge=0, le=1e6)]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]
Pause = Annotated[float, Meta(ge=0, le=86_400)]
Status = Annotated[int, Meta(ge=100, le=599)]
Spacing = Literal["poisson", "even"]


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class Constant(_Strict, frozen=True, tag="constant", tag_field="kind", kw_only=True):
    """Requests at equal distances."""

    rate_per_s: Rate


class Poisson(_Strict, frozen=True, tag="poisson", tag_field="kind", kw_only=True):
    """Requests of independent users."""

    rate_per_s: Rate


class Ramp(_Strict, frozen=True, tag="ramp", tag_field="kind", kw_only=True):
    """A rate that changes in a straight line over the whole duration."""

    from_per_s: MaybeNone
    to_per_s: MaybeNone
    spacing: Spacing = "poisson"


class Step(_Strict, frozen=True, tag="step", tag_field="kind", kw_only=True):
    """Rates one after the other, each for an equal part of the duration."""

    rates_per_s: Annotated[list[MaybeNone], Meta(min_length=1)]
    spacing: Spacing = "poisson"


class Spike(_Strict, frozen=True, tag="spike", tag_field="kind", kw_only=True):
    """A rate that is high for a while."""

    base_per_s: MaybeNone
    peak_per_s: Rate
    at_s: Seconds
    spike_s: Seconds
    spacing: Spacing = "poisson"


class Closed(_Strict, frozen=True, tag="closed", tag_field="kind", kw_only=True):
    """Users who begin their next flow after the last one and a pause."""

    think_s: Pause = 0.0
    """The mean pause."""
    think: Literal["exponential", "constant"] = "exponential"


Open = Constant | Poisson | Ramp | Step | Spike
Arrival = Open | Closed


class Feeder(_Strict, frozen=True, kw_only=True):
    """Rows of data; a request uses a column as ``${feeder.column}``."""

    file: str = ""
    """A CSV file with a header, relative to the scenario's."""
    rows: list[dict[str, str | int | float | bool]] = []
    """The rows themselves."""
    columns: list[str] = []
    """The columns, where the data comes from ``--data``."""
    pick: Literal["user", "turn", "random"] = "user"
    """user: each user has a row of its own. turn: the next row for each flow. random: any."""


class Check(Source, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What an answer must hold; without ``equals`` the value must only be there."""

    equals: str | int | float | bool | None = None


class RequestStep(_Strict, frozen=True, kw_only=True):
    """One request of a flow."""

    name: str
    method: str = "GET"
    path: str
    headers: dict[str, str] = {}
    body: str | None = None
    """A text; or"""
    json: Any = None
    """a value, sent as JSON."""
    expect: list[Status] = []
    """The statuses of a good answer; empty for all below 400."""
    capture: dict[str, Source] = {}
    """Values for later requests of the flow, by name."""
    check: list[Check] = []
    think_s: Pause = 0.0
    """The user's pause before this request."""


class Flow(_Strict, frozen=True, kw_only=True):
    """Requests of one user, one after the other; it ends where one is not answered well."""

    name: str
    weight: Annotated[float, Meta(gt=0)] = 1.0
    request: Annotated[list[RequestStep], Meta(min_length=1)]


class ScenarioFile(_Strict, frozen=True, kw_only=True):
    """A scenario as it is written."""

    kind: Literal["http"] = "http"
    title: str
    target: str = ""
    """The URL of the server; ``--target`` comes before it."""
    users: Annotated[int, Meta(ge=1, le=50_000)]
    """Of whom each flow draws one; at most so many requests are under way at once."""
    duration_s: Seconds
    warmup_s: Pause = 0.0
    """The beginning that does not count."""
    timeout_s: Seconds = 5.0
    seed: Annotated[int, Meta(ge=0, lt=2**32)] = 42
    refused: tuple[Status, ...] = (429,)
    """Statuses with which a policy refuses: neither errors nor throughput."""
    thresholds: list[str] = []
    abort: list[str] = []
    """Conditions that end the run early."""
    arrival: Arrival
    feeder: dict[str, dict[str, Any]] = {}
    """Each a ``Feeder``."""
    setup: list[RequestStep] = []
    """What each user does once, before the clock starts."""
    flow: Annotated[list[Flow], Meta(min_length=1)]

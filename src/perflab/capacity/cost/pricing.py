"""Unit prices out of a TOML file: typed, or one error that names file, line, key and reason."""

from __future__ import annotations

import datetime
import re
from pathlib import Path
from typing import Annotated, Final

import msgspec

from perflab.capacity.cost.spread import Spread
from perflab.config import error_at, load_toml
from perflab.paths import data_dir

_CURRENCY: Final = re.compile(r"[A-Z]{3}")

Positive = Annotated[float, msgspec.Meta(gt=0)]
Text = Annotated[str, msgspec.Meta(min_length=1)]


class Node(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A size of machine that the API runs on."""

    name: Text
    vcpus: Annotated[int, msgspec.Meta(ge=1)]
    memory_gb: Positive
    per_hour: Spread


class Database(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """PostgreSQL with a stand-in."""

    per_hour: Spread
    storage_per_gb_month: Spread


class Redis(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Redis with a stand-in."""

    per_hour: Spread


class Egress(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What goes out to the internet."""

    free_gb: Annotated[float, msgspec.Meta(ge=0)]
    """So much of a month is not charged."""
    per_gb: Spread


class Balancer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The load balancer."""

    per_hour: Spread
    per_gb: Spread


class Pricing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One offer: all prices of it are in one currency, of one region and one day."""

    example: bool
    """Whether these are examples to be replaced, which every table of money says."""
    currency: str
    """ISO 4217."""
    region: Text
    date: datetime.date
    """When the prices were looked up."""
    source: Text
    hours_per_month: Annotated[float, msgspec.Meta(gt=0, le=744)]
    node: Annotated[list[Node], msgspec.Meta(min_length=1)]
    database: Database
    redis: Redis
    egress: Egress
    balancer: Balancer

    @property
    def about(self) -> str:
        """Where the prices come from, in one line."""
        kind = "example prices, to be replaced by yours: " if self.example else ""
        return f"{kind}{self.currency}, {self.region}, {self.date:%Y-%m-%d} ({self.source})"


def load_pricing(path: Path | None = None) -> Pricing:
    """The prices of a file, without ``path`` the shipped examples; a ConfigError if it is bad."""
    path = path or data_dir() / "pricing.toml"
    pricing = load_toml(path, Pricing)
    if not _CURRENCY.fullmatch(pricing.currency):
        raise error_at(path, ["currency"], "must be three capital letters, such as EUR")
    seen: set[str] = set()
    for number, node in enumerate(pricing.node):
        if node.name in seen:
            raise error_at(path, ["node", number, "name"], f"{node.name!r} stands here twice")
        seen.add(node.name)
        if node.per_hour.expected == 0:
            raise error_at(
                path, ["node", number, "per_hour"], "a node must cost something to be compared"
            )
    return pricing

"""A month's bill: what is needed times what it costs, low, expected and high."""

from __future__ import annotations

from dataclasses import dataclass

from perflab.capacity.arguments import positive
from perflab.capacity.cost.nodes import Nodes
from perflab.capacity.cost.pricing import Pricing
from perflab.capacity.cost.spread import Spread


@dataclass(frozen=True, kw_only=True)
class Need:
    """What a month takes."""

    nodes: Nodes
    """Of the API, those included that stand by for a lost one."""
    out_gb: Spread
    """Bytes of all answers of the month, in 10⁹."""
    stored_gb: Spread
    """In PostgreSQL."""
    users: float
    """Who use it, for the price of a thousand of them."""


@dataclass(frozen=True)
class Line:
    """One item."""

    item: str
    quantity: Spread
    unit: str
    amount: Spread
    """Per month."""


@dataclass(frozen=True)
class Bill:
    """A month."""

    lines: tuple[Line, ...]
    currency: str
    users: float

    @property
    def total(self) -> Spread:
        """All lines."""
        total = Spread(0.0, 0.0, 0.0)
        for line in self.lines:
            total = total + line.amount
        return total

    @property
    def per_1000_users(self) -> Spread:
        """The total, shared out among the users."""
        return self.total.scaled(1000 / self.users)


def bill_of(need: Need, pricing: Pricing) -> Bill:
    """What a month costs; a CapacityError without users."""
    positive("users", need.users)
    hours, one = pricing.hours_per_month, Spread(1.0, 1.0, 1.0)
    charged = Spread(*(max(0.0, gb - pricing.egress.free_gb) for gb in _figures(need.out_gb)))
    nodes, database = need.nodes, pricing.database
    lines = (
        Line(f"API nodes, {nodes.node.name}", nodes.count, "nodes", nodes.per_hour.scaled(hours)),
        Line("PostgreSQL", one, "servers", database.per_hour.scaled(hours)),
        Line("storage", need.stored_gb, "GB", need.stored_gb * database.storage_per_gb_month),
        Line("Redis", one, "servers", pricing.redis.per_hour.scaled(hours)),
        Line("load balancer", one, "balancers", pricing.balancer.per_hour.scaled(hours)),
        Line("through the balancer", need.out_gb, "GB", need.out_gb * pricing.balancer.per_gb),
        Line("egress beyond what is free", charged, "GB", charged * pricing.egress.per_gb),
    )
    return Bill(lines, pricing.currency, need.users)


def saving(before: Bill, after: Bill) -> tuple[float, float, float]:
    """What *after* costs less a month at low, expected and high prices; below 0 it costs more.

    Both bills turn out the same way: the prices are the same in both.
    """
    low, expected, high = (
        b - a for b, a in zip(_figures(before.total), _figures(after.total), strict=True)
    )
    return low, expected, high


def _figures(spread: Spread) -> tuple[float, float, float]:
    return spread.low, spread.expected, spread.high

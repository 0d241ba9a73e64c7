"""How many nodes hold a load, also when one of them is lost, and which size is cheapest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from perflab.capacity.arguments import positive, whole
from perflab.capacity.cost.pricing import Node
from perflab.capacity.cost.spread import Spread
from perflab.capacity.errors import CapacityError


@dataclass(frozen=True)
class Nodes:
    """Nodes of one size."""

    node: Node
    count: Spread
    """Whole numbers; few where the load is low and a core does much."""

    @property
    def per_hour(self) -> Spread:
        """All of them."""
        return self.count * self.node.per_hour


def nodes_for(load_rps: Spread, core_rps: Spread, node: Node, *, lost: int = 1) -> Nodes:
    """Enough nodes for a load after so many are lost.

    Args:
        load_rps: requests a second in the busiest hour.
        core_rps: requests a second that one core holds within the promised latency; the fewest
            nodes follow from the highest figure.
        node: their size; a process a core, which do not slow each other down.
        lost: nodes that may fail without the load being too much for the others.

    A CapacityError where a core holds nothing.
    """
    whole("lost", lost, 0)
    positive("core_rps", core_rps.low)

    def count(load: float, core: float) -> int:
        # the rounding of a product must not add a node
        return max(1, math.ceil(load / (core * node.vcpus) - 1e-9)) + lost

    return Nodes(
        node,
        Spread(
            count(load_rps.low, core_rps.high),
            count(load_rps.expected, core_rps.expected),
            count(load_rps.high, core_rps.low),
        ),
    )


def cheapest(load_rps: Spread, core_rps: Spread, sizes: Sequence[Node], *, lost: int = 1) -> Nodes:
    """The size whose expected price is lowest for the load; the fewer nodes where two cost alike.

    Small nodes lose little when one fails, large ones are fewer: the price decides.
    """
    if not sizes:
        raise CapacityError("sizes: at least one size of node is needed")
    found = [nodes_for(load_rps, core_rps, node, lost=lost) for node in sizes]
    return min(found, key=lambda nodes: (round(nodes.per_hour.expected, 9), nodes.count.expected))

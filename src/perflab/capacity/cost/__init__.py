"""Money: typed unit prices, and what a month of a given capacity costs."""

from perflab.capacity.cost.bill import Bill, Line, Need, bill_of, saving
from perflab.capacity.cost.nodes import Nodes, cheapest, nodes_for
from perflab.capacity.cost.pricing import Node, Pricing, load_pricing
from perflab.capacity.cost.spread import Spread, spread_of

__all__ = [
    "Bill",
    "Line",
    "Need",
    "Node",
    "Nodes",
    "Pricing",
    "Spread",
    "bill_of",
    "cheapest",
    "load_pricing",
    "nodes_for",
    "saving",
    "spread_of",
]

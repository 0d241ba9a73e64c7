"""Queues: closed formulas, a simulation that they check, and from people to arrivals."""

from perflab.capacity.queues.formulas import Queue, closed, multi_server, single_server
from perflab.capacity.queues.people import People
from perflab.capacity.queues.simulate import Simulated, simulate_closed, simulate_due, simulate_open
from perflab.capacity.queues.station import EVERYBODY, Station

__all__ = [
    "EVERYBODY",
    "People",
    "Queue",
    "Simulated",
    "Station",
    "closed",
    "multi_server",
    "simulate_closed",
    "simulate_due",
    "simulate_open",
    "single_server",
]

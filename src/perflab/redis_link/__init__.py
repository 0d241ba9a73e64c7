"""What every user of Redis shares: connections, scripts, batches of one tick, a circuit breaker.

``open_link`` connects to a server or a cluster, ``Batcher`` gathers what is asked within one tick
of the event loop, ``Circuit`` stops asking a server that fails and finds out when it is back.
``Guard`` puts the three together; ``insisting`` is for the few calls that must not fail silently.
"""

from perflab.redis_link.batch import Batcher, Outcome
from perflab.redis_link.breaker import Breaker
from perflab.redis_link.circuit import Circuit
from perflab.redis_link.guard import Guard, insisting
from perflab.redis_link.link import FAILURES, Link, RedisUrlError, open_client, open_link, reason
from perflab.redis_link.scripts import Argument, Command, Script
from perflab.redis_link.slots import by_slot, slot

__all__ = [
    "FAILURES",
    "Argument",
    "Batcher",
    "Breaker",
    "Circuit",
    "Command",
    "Guard",
    "Link",
    "Outcome",
    "RedisUrlError",
    "Script",
    "by_slot",
    "insisting",
    "open_client",
    "open_link",
    "reason",
    "slot",
]

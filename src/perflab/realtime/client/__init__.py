"""The client side of real time: subscriptions that outlive connections, hubs and outages."""

from perflab.realtime.client.client import RealtimeClient
from perflab.realtime.client.pool import ClientPool
from perflab.realtime.client.settings import ClientSettings
from perflab.realtime.client.states import Outage, State, Transition
from perflab.realtime.client.subscription import Subscription

__all__ = [
    "ClientPool",
    "ClientSettings",
    "Outage",
    "RealtimeClient",
    "State",
    "Subscription",
    "Transition",
]

"""The server side of real time: a process that holds WebSockets and fans channels out."""

from perflab.realtime.hub.server import Hub
from perflab.realtime.hub.settings import Authenticate, HubSettings
from perflab.realtime.hub.stats import HubStats

__all__ = ["Authenticate", "Hub", "HubSettings", "HubStats"]

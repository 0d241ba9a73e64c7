"""Loads of WebSockets described in files: connections that listen, and messages among them."""

from perflab.realtime.scenarios.figures import ERROR_KINDS, SocketFigures, SocketSecond
from perflab.realtime.scenarios.outcome import SocketProgress, SocketRun
from perflab.realtime.scenarios.run import run_sockets
from perflab.realtime.scenarios.scenario import SocketScenario, load_sockets
from perflab.realtime.scenarios.summary import SocketSummary, summarise_sockets

__all__ = [
    "ERROR_KINDS",
    "SocketFigures",
    "SocketProgress",
    "SocketRun",
    "SocketScenario",
    "SocketSecond",
    "SocketSummary",
    "load_sockets",
    "run_sockets",
    "summarise_sockets",
]

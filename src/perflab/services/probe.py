"""What ``perflab doctor`` says about one service and one rung."""

from __future__ import annotations

import msgspec

from perflab.services.addresses import Rung, ServiceName


class Probe(msgspec.Struct, frozen=True):
    """Whether a rung can give a service, why, and what to do about it."""

    service: ServiceName
    rung: Rung
    available: bool = False
    version: str = ""
    path: str = ""
    reason: str = ""
    advice: str = ""
    insists: bool = False
    """Whether the user named this rung's server, so that ``auto`` never passes over it."""
    missing: str = ""
    """The image that has to be fetched first; empty where nothing is missing."""

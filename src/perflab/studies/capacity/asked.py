"""What an analyst asks for: how many people, and at which prices."""

from __future__ import annotations

from pathlib import Path

from perflab.capacity.cost import Pricing, load_pricing
from perflab.capacity.queues import People
from perflab.errors import ParameterError
from perflab.parameters import CapacityParameters, Common


def people_of(parameters: Common) -> People:
    """The people of the notebook's parameters."""
    asked = _own(parameters)
    return People(
        daily_users=asked.daily_users,
        sessions_per_user=asked.sessions_per_user,
        session_s=asked.session_s,
        think_s=asked.think_s,
        busiest=asked.busiest,
    )


def prices_of(parameters: Common) -> Pricing:
    """The prices of the notebook's parameters; a ConfigError names what is wrong in a file."""
    asked = _own(parameters)
    return load_pricing(Path(asked.pricing) if asked.pricing else None)


def _own(parameters: Common) -> CapacityParameters:
    if not isinstance(parameters, CapacityParameters):
        raise ParameterError("these are not the parameters of 07_capacity")
    return parameters

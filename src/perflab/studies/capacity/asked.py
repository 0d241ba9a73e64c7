"""What an analyst asks for: how many people, how many of them really, and at which prices."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from perflab.capacity.cost import Pricing, load_pricing
from perflab.capacity.queues import People
from perflab.errors import ParameterError
from perflab.parameters import CapacityParameters, Common
from perflab.profiles import CapacitySizes

PAUSES: Final = 6
"""How many pauses a crowd that was asked for is looked at."""


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


def sizes_of(sizes: CapacitySizes, parameters: Common) -> CapacitySizes:
    """The profile's, with the crowd that the parameters ask for.

    It is looked at for some pauses, as are the profile's, and as many users are signed in as the
    data has, so that nobody asks for more than the limiter grants.
    """
    asked = _own(parameters)
    if not asked.crowd:
        return sizes
    return msgspec.structs.replace(
        sizes,
        people=sorted({*(users for users in sizes.people if users < asked.crowd), asked.crowd}),
        people_s=max(sizes.people_s, PAUSES * asked.think_s),
        identities=max(sizes.identities, asked.crowd),
    )


def prices_of(parameters: Common) -> Pricing:
    """The prices of the notebook's parameters; a ConfigError names what is wrong in a file."""
    asked = _own(parameters)
    return load_pricing(Path(asked.pricing) if asked.pricing else None)


def _own(parameters: Common) -> CapacityParameters:
    if not isinstance(parameters, CapacityParameters):
        raise ParameterError("these are not the parameters of 07_capacity")
    return parameters

"""A mixing of 64-bit numbers in which every input bit moves every output bit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def mix(values: NDArray[np.uint64], seed: int = 0) -> NDArray[np.uint64]:
    """A one-to-one mapping of 64-bit numbers that looks random: splitmix64's (Vigna, 2015).

    Different seeds give different mappings.
    """
    with np.errstate(over="ignore"):
        z = values + np.uint64((0x9E3779B97F4A7C15 * (seed + 1)) & 0xFFFF_FFFF_FFFF_FFFF)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))

"""What identifies people and sessions: e-mail addresses and token hashes, computed from ids.

Computed and not drawn, so that a query parameter can name a row without looking it up.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from perflab.schema import vocabulary as words
from perflab.schema.distributions import mix
from perflab.schema.population import Ints, Population

_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)


def tokens(population: Population, session_ids: Ints) -> npt.NDArray[np.uint8]:
    """The token hash of each session as (n, 64) ASCII hex digits."""
    salt = population.seed * 4
    raw = np.stack([mix(session_ids, salt + part) for part in range(4)], axis=1)
    bytes_ = raw.astype(">u8").view(np.uint8)
    digits = np.empty((len(session_ids), 64), np.uint8)
    digits[:, 0::2] = _HEX[bytes_ >> 4]
    digits[:, 1::2] = _HEX[bytes_ & 15]
    return digits


def email(user: int) -> str:
    """The address of a user, as the user typed it when signing up."""
    first = words.FIRST_NAMES[user % 26]
    last = words.LAST_NAMES[(user * 7 // 26) % 26]
    host = words.MAIL_HOSTS[user % 3]
    if user % 11 == 0:
        first = first.capitalize()
    return f"{first}.{last}{user}@{host}"

"""XFetch: refresh an entry before it expires, earlier by chance, so that callers do not collide.

Vattani, Chierichetti, Lowenstein: Optimal Probabilistic Cache Stampede Prevention, PVLDB 8(8),
2015: refresh iff now - delta * beta * ln(U) >= expiry, with U uniform in (0, 1] and delta the
time that a load takes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

REACH: Final = 53 * math.log(2)
"""The largest value of -ln(U) when U has 53 bits: no refresh earlier than delta * beta * REACH."""


def is_due(remaining_s: float, load_s: float, beta: float, uniform: Callable[[], float]) -> bool:
    """Whether an entry that expires in ``remaining_s`` is to be refreshed now.

    ``uniform`` draws from [0, 1), as ``random.random`` does.
    """
    return -load_s * beta * math.log(1.0 - uniform()) >= remaining_s

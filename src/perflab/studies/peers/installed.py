"""The rivals that are installed here."""

from __future__ import annotations

from importlib import metadata

import pandas as pd

from perflab.parameters import RIVALS

BESIDE = ("perflab", "redis", "hiredis", "msgspec", "websockets", "uvloop")
"""What our side is made of, and what rivals share with it."""


def versions_frame() -> pd.DataFrame:
    """The library versions that the figures belong to; rivals must be installed."""
    names = [*RIVALS, *BESIDE]
    return pd.DataFrame({"library": names, "version": [metadata.version(n) for n in names]})

"""The garbage collector of a process that serves: out of the way of requests."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from typing import Final

YOUNG: Final = 50_000
"""Containers made and not yet freed before the collector looks at the young ones: some megabytes.
Requests leave nothing behind that counting references does not free, while Python's 700 are
reached by a few dozen requests under way, all of them alive."""


@contextlib.contextmanager
def rarely_collected() -> Iterator[None]:
    """Within the block, what is there already is not looked at, and what comes is more seldom."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()

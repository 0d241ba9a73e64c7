"""What the tests of the links share."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run(scenario: Coroutine[Any, Any, T]) -> T:
    """Run a scenario to its end, within a limit that only a defect reaches."""
    return asyncio.run(asyncio.wait_for(scenario, 120))

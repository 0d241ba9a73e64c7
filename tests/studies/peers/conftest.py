"""What needs the other libraries is skipped where they are not installed."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from perflab.parameters import RIVALS


@pytest.fixture
def rivals() -> None:
    # found, not imported: one of them patches the standard library when it is
    missing = [name for name, module in RIVALS.items() if find_spec(module) is None]
    if missing:
        pytest.skip(f"the extra `peers` is not installed (missing: {', '.join(missing)})")

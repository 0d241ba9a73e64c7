"""The offset of another's clock: its error is within the bound that comes with it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from perflab.load.distributed.clocks import offset_of

delays = st.floats(0.0, 0.1)


@given(skew=st.floats(-1e6, 1e6), ways=st.lists(st.tuples(delays, delays), min_size=1, max_size=9))
def test_error_is_within_its_bound_however_uneven_the_ways_are(
    skew: float, ways: list[tuple[float, float]]
) -> None:
    now = 50.0
    left = iter(ways)

    def ask() -> float:
        nonlocal now
        there, back = next(left)
        now += there
        read = now + skew
        now += back
        return read

    found = offset_of(ask, clock=lambda: now, probes=len(ways))
    assert abs(found.seconds - skew) <= found.uncertainty_s + 1e-8
    assert found.uncertainty_s <= min(there + back for there, back in ways) / 2 + 1e-9

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.redis_link import by_slot, slot

keys = st.text(alphabet="ab{}:%", min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("123456789", 0x31C3),  # the check value of CRC16/XMODEM, in the cluster specification
        ("foo", 12182),
        ("bar", 5061),
        ("foo{bar}{zap}", 5061),  # the first hash tag counts
        ("foo{}{bar}", 8363),  # an empty one does not
        ("{bar", 4015),
        ("foo{{bar}}zap", 4015),  # the tag is "{bar"
    ],
)
def test_slots_are_those_of_the_cluster_specification(name: str, expected: int) -> None:
    assert slot(name) == expected


@given(st.lists(keys, unique=True))
def test_groups_hold_every_name_once_and_share_a_slot(many: list[str]) -> None:
    groups = by_slot(many)
    assert sorted(name for group in groups for name in group) == sorted(many)
    slots = [{slot(name) for name in group} for group in groups]
    assert all(len(one) == 1 for one in slots)
    assert len(set().union(*slots)) == len(groups)

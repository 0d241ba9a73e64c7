from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.cache.entry import MAX_NAME_BYTES, CacheError, check_name, check_names
from perflab.cache.redis.keys import Keys, by_slot, slot

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


@given(keys)
def test_a_value_and_its_lease_share_a_slot_whatever_the_key(key: str) -> None:
    names = Keys("shop:")
    assert slot(names.value(key)) == slot(names.lease(key))


@given(st.lists(keys, unique=True, min_size=2))
def test_no_two_things_have_one_name(many: list[str]) -> None:
    names = Keys("shop:")
    all_names = [f(key) for key in many for f in (names.value, names.lease, names.tag)]
    all_names += [names.epoch, names.channel]
    assert len(set(all_names)) == len(all_names)


@given(st.lists(keys, unique=True))
def test_groups_hold_every_name_once_and_share_a_slot(many: list[str]) -> None:
    groups = by_slot(many)
    assert sorted(name for group in groups for name in group) == sorted(many)
    slots = [{slot(name) for name in group} for group in groups]
    assert all(len(one) == 1 for one in slots)
    assert len(set().union(*slots)) == len(groups)


@pytest.mark.parametrize("prefix", ["", "a{b", "a}", "tab\t"])
def test_a_prefix_that_would_move_slots_is_refused(prefix: str) -> None:
    with pytest.raises(CacheError, match="prefix"):
        Keys(prefix)


@pytest.mark.parametrize("name", ["a", "user:17", "ключ", "\N{NO-BREAK SPACE}", "é" * 256])
def test_usual_names_are_taken_as_they_are(name: str) -> None:
    assert check_name(name) is name


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("", "must not be empty"),
        ("a\nb", "control characters"),
        ("\x85", "control characters"),
        ("\ud800", "not valid Unicode"),
        ("é" * 257, f"514 bytes long, more than {MAX_NAME_BYTES}"),
        (b"key", "must be a string, not bytes"),
        (None, "must be a string, not NoneType"),
    ],
)
def test_a_name_that_cannot_be_one_is_refused_with_the_reason(name: object, complaint: str) -> None:
    with pytest.raises(CacheError, match=complaint):
        check_name(name)  # type: ignore[arg-type]


def test_names_are_sorted_once_each_and_not_a_string() -> None:
    assert check_names(["b", "a", "b"]) == ("a", "b")
    with pytest.raises(CacheError, match="must be a collection, not the string 'tasks'"):
        check_names("tasks", "tag")

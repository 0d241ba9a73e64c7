from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.cache.entry import MAX_NAME_BYTES, CacheError, check_name, check_names
from perflab.cache.redis.keys import Keys
from perflab.redis_link import slot

keys = st.text(alphabet="ab{}:%", min_size=1, max_size=8)


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

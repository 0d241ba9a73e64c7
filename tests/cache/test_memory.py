from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.cache.entry import ABSENT, CacheError, Entry, Invalidation
from perflab.cache.memory import ENTRY_OVERHEAD_BYTES, MemoryTier, Ticket, encoded_size


class Clocks:
    """A monotonic and a wall clock that tick together, 1,000,000 s apart."""

    def __init__(self) -> None:
        self.now = 50.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now + 1_000_000

    def entry(
        self, value: object = "v", *, ttl_s: float = 60, stale_s: float = 0, tags: str = ""
    ) -> Entry:
        expires_at = self.wall() + ttl_s
        return Entry(value, self.wall(), expires_at, expires_at + stale_s, tags=tuple(tags))

    def tier(self, *, max_bytes: int | None = None, max_marks: int = 10_000) -> MemoryTier:
        return MemoryTier(
            10,
            ttl_s=0.3,
            max_bytes=max_bytes,
            max_marks=max_marks,
            clock=self.monotonic,
            wall=self.wall,
        )


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


def test_an_entry_is_found_until_its_local_ttl_is_over(clocks: Clocks) -> None:
    tier = clocks.tier()
    entry = clocks.entry()
    assert tier.set("k", entry)
    clocks.now += 0.29
    assert tier.get("k") is entry
    clocks.now += 0.02
    assert tier.get("k") is None
    assert tier.get_stale("k") is None


def test_an_entry_that_expires_earlier_takes_its_local_copy_along(clocks: Clocks) -> None:
    tier = clocks.tier()
    tier.set("k", clocks.entry(ttl_s=0.1))
    clocks.now += 0.11
    assert tier.get("k") is None


def test_a_ttl_of_its_own_may_be_longer_or_shorter(clocks: Clocks) -> None:
    tier = clocks.tier()
    tier.set("long", clocks.entry(), ttl_s=5)
    tier.set("short", clocks.entry(), ttl_s=0.1)
    clocks.now += 0.2
    assert tier.get("short") is None
    clocks.now += 4.7
    assert tier.get("long") is not None


def test_an_entry_over_already_is_not_stored(clocks: Clocks) -> None:
    tier = clocks.tier()
    assert not tier.set("k", clocks.entry(ttl_s=0))
    assert tier.get("k") is None


@given(
    ttl_s=st.floats(-5, 5),
    stale_s=st.floats(0, 5),
    local_s=st.floats(0.01, 5),
    later_s=st.floats(0, 20),
)
def test_nothing_outlives_its_times(
    ttl_s: float, stale_s: float, local_s: float, later_s: float
) -> None:
    clocks = Clocks()
    tier = clocks.tier()
    entry = clocks.entry(ttl_s=ttl_s, stale_s=stale_s)
    tier.set("k", entry, ttl_s=local_s)
    clocks.now += later_s
    rounding = 1e-6
    if tier.get("k") is not None:
        assert later_s < min(local_s, ttl_s) + rounding
    if tier.get_stale("k") is not None:
        assert clocks.wall() < entry.stale_until + rounding
        assert later_s < local_s + stale_s + rounding
        # the allowance counts from the end of the local TTL, not of the entry's
    if later_s < min(local_s, ttl_s) - rounding:
        assert tier.get("k") is entry


def test_a_ttl_of_zero_means_not_here(clocks: Clocks) -> None:
    tier = clocks.tier()
    tier.set("k", clocks.entry())
    assert not tier.set("k", clocks.entry(stale_s=10), ttl_s=0)
    assert tier.get("k") is None
    assert tier.get_stale("k") is None


def test_a_stale_entry_is_kept_for_its_own_allowance(clocks: Clocks) -> None:
    tier = clocks.tier()
    entry = clocks.entry(ttl_s=60, stale_s=2)
    tier.set("k", entry)
    clocks.now += 2.29
    assert tier.get("k") is None
    assert tier.get_stale("k") is entry
    clocks.now += 0.02
    assert tier.get_stale("k") is None


def test_an_entry_that_came_stale_serves_as_stale_only(clocks: Clocks) -> None:
    tier = clocks.tier()
    entry = clocks.entry(ttl_s=-1, stale_s=3)
    assert tier.set("k", entry)
    assert tier.get("k") is None
    assert tier.get_stale("k") is entry
    clocks.now += 2.1
    assert tier.get_stale("k") is None


def test_a_negative_entry_is_an_entry(clocks: Clocks) -> None:
    tier = clocks.tier()
    tier.set("k", clocks.entry(ABSENT))
    found = tier.get("k")
    assert found is not None
    assert found.value is ABSENT


def test_invalidation_drops_keys_and_whatever_bears_a_tag(clocks: Clocks) -> None:
    tier = clocks.tier()
    tier.set("a", clocks.entry(tags="xy"))
    tier.set("b", clocks.entry(tags="y"))
    tier.set("c", clocks.entry(tags="z"))
    tier.set("d", clocks.entry())
    assert tier.invalidate(Invalidation(keys=("d", "unknown"), tags=("y", "none"))) == 3
    assert [key for key in "abcd" if tier.get(key)] == ["c"]
    assert tier.invalidate(Invalidation(everything=True)) == 1
    assert len(tier) == 0
    assert tier.stats().invalidated == 4


def test_an_entry_replaced_under_other_tags_is_not_dropped_by_its_old_ones(
    clocks: Clocks,
) -> None:
    tier = clocks.tier()
    tier.set("k", clocks.entry(tags="x"))
    tier.set("k", clocks.entry(tags="y"))
    assert tier.invalidate(Invalidation(tags=("x",))) == 0
    assert tier.invalidate(Invalidation(tags=("y",))) == 1


def test_evicted_entries_leave_nothing_in_the_index_of_tags(clocks: Clocks) -> None:
    tier = clocks.tier()
    for n in range(100):
        tier.set(f"k{n}", clocks.entry(tags=chr(200 + n)))
    assert len(tier) == 10
    assert len(tier._keys_by_tag) == 10


@pytest.mark.parametrize(
    "purge",
    [
        Invalidation(keys=("k",)),
        Invalidation(tags=("t",)),
        Invalidation(everything=True),
        Invalidation(keys=("other",), tags=("t",)),
    ],
)
def test_a_fill_that_began_before_a_purge_is_refused(clocks: Clocks, purge: Invalidation) -> None:
    tier = clocks.tier()
    ticket = tier.ticket()
    tier.invalidate(purge)
    assert not tier.set("k", clocks.entry(tags="st"), ticket=ticket)
    assert tier.get("k") is None
    assert tier.stats().refused == 1
    assert tier.set("k", clocks.entry(tags="st"), ticket=tier.ticket())


def test_a_fill_beside_an_unrelated_purge_is_accepted(clocks: Clocks) -> None:
    tier = clocks.tier()
    ticket = tier.ticket()
    tier.invalidate(Invalidation(keys=("t",), tags=("k",)))  # a key and a tag share no names
    assert tier.set("k", clocks.entry(tags="t"), ticket=ticket)


def test_a_refused_fill_leaves_the_newer_entry_alone(clocks: Clocks) -> None:
    tier = clocks.tier()
    early = tier.ticket()
    tier.invalidate(Invalidation(keys=("k",)))
    newer = clocks.entry("new")
    tier.set("k", newer, ticket=tier.ticket())
    assert not tier.set("k", clocks.entry("old"), ticket=early)
    assert tier.get("k") is newer


def test_clear_refuses_fills_in_flight(clocks: Clocks) -> None:
    tier = clocks.tier()
    ticket = tier.ticket()
    tier.clear()
    assert not tier.set("k", clocks.entry(), ticket=ticket)


@given(
    max_marks=st.integers(1, 4),
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("ticket"), st.just("")),
            st.tuples(st.sampled_from(["key", "tag", "all"]), st.sampled_from("abcdef")),
            st.tuples(st.just("fill"), st.sampled_from("abcdef")),
        ),
        max_size=40,
    ),
)
def test_bounded_memory_never_lets_a_purged_value_in(
    max_marks: int, steps: list[tuple[str, str]]
) -> None:
    """Against a model that remembers every purge: refusing too much is allowed, too little not."""
    clocks = Clocks()
    tier = clocks.tier(max_marks=max_marks)
    purges: list[tuple[str, str]] = []
    tickets: list[tuple[Ticket, int]] = [(tier.ticket(), 0)]
    for what, name in steps:
        if what == "ticket":
            tickets.append((tier.ticket(), len(purges)))
        elif what == "fill":
            for ticket, seen in tickets:
                since = purges[seen:]
                purged = any(p in (("key", name), ("tag", name)) or p[0] == "all" for p in since)
                accepted = tier.set(name, clocks.entry(tags=name), ticket=ticket)
                assert not (accepted and purged)
                if not since:
                    assert accepted
        else:
            purges.append((what, name))
            tier.invalidate(
                Invalidation(
                    keys=(name,) if what == "key" else (),
                    tags=(name,) if what == "tag" else (),
                    everything=what == "all",
                )
            )
        assert len(tier._key_marks) <= max_marks
        assert len(tier._tag_marks) <= max_marks


def test_lookups_add_up(clocks: Clocks) -> None:
    tier = clocks.tier()
    tier.set("k", clocks.entry())
    tier.get("k")
    tier.get("k")
    tier.get("none")
    clocks.now += 1
    tier.get("k")
    stats = tier.stats()
    assert (stats.hits, stats.misses, stats.expired) == (2, 2, 1)


def test_the_byte_budget_counts_encoded_values(clocks: Clocks) -> None:
    tier = clocks.tier(max_bytes=3 * (ENTRY_OVERHEAD_BYTES + 1000))
    for key in "abcd":
        assert tier.set(key, clocks.entry(b"x" * 1000))
    assert len(tier) == 3
    assert tier.stats().size_bytes == 3 * (ENTRY_OVERHEAD_BYTES + 1000)
    assert not tier.set("huge", clocks.entry(b"x" * 10_000))


@pytest.mark.parametrize(
    ("value", "size_bytes"),
    [
        (b"12345", 5),
        ("é", 3),
        ("\ud800", sys.getsizeof("\ud800")),
        ([1, 2, 3], 4),
        (ABSENT, len(b"\xa6absent")),
        (object, sys.getsizeof(object)),
    ],
)
def test_a_value_counts_as_large_as_its_encoding(value: object, size_bytes: int) -> None:
    assert encoded_size(Entry(value, 0, 1, 1)) == size_bytes + ENTRY_OVERHEAD_BYTES


@pytest.mark.parametrize("options", [{"ttl_s": 0}, {"ttl_s": -1}, {"max_marks": 0}])
def test_impossible_options_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(CacheError, match=next(iter(options))):
        MemoryTier(**options)  # type: ignore[arg-type]

"""Prices read or refused with one line, nodes counted with one lost, a month added up."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.capacity.cost import (
    Need,
    Node,
    Nodes,
    Spread,
    bill_of,
    cheapest,
    load_pricing,
    nodes_for,
    saving,
    spread_of,
)
from perflab.capacity.errors import CapacityError
from perflab.errors import ConfigError
from perflab.measure.statistics import Interval
from perflab.paths import data_dir

SHIPPED = (data_dir() / "pricing.toml").read_text(encoding="utf-8")
FLAT = """\
example = false
currency = "EUR"
region = "here"
date = 2026-02-03
source = "an offer"
hours_per_month = 700

[[node]]
name = "two"
vcpus = 2
memory_gb = 4
per_hour = { low = 0.1, expected = 0.2, high = 0.3 }

[database]
per_hour = { low = 1, expected = 2, high = 3 }
storage_per_gb_month = { low = 0.1, expected = 0.2, high = 0.3 }

[redis]
per_hour = { low = 0.5, expected = 0.5, high = 0.5 }

[egress]
free_gb = 100
per_gb = { low = 0.01, expected = 0.05, high = 0.1 }

[balancer]
per_hour = { low = 0, expected = 0, high = 0 }
per_gb = { low = 0, expected = 0.01, high = 0.01 }
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "pricing.toml"
    path.write_text(text, encoding="utf-8")
    return path


def spread(figure: float) -> Spread:
    return Spread(figure, figure, figure)


def node(vcpus: int, per_hour: float, name: str = "some") -> Node:
    return Node(name, vcpus, 4.0, spread(per_hour))


# --- the file ---


def test_the_shipped_prices_call_themselves_examples_and_say_whence_and_when() -> None:
    pricing = load_pricing()
    assert pricing.example
    assert pricing.about.startswith("example prices, to be replaced by yours: USD, ")
    assert "2026-01-01" in pricing.about
    assert "replaced" in SHIPPED.splitlines()[0]


def test_ones_own_prices_are_not_called_examples(tmp_path: Path) -> None:
    assert load_pricing(written(tmp_path, FLAT)).about == "EUR, here, 2026-02-03 (an offer)"


BAD = {
    "no price": ('currency = "EUR"', 'curency = "EUR"', "curency", "unknown field"),
    "left out": ("hours_per_month = 700\n", "", "the file", "missing required field `hours_per_m"),
    "an empty text": ('source = "an offer"', 'source = ""', "source", "length >= 1"),
    "a made-up currency": ('"EUR"', '"euros"', "currency", "three capital letters, such as EUR"),
    "a date that is a text": ("2026-02-03", '"last year"', "date", "date"),
    "too many hours": ("= 700", "= 8760", "hours_per_month", "<= 744"),
    "no hour at all": ("= 700", "= 0", "hours_per_month", "> 0"),
    "half a core": ("vcpus = 2", "vcpus = 0.5", "node.vcpus", "Expected `int`"),
    "no core": ("vcpus = 2", "vcpus = 0", "node.vcpus", ">= 1"),
    "a text for a price": (
        "low = 0.1, e",
        'low = "0.1", e',
        "node.per_hour.low",
        "Expected `float",
    ),
    "a price below nothing": ("low = 0.01", "low = -0.01", "egress.per_gb", "from 0 on"),
    "a price without end": ("low = 0.01", "low = inf", "egress.per_gb", "finite"),
    "turned about": ("expected = 0.05", "expected = 0.5", "egress.per_gb", "must not exceed"),
    "a price of two figures": (", high = 0.1 }", " }", "egress.per_gb", "`high`"),
    "a free node": (
        "{ low = 0.1, expected = 0.2, high = 0.3 }\n\n",
        "{ low = 0, expected = 0, high = 0 }\n\n",
        "node.per_hour",
        "must cost something",
    ),
    "a node twice": (
        "[database]",
        '[[node]]\nname = "two"\nvcpus = 4\nmemory_gb = 8\n'
        "per_hour = { low = 1, expected = 1, high = 1 }\n[database]",
        "node.name",
        "'two' stands here twice",
    ),
    "no node": ("[[node]]", "[nodes]", "nodes", "unknown field"),
    "one table for many": ("[[node]]", "[node]", "node", "Expected `array`"),
    "less than nothing free": ("free_gb = 100", "free_gb = -1", "egress.free_gb", ">= 0"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_one_line_with_file_line_key_and_reason(tmp_path: Path, case: str) -> None:
    old, new, key, reason = BAD[case]
    assert old in FLAT
    path = written(tmp_path, FLAT.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        load_pricing(path)
    said = str(caught.value)
    assert re.fullmatch(rf"{re.escape(str(path))}, line \d+, {re.escape(key)}: [^\n]+", said)
    assert reason in said


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"currency = ", "not valid TOML"),
        (b"\xff\xfe", "line 1: is not UTF-8 text"),
        (b'currency = "EUR"\n\nregion = "\xe9"\n', "line 3: is not UTF-8 text"),
        (None, "no such file"),
    ],
)
def test_a_file_that_is_none_is_one_line_too(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    path = tmp_path / "pricing.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=said) as caught:
        load_pricing(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


# --- nodes ---


def test_the_load_still_fits_when_a_node_is_lost() -> None:
    """1,000/s at 300/s a core: two nodes of two cores hold it, and a third stands by."""
    found = nodes_for(spread(1000), spread(300), node(2, 1.0))
    assert found.count == spread(3)
    assert nodes_for(spread(1000), spread(300), node(2, 1.0), lost=0).count == spread(2)


def test_a_load_that_fits_exactly_takes_no_node_more() -> None:
    assert nodes_for(spread(0.3), spread(0.1), node(1, 1.0), lost=0).count == spread(3)


def test_few_nodes_follow_from_little_load_and_fast_cores() -> None:
    found = nodes_for(Spread(900, 1000, 1100), Spread(250, 400, 500), node(1, 1.0), lost=0)
    assert found.count == Spread(2, 3, 5)


@given(
    load=st.floats(0.1, 1e5),
    core=st.floats(1, 5e3),
    vcpus=st.integers(1, 64),
    lost=st.integers(0, 3),
)
def test_after_the_loss_the_nodes_suffice_and_one_less_would_not(
    load: float, core: float, vcpus: int, lost: int
) -> None:
    count = nodes_for(spread(load), spread(core), node(vcpus, 1.0), lost=lost).count.expected
    left = count - lost
    assert left * core * vcpus >= load * (1 - 1e-6)
    assert left == 1 or (left - 1) * core * vcpus < load * (1 + 1e-6)


def test_the_cheapest_size_depends_on_what_a_lost_node_costs() -> None:
    small, large = node(1, 1.0, "small"), node(4, 3.9, "large")
    assert cheapest(spread(800), spread(100), [small, large]).node is small  # 9 against 3 x 3.9
    assert cheapest(spread(800), spread(100), [small, large], lost=0).node is large  # 8, 2 x 3.9
    even = node(2, 2.0, "even")
    assert cheapest(spread(800), spread(100), [small, even], lost=0).node is even


def test_a_core_that_holds_nothing_and_no_sizes_are_refused() -> None:
    with pytest.raises(CapacityError, match="core_rps=0"):
        nodes_for(spread(10), Spread(0, 1, 2), node(1, 1.0))
    with pytest.raises(CapacityError, match="lost=-1"):
        nodes_for(spread(10), spread(1), node(1, 1.0), lost=-1)
    with pytest.raises(CapacityError, match="sizes: at least one"):
        cheapest(spread(10), spread(1), [])


# --- the month ---


def need(count: Spread, out_gb: Spread, stored_gb: float = 50, users: float = 10_000) -> Need:
    two = Node("two", 2, 4.0, Spread(0.1, 0.2, 0.3))
    return Need(nodes=Nodes(two, count), out_gb=out_gb, stored_gb=spread(stored_gb), users=users)


def test_a_month_adds_up(tmp_path: Path) -> None:
    """By hand: nodes 2·0.1·700, 3·0.2·700, 4·0.3·700; PostgreSQL 700·1, 2, 3; storage 50·0.1,
    0.2, 0.3; Redis 350; balancer 0, 300·0.01, 500·0.01; egress 0, 200·0.05, 400·0.1."""
    pricing = load_pricing(written(tmp_path, FLAT))
    bill = bill_of(need(Spread(2, 3, 4), Spread(50, 300, 500)), pricing)
    amounts = {line.item: line.amount for line in bill.lines}
    assert amounts["egress beyond what is free"] == Spread(0, 10, 40)
    assert bill.total.low == pytest.approx(140 + 700 + 5 + 350)
    assert bill.total.expected == pytest.approx(420 + 1400 + 10 + 350 + 3 + 10)
    assert bill.total.high == pytest.approx(840 + 2100 + 15 + 350 + 5 + 40)
    assert bill.per_1000_users.expected == pytest.approx(2193 / 10)
    assert bill.currency == "EUR"


def test_what_is_saved_is_the_difference_and_may_be_a_loss(tmp_path: Path) -> None:
    pricing = load_pricing(written(tmp_path, FLAT))
    out = spread(0)
    many = bill_of(need(spread(9), out), pricing)
    few = bill_of(need(spread(2), out), pricing)
    assert saving(many, few) == pytest.approx((490, 980, 1470))
    assert saving(few, many) == pytest.approx((-490, -980, -1470))


def test_a_month_without_users_has_no_price_a_user() -> None:
    with pytest.raises(CapacityError, match="users=0"):
        bill_of(need(spread(1), spread(0), users=0), load_pricing())


def test_an_interval_becomes_a_spread_that_is_not_below_0() -> None:
    assert spread_of(Interval(2.0, -1.0, 3.0)) == Spread(0.0, 2.0, 3.0)
    assert spread_of(5.0) == Spread(5.0, 5.0, 5.0)

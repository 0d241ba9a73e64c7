"""docs/capacity.md: its examples give what it says; its rules and keys are those of the code."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import msgspec
import pytest

from perflab.capacity.cost.pricing import Balancer, Database, Egress, Node, Pricing, Redis
from perflab.capacity.recommend.rules import RULES

PAGE = Path(__file__).parents[2] / "docs" / "capacity.md"


def test_its_examples_give_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PAGE.parents[1])
    outcome = doctest.testfile(str(PAGE), module_relative=False)
    assert outcome.attempted >= 10
    assert outcome.failed == 0


def test_it_names_every_rule() -> None:
    rows = re.findall(r"^\| ([a-z ]+) \| .* \| .* \|$", PAGE.read_text(), re.MULTILINE)
    named = {row.replace(" ", "_") for row in rows}
    assert {rule.__name__.replace("own_machines", "machines_of_their_own") for rule in RULES} <= (
        named
    )


def test_it_names_every_key_of_a_file_of_prices() -> None:
    text = PAGE.read_text()
    for type_ in (Pricing, Node, Database, Redis, Egress, Balancer):
        for field in msgspec.structs.fields(type_):
            assert re.search(rf"[`.\[]{field.name}[`.\]]", text), field.name

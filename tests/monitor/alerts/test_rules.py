"""The rules file: what is shipped, and one clear line for each kind of mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from perflab.errors import ConfigError
from perflab.monitor.alerts import load_rules
from perflab.paths import data_dir

BAD = sorted((Path(__file__).parent / "bad").glob("*.toml"))

NO_FAULTS = {"CacheHitRatioLow"}
"""Told later than a fault: every cache starts empty, and must be given time to fill."""


def test_the_shipped_rules_are_usable_and_shorter_in_the_lab() -> None:
    rules = load_rules(data_dir() / "alerts.toml")
    assert len({rule.name for rule in rules}) == len(rules) > 10
    for rule in rules:
        assert rule.for_s.lab <= rule.for_s.production, rule.name
        if rule.window is not None:
            # four scrapes in the lab and in production
            assert 2.0 <= rule.window.lab <= 4.0 <= 60.0 <= rule.window.production, rule.name
        if rule.name not in NO_FAULTS:
            assert rule.for_s.lab + (rule.window.lab if rule.window else 0.0) < 5.0, rule.name


@pytest.mark.parametrize("path", BAD, ids=[path.stem for path in BAD])
def test_a_mistake_is_one_line_that_names_file_rule_key_and_reason(path: Path) -> None:
    expected = path.read_text().splitlines()[0].removeprefix("# expected: ")
    with pytest.raises(ConfigError) as caught:
        load_rules(path)
    said = str(caught.value)
    assert "\n" not in said
    assert said.startswith(str(path))
    assert expected in said
    if "[[alert]]" in path.read_text():
        assert "(rule '" in said


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"alerts\.toml: no such file"):
        load_rules(tmp_path / "alerts.toml")

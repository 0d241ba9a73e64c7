"""The scorecard in a terminal."""

from __future__ import annotations

import io

import pandas as pd
import pytest
from rich.console import Console

from perflab.report.console import print_scorecard

MET = {
    "claim": "api.rps",
    "promise": "at least 10 requests/s",
    "shown": "12 [11, 13]",
    "unit": "requests/s",
    "verdict": "met",
    "reason": "",
}
OPEN = {**MET, "claim": "api.latency", "verdict": "not measured"}


@pytest.mark.parametrize(("rows", "table"), [([MET, OPEN], True), ([OPEN], False)])
def test_there_is_a_table_only_of_what_was_measured(
    rows: list[dict[str, str]], *, table: bool
) -> None:
    said = io.StringIO()
    print_scorecard(Console(file=said, width=120), pd.DataFrame(rows))
    assert ("12 [11, 13] requests/s" in said.getvalue()) == table
    assert ("Scorecard" in said.getvalue()) == table
    assert "1 claim is not measured yet" in said.getvalue()

"""From which size on a claim is true."""

from __future__ import annotations

import pandas as pd
import pytest

from perflab.studies.database.scaling import sizes_where_true


def frame(reductions: list[tuple[float, float]]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "category": "tasks",
            "rows": [100, 10_000, 1_000_000],
            "reduction": [estimate for estimate, _ in reductions],
            "reduction_lo": [lo for _, lo in reductions],
        }
    )


def test_the_smallest_size_whose_whole_interval_reaches_the_claim() -> None:
    found = sizes_where_true(frame([(60, 50), (86, 80), (95, 90)]), {"tasks": 85}).iloc[0]
    assert found["smallest_rows"] == 1_000_000
    # 25 of the 26 points between 60 and 86, on a logarithmic scale
    assert found["about_rows"] == pytest.approx(100 * 100 ** (25 / 26), rel=0.01)


def test_a_claim_that_never_holds_has_no_size() -> None:
    found = sizes_where_true(frame([(10, 5), (20, 15), (30, 25)]), {"tasks": 85}).iloc[0]
    assert found["smallest_rows"] is pd.NA
    assert found["about_rows"] is pd.NA


def test_a_claim_that_always_holds_needs_no_crossing() -> None:
    found = sizes_where_true(frame([(90, 88), (95, 94), (97, 96)]), {"tasks": 85}).iloc[0]
    assert found["smallest_rows"] == 100
    assert found["about_rows"] is pd.NA

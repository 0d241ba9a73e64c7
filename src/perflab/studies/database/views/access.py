"""Pages and filters: what depth and selectivity do."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from perflab.report import plots
from perflab.report.not_run import or_not_run
from perflab.report.tables import Column, Table, build
from perflab.studies.database.views.columns import AA, LATENCIES, REDUCTION


@or_not_run
def paging_plot(paging: pd.DataFrame) -> Figure:
    """Latency against depth."""
    return plots.curves(
        _by_arm(paging, "page", {"before": "offset", "after": "keyset"}),
        x="page",
        y="ms",
        hue="arm",
        log="xy",
        title="A keyset page costs the same at any depth; an OFFSET page does not",
        x_label="page number",
        y_label="mean latency (ms)",
    )


@or_not_run
def paging_table(paging: pd.DataFrame) -> Table:
    """OFFSET and keyset by page."""
    return build(
        paging,
        [
            Column("page", "page"),
            Column("before", "OFFSET (ms)", 2, interval=True),
            Column("after", "keyset (ms)", 2, interval=True),
            Column("ratio", "keyset/OFFSET", 3, interval=True),
            AA,
        ],
        title="Pages of 20 rows",
    )


@or_not_run
def filtering_plot(filtering: pd.DataFrame) -> Figure:
    """Latency against the share of rows that match."""
    shares = filtering.dropna(subset=["share_percent"])
    return plots.curves(
        _by_arm(shares, "share_percent", {"before": "before", "after": "after"}),
        x="share_percent",
        y="ms",
        hue="arm",
        log="xy",
        title="The more rows match, the less an index helps",
        x_label="rows that match (% of the table)",
        y_label="mean latency (ms)",
    )


@or_not_run
def filtering_table(filtering: pd.DataFrame) -> Table:
    """Both arms by share, with the plan chosen after."""
    return build(
        filtering,
        [
            Column("filter", "rows that match"),
            *LATENCIES,
            REDUCTION,
            Column("plan", "plan after"),
        ],
        title="Filtering by selectivity",
    )


def _by_arm(frame: pd.DataFrame, x: str, names: Mapping[str, str]) -> pd.DataFrame:
    """One row an arm and ``x`` instead of one column an arm, as curves are drawn."""
    return pd.concat(
        [
            frame[[x, arm, f"{arm}_lo", f"{arm}_hi"]]
            .set_axis([x, "ms", "ms_lo", "ms_hi"], axis="columns")
            .assign(arm=name)
            for arm, name in names.items()
        ]
    )

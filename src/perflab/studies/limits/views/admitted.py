"""What the algorithms admit, as tables and a plot."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from perflab.report import plots
from perflab.report.tables import Column, Table, build
from perflab.studies.limits.admission import AT_ONCE_S, Admission

LAPSE = "Time lapse: the real Redis decides, the time of each request is an argument."


def admission_table(admission: Admission) -> Table:
    """The worst that each algorithm admits: as derived, and as measured."""
    frame = admission.frame()
    policy = admission.policies[0]
    exact = frame[frame["window"] <= frame["limit"]]["algorithm"]
    return build(
        frame.assign(over_percent=100 * (frame["window"] / frame["limit"] - 1)),
        [
            Column("algorithm", "algorithm"),
            Column("promised", "derived: at most in any window"),
            Column("window", "measured: most in a window"),
            Column("at_once", f"most within {AT_ONCE_S:g} s"),
            Column("over_percent", "over the limit (%)", 0),
            Column("admitted", "admitted in all"),
            Column("asked", "asked"),
        ],
        title=f"Of a limit of {policy.limit} in {policy.period_s / 60:g} minutes, only"
        f" {_listed(list(exact))} admits no more",
        subtitle="A client that bursts around the boundary of two windows and then goes on."
        f" {LAPSE}",
    )


def admission_plot(admission: Admission) -> Figure:
    """Units admitted within the last period, over time."""
    policy = admission.policies[0]
    worst = max(admission.frame().to_dict("records"), key=lambda row: row["at_once"])
    return plots.steps(
        admission.curves(),
        x="minutes",
        y="units",
        hue="algorithm",
        title=f"A boundary burst: {worst['algorithm']} admits {worst['at_once']} at once where"
        f" {policy.limit} are allowed",
        x_label="minutes from the boundary of two windows (time lapse)",
        y_label=f"admitted within the last {policy.period_s / 60:g} minutes",
        reference=policy.limit,
        reference_label=f"allowed: {policy.limit}",
    )


def over_admission_table(recount: pd.DataFrame) -> Table:
    """Every decision beside that of an exact limit."""
    exact = recount.groupby("algorithm", sort=False)["over"].sum()
    never = [str(name) for name, over in exact.items() if over == 0]
    return build(
        recount,
        [
            Column("traffic", "traffic"),
            Column("algorithm", "algorithm"),
            Column("asked", "asked"),
            Column("admitted", "admitted"),
            Column("over", "over-admitted"),
            Column("needless", "refused though there was room"),
            Column("worst_percent", "most in a window (% of the limit)", 0),
        ],
        title=f"Against a recount of every decision, {_listed(never)} over-admits nothing",
        subtitle="The oracle counts all earlier admissions of the last period again for each"
        f" request. {LAPSE} The last four rows are in real time.",
    )


def _listed(names: list[str]) -> str:
    return " and ".join(names) if names else "none"

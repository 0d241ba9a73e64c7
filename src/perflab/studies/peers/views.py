"""Contests as tables and plots."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from perflab.report import plots
from perflab.report.tables import Column, Table, build
from perflab.studies.frames import triple
from perflab.studies.peers.contest import Contest


def contest_frame(contests: Sequence[Contest]) -> pd.DataFrame:
    """One row a contest: both sides' time for a request in microseconds, and the lead of ours."""
    return pd.DataFrame(
        [
            {
                "work": contest.work,
                "rival": contest.rival,
                **triple("rival_us", contest.rival_us),
                **triple("ours_us", contest.ours_us),
                **triple("times_faster", contest.times_faster),
                **triple("aa", contest.aa),
                "yardstick": contest.yardstick,
                "requests": contest.comparison.n * contest.requests,
                "blocks": contest.comparison.blocks,
            }
            for contest in contests
        ]
    )


def contest_table(
    contests: Sequence[Contest], *, title: str, subtitle: str = "", one: str = "get"
) -> Table:
    """Every contest of a section; ``one`` is what a request is called there."""
    return build(
        contest_frame(contests),
        [
            Column("work", "work"),
            Column("rival", "against"),
            Column("rival_us", f"its µs a {one}", interval=True),
            Column("ours_us", f"our µs a {one}", interval=True),
            Column("times_faster", "times faster", 2, interval=True),
            Column("aa", "A/A ratio", 2, interval=True),
        ],
        title=title,
        subtitle=subtitle,
    )


def lead_plot(contests: Sequence[Contest], *, title: str) -> Figure:
    """How many times faster ours is than every rival; yardsticks are left out."""
    frame = contest_frame([contest for contest in contests if not contest.yardstick])
    frame["label"] = frame["work"] + ", " + frame["rival"]
    return plots.bars(
        frame,
        label="label",
        value="times_faster",
        title=title,
        x_label="times faster (95 % interval)",
    )

"""Promises, people, money and advice as tables; sliders where somebody is there to move them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Final

import pandas as pd

from perflab.capacity.cost import Pricing
from perflab.capacity.queues import People
from perflab.capacity.recommend import Recommendation
from perflab.measure.claims import Claims
from perflab.measure.results import Result
from perflab.measure.statistics import Interval, NotEstimable
from perflab.report.not_run import NotRun, or_not_run
from perflab.report.tables import Column, Table, build
from perflab.runs import SERVICES_VARIABLE
from perflab.studies.capacity import verdicts
from perflab.studies.capacity.advice import advice_frame
from perflab.studies.capacity.crowds import Crowds
from perflab.studies.capacity.ladder import Ladder
from perflab.studies.capacity.money import Basis, bill_frame, month, savings_frame
from perflab.studies.promised import verdict_view

_SESSION: Final = "JPY_SESSION_NAME"
"""Set by a Jupyter server in the kernels that somebody opened; papermill and nbval set it not."""


def people_table(people: People) -> Table:
    """From people to requests."""
    rows = [
        ("users a day", people.daily_users),
        ("sessions of each", people.sessions_per_user),
        ("length of a session (s)", people.session_s),
        ("busiest hour over average", people.busiest),
        ("pause between requests (s)", people.think_s),
        ("users at once in the busiest hour", round(people.concurrent)),
        ("requests/s they make", round(people.arrival_rps(), 1)),
    ]
    return build(
        pd.DataFrame(rows, columns=["what", "value"]),
        [Column("what", "what"), Column("value", "value")],
        title="From people to requests",
        subtitle="Little's law twice: users = sessions a second × length, requests/s = users /"
        " (pause + response); the response is left out, which is the harder reading.",
    )


def promises_table(
    claims: Claims, crowds: Crowds, ladder: Ladder, core: Interval | NotEstimable
) -> Table | NotRun:
    """The plan's two rows, measured and extrapolated apart."""
    frame = verdicts.rows_frame(claims, crowds, ladder, core)
    if frame.empty:
        return NotRun("promises", "the claims file has none about users or requests a second")
    return build(
        frame,
        [
            Column("what", "the plan says"),
            Column("promise", "judged as"),
            Column("measured", "measured"),
            Column("extrapolated", "extrapolated"),
        ],
        title="What was measured, and what follows from it",
    )


def verdict_table(results: Sequence[Result], claims: Claims) -> Table | NotRun:
    """Every claim of the notebook."""
    return verdict_view(verdicts.verdict_frame(results, claims), "capacity")


@or_not_run
def bill_table(basis: Basis, people: People, pricing: Pricing, lost: int = 1) -> Table:
    """A month."""
    bill = month(basis, people, pricing, lost=lost)
    columns = [Column("item", "item"), Column("unit", "unit")]
    for name, digits in (("quantity", 0), ("amount", 2)):
        columns += [
            Column(f"{name}_{end}", f"{name}, {end}", digits) for end in ("low", "expected", "high")
        ]
    return build(
        bill_frame(bill),
        columns,
        title=f"A month for {people.daily_users:,.0f} users a day, in {bill.currency}",
        subtitle=f"With {lost} node(s) to lose. {pricing.about}.",
    )


@or_not_run
def savings_table(basis: Basis, people: People, pricing: Pricing) -> Table:
    """What indexes and cache save."""
    ends = ("low", "expected", "high")
    return build(
        savings_frame(basis, people, pricing),
        [
            Column("arm", "with"),
            Column("core_rps", "a core holds (1/s)", 0),
            Column("nodes", "nodes", 0),
            Column("node", "of"),
            *(Column(f"amount_{end}", f"a month, {end}", 0) for end in ends),
            *(Column(f"saves_{end}", f"saved by everything, {end}", 0) for end in ends),
        ],
        title=f"What indexes and cache save a month, in {pricing.currency}",
        subtitle="What a core holds is scaled by the throughput measured with and without them."
        f" {pricing.about}.",
    )


@or_not_run
def advice_table(advice: tuple[Recommendation, ...]) -> Table | NotRun:
    """Recommendations."""
    if not advice:
        return NotRun("recommendations", "no figure speaks for a change")
    return build(
        advice_frame(advice),
        [
            Column("what", "what"),
            Column("because", "because"),
            Column("gain_percent", "gain, at most (%)", 0),
            Column("days", "days (assumed)", 1),
            Column("value", "gain a day (%)", 0),
            Column("verify", "how to verify"),
        ],
        title="What to do, the most gain for a day's work first",
    )


def live() -> bool:
    """Whether somebody sits before the notebook."""
    return _SESSION in os.environ and SERVICES_VARIABLE not in os.environ


def explorer(basis: Basis | NotRun, people: People, pricing: Pricing) -> Any:
    """The month's table; in a live notebook with sliders for people and for lost nodes."""
    if isinstance(basis, NotRun) or not live():
        return bill_table(basis, people, pricing)
    return _with_sliders(basis, people, pricing)


def _with_sliders(basis: Basis, people: People, pricing: Pricing) -> Any:
    import ipywidgets  # neither of them is needed where nobody moves a slider
    from IPython.display import display

    def show(daily_users: int, sessions: float, pause_s: float, lost: int) -> None:
        changed = People(
            daily_users=daily_users,
            sessions_per_user=sessions,
            session_s=people.session_s,
            think_s=pause_s,
            busiest=people.busiest,
        )
        display(bill_table(basis, changed, pricing, lost))

    later = {"continuous_update": False}
    users = int(people.daily_users)
    return ipywidgets.interactive(
        show,
        daily_users=ipywidgets.IntSlider(users, 1, 10 * users, max(1, users // 100), **later),
        sessions=ipywidgets.FloatSlider(people.sessions_per_user, min=0.5, max=20, **later),
        pause_s=ipywidgets.FloatSlider(people.think_s, min=0.5, max=60, step=0.5, **later),
        lost=ipywidgets.IntSlider(1, 0, 3, 1, **later),
    )

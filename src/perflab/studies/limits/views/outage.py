"""What an outage of Redis does to limits, as a table and a timeline."""

from __future__ import annotations

from matplotlib.figure import Figure

from perflab.report import plots
from perflab.report.not_run import or_not_run
from perflab.report.tables import Column, Table, build
from perflab.studies.limits.outage import LIMIT_RPS, RECOVERY_S, LimiterOutage


@or_not_run
def outage_table(outage: LimiterOutage) -> Table:
    """Each failure mode before, meanwhile and after."""
    start, end = outage.away
    return build(
        outage.frame(),
        [
            Column("mode", "on_outage"),
            Column("before_per_s", "passed before (/s)", 1),
            Column("away_per_s", "without Redis (/s)", 1),
            Column("away_429", "refused 429"),
            Column("away_503", "refused 503"),
            Column("after_per_s", "by Redis again (/s)", 1),
            Column("again_s", f"again after (s); promised: {RECOVERY_S:g}", 2),
            Column("slowest_ms", "slowest check (ms)", 0),
        ],
        title=f"Redis away for {end - start:.1f} s: {outage.failed or 'no'} check raised an error",
        subtitle=f"A limit of {LIMIT_RPS} a second, asked for three times as often. In this"
        f" outage {outage.cause}.",
    )


@or_not_run
def outage_plot(outage: LimiterOutage) -> Figure:
    """Requests that passed, over time."""
    if outage.recovered_s is None:
        back = "Redis did not decide again within the run"
    else:
        back = f"Redis decides again {outage.recovered_s:.1f} s after it is back"
    return plots.steps(
        outage.rates(),
        x="at_s",
        y="per_s",
        hue="mode",
        title=f"Each policy fails its own way; {back}",
        x_label="seconds since the start",
        y_label="passed (requests/s)",
        reference=LIMIT_RPS,
        reference_label=f"allowed: {LIMIT_RPS}/s",
        outages=[outage.away],
    )

"""Advice as tables: what is chosen, what it saves and costs, what was rejected and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from perflab.advisor.advice import Advice
from perflab.advisor.candidates import Candidate
from perflab.advisor.existing import Idle
from perflab.advisor.proof import Proof
from perflab.measure.comparison import compare
from perflab.measure.metrics import reduction_percent
from perflab.measure.statistics import Estimate, Interval
from perflab.report import plots
from perflab.report.not_run import NotRun
from perflab.report.tables import Column, Table, build
from perflab.studies.advisor.proving import LEAST_SHARE_PERCENT, MOST_RATIO, Rivalry
from perflab.studies.advisor.views.words import word
from perflab.studies.frames import comparison_row, triple

_KIB = 1024
_SHOWN = 12


def estimate_table(advice: Advice) -> Table:
    """The choice before anything is measured."""
    selection = advice.selection
    saved = 100 * (1 - selection.cost_after / selection.cost_before) if selection.cost_before else 0
    frame = pd.DataFrame(
        [
            {
                "index": _definition(choice.candidate),
                "kind": choice.candidate.kind,
                "serves": ", ".join(choice.serves),
                "saves_percent": choice.saves_percent,
                "kib": choice.size_bytes / _KIB,
            }
            for choice in selection.chosen
        ],
        columns=["index", "kind", "serves", "saves_percent", "kib"],
    )
    return build(
        frame,
        [
            Column("index", "index"),
            Column("kind", "kind"),
            Column("serves", "serves"),
            Column("saves_percent", "saves (% of the workload's cost)", 1),
            Column("kib", "size (KiB)", 0),
        ],
        title=f"{len(frame)} of {advice.candidates} candidates chosen, {saved:.0f} % of the"
        " planner's cost gone",
        subtitle="Estimated, not measured. Saved: what leaving out this one alone would cost.",
    )


def rejected_table(advice: Advice) -> Table:
    """Why the other candidates were not chosen, with an example of each reason."""
    reasons = Counter(_general(one.reason) for one in advice.selection.rejected)
    examples = {_general(one.reason): one for one in reversed(advice.selection.rejected)}
    frame = pd.DataFrame(
        [
            {"reason": r, "candidates": n, "example": _definition(examples[r].candidate)}
            for r, n in reasons.most_common()
        ],
        columns=["reason", "candidates", "example"],
    )
    return build(
        frame,
        [
            Column("reason", "rejected because"),
            Column("candidates", "candidates"),
            Column("example", "one of them"),
        ],
        title=f"{len(advice.selection.rejected)} candidates rejected",
    )


def proof_table(proof: Proof) -> Table:
    """Every index of the advice, measured: what it serves and what it costs."""
    frame = pd.DataFrame(
        [
            {
                "ddl": proved.choice.candidate.spec().ddl,
                "faster": ", ".join(proved.faster),
                **triple(
                    "reduction",
                    max(
                        (_reduction(proof, name) for name in proved.faster),
                        key=lambda e: e.estimate if isinstance(e, Interval) else -1e9,
                    ),
                ),
                "kib": proved.built.size_bytes / _KIB,
                "wal_kib": proved.built.wal_bytes / _KIB,
            }
            for proved in proof.kept
        ],
        columns=[
            *("ddl", "faster", "reduction", "reduction_lo", "reduction_hi", "kib", "wal_kib"),
        ],
    )
    return build(
        frame,
        [
            Column("ddl", "statement"),
            Column("faster", "measurably faster"),
            Column("reduction", "the best of them by (%)", 1, interval=True),
            Column("kib", "size (KiB)", 0),
            Column("wal_kib", "WAL of the build (KiB)", 0),
        ],
        title=f"{len(frame)} indexes proved, {len(proof.dropped)} dropped for want of proof",
        subtitle="Faster: the median's 95 % interval lies below that of the same query without.",
    )


def dropped_table(proof: Proof) -> Table | NotRun:
    """What was chosen by its cost and did not hold when measured."""
    if not proof.dropped:
        return NotRun("dropped indexes", "everything chosen held when it was measured")
    frame = pd.DataFrame(
        [{"index": _definition(d.candidate), "reason": d.reason} for d in proof.dropped]
    )
    return build(
        frame,
        [Column("index", "index"), Column("reason", "dropped because")],
        title=f"{len(frame)} chosen indexes did not hold when measured",
    )


def statements_plot(proof: Proof) -> Figure:
    """Every statement before and after."""
    frame = pd.DataFrame(
        [{"label": name, **comparison_row(c)} for name, c in proof.by_statement.items()]
    )
    overall = reduction_percent(compare(proof.samples).mean)
    shown = f"{overall.estimate:.0f} % less time" if isinstance(overall, Interval) else "measured"
    return plots.before_after(frame, title=f"The advice: {shown} for the whole workload")


def writes_table(proof: Proof) -> Table | NotRun:
    """What writers pay."""
    if not proof.writes:
        return NotRun("what writers pay", "no index was kept")
    frame = pd.DataFrame(
        [
            {
                "table": cost.table,
                **comparison_row(cost.comparison),
                "wal_before": cost.wal_before,
                "wal_after": cost.wal_after,
                "hot_before": 100 * cost.hot_before.mean,
                "hot_after": 100 * cost.hot_after.mean,
                "no_longer": ", ".join(cost.no_longer_hot) or "none",
            }
            for cost in proof.writes
        ]
    )
    return build(
        frame,
        [
            Column("table", "rows replaced in"),
            Column("before", "before (ms)", 2, interval=True),
            Column("after", "after (ms)", 2, interval=True),
            Column("ratio", "after/before", 2, interval=True),
            Column("aa", "A/A ratio", 2, interval=True),
            Column("wal_before", "WAL a row before (B)", 0),
            Column("wal_after", "after (B)", 0),
            Column("hot_before", "HOT updates before (%)", 0),
            Column("hot_after", "after (%)", 0),
            Column("no_longer", "no longer HOT"),
        ],
        title="What writers pay: rows taken out and put in again",
        subtitle="Foreign keys are checked in both arms. Every row pays for each of its indexes."
        " HOT: heap-only (n_tup_hot_upd), each column updated alike, pages with room.",
    )


def rivalry_table(rivalry: Rivalry) -> Table:
    """The advice against the catalogue, by the study's own bar."""
    rows = [
        {
            "what": "share of the catalogue's reduction",
            "bar": f"at least {LEAST_SHARE_PERCENT:.0f} %",
            **triple("value", rivalry.share_percent),
            "verdict": word(rivalry.share_percent, LEAST_SHARE_PERCENT, at_least=True),
        },
        {
            "what": "typical statement, advice/catalogue",
            "bar": f"at most {MOST_RATIO:.2f}",
            **triple("value", rivalry.geometric),
            "verdict": word(rivalry.geometric, MOST_RATIO, at_least=False),
        },
        {
            "what": "indexes",
            "bar": f"at most {rivalry.catalogued}",
            **{f"value{end}": float(rivalry.advised) for end in ("", "_lo", "_hi")},
            "verdict": "met" if rivalry.advised <= rivalry.catalogued else "missed",
        },
    ]
    mib = (rivalry.advised_bytes / 2**20, rivalry.catalogued_bytes / 2**20)
    return build(
        pd.DataFrame(rows),
        [
            Column("what", "advice against catalogue"),
            Column("bar", "bar"),
            Column("value", "measured", interval=True),
            Column("verdict", "verdict"),
        ],
        title="The advice beside a catalogue written by hand",
        subtitle=f"{mib[0]:.1f} MiB of indexes against {mib[1]:.1f} MiB.",
    )


def rivals_plot(rivalry: Rivalry) -> Figure:
    """Every statement's ratio, advice over catalogue."""
    frame = pd.DataFrame(
        [
            {"label": name, "arm": "advice/catalogue", **triple("ratio", c.ratio.median)}
            for name, c in rivalry.by_statement.items()
        ]
    ).sort_values("ratio")
    far = np.abs(np.log(frame["ratio"])).nlargest(_SHOWN).index
    slower = int((frame["ratio_lo"] > 1).sum())
    quicker = int((frame["ratio_hi"] < 1).sum())
    return plots.ranges(
        frame[frame.index.isin(far)],
        label="label",
        value="ratio",
        hue="arm",
        title=f"Of {len(frame)} statements {quicker} are quicker with the advice, {slower} slower",
        x_label=f"median time, advice over catalogue; the {len(far)} furthest from 1",
    )


def idle_table(idle: Sequence[Idle]) -> Table | NotRun:
    """Indexes that are there and earn nothing."""
    if not idle:
        return NotRun("idle indexes", "every index that is there is used or keeps a promise")
    frame = pd.DataFrame(
        [
            {
                "index": one.name,
                "fault": one.fault,
                "reason": one.reason,
                "kib": one.size_bytes / _KIB,
                "ddl": one.ddl,
            }
            for one in idle
        ]
    )
    return build(
        frame,
        [
            Column("index", "index"),
            Column("fault", "fault"),
            Column("reason", "because"),
            Column("kib", "size (KiB)", 0),
            Column("ddl", "statement"),
        ],
        title=f"{len(frame)} indexes could go",
    )


def _definition(candidate: Candidate) -> str:
    return f"{candidate.table} {candidate.on}"


def _general(reason: str) -> str:
    """A reason without the name of another index, so that alike ones are counted together."""
    return reason if not reason.startswith("idx_") else f"another one {reason.partition(' ')[2]}"


def _reduction(proof: Proof, name: str) -> Estimate:
    return reduction_percent(proof.by_statement[name].median)

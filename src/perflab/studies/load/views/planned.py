"""The plan's scenarios as tables and plots."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pandas as pd
from matplotlib.figure import Figure

from perflab.load.scenarios import RunSummary
from perflab.measure.claims import Claims
from perflab.measure.results import Result
from perflab.measure.statistics import min_samples
from perflab.report import plots
from perflab.report.not_run import NotRun, or_not_run
from perflab.report.tables import Column, Table, build
from perflab.studies.load.connections import FILE, Crowd
from perflab.studies.load.planned import AS_PLANNED, PARTS, WIDENED, Trial, rate_of
from perflab.studies.load.verdicts import quota_text
from perflab.studies.load.views.sockets import sockets_table
from perflab.studies.load.views.summary import TIMES


def files_table() -> Table:
    """The scenario files: what they ask for; it changes only with them."""
    from perflab.config import read_toml

    rows = []
    for part in PARTS:
        raw = read_toml(part.path)
        steps = [request["name"] for flow in raw["flow"] for request in flow["request"]]
        rows.append(
            {
                "file": part.file,
                "users": raw["users"],
                "rate": raw["arrival"]["rate_per_s"],
                "steps": ", ".join(steps),
                "thresholds": "; ".join(raw["thresholds"]),
                "quota": part.limit,
            }
        )
    raw = read_toml(FILE)
    rows.append(
        {
            "file": FILE.name,
            "users": raw["connections"],
            "rate": raw["arrival"]["rate_per_s"],
            "steps": f"a message to one of {raw['channels']} channels",
            "thresholds": "; ".join(raw["thresholds"]),
            "quota": "none",
        }
    )
    columns = [Column("file", "scenario"), Column("users", "users"), Column("rate", "a second")]
    return build(
        pd.DataFrame(rows),
        [
            *columns,
            Column("steps", "requests"),
            Column("thresholds", "thresholds"),
            Column("quota", "quota"),
        ],
        title="The plan's scenarios as files",
    )


def quotas_frame(trials: Sequence[Trial]) -> pd.DataFrame:
    """One row a run: what was refused, and what was predicted."""
    rows = []
    for trial in trials:
        total, expected = trial.summary.total, trial.expected
        rows.append(
            {
                "scenario": trial.summary.title,
                "quotas": trial.quotas,
                "quota": quota_text(trial),
                "requests": total.requests,
                "refused": 100 * total.refused_share,
                "predicted": 0.0 if expected is None else 100 * expected.share,
                "long_run": 0.0 if expected is None else 100 * expected.long_run,
                "good_per_s": total.throughput_per_s,
                "errors": sum(total.errors.values()),
            }
        )
    return pd.DataFrame(rows)


def quotas_table(trials: Sequence[Trial]) -> Table:
    """Refused as measured, as predicted, and in the long run."""
    return build(
        quotas_frame(trials),
        [
            Column("scenario", "scenario"),
            Column("quotas", "quotas"),
            Column("quota", "of each user"),
            Column("requests", "sent"),
            Column("refused", "refused %", 1),
            Column("predicted", "predicted %", 1),
            Column("long_run", "in the long run %", 1),
            Column("good_per_s", "good answers/s", 1),
            Column("errors", "errors"),
        ],
        title="What the quotas refuse (429)",
        subtitle="A refusal that the policy demands is neither an error nor throughput.",
    )


def trials_frame(trials: Sequence[Trial]) -> pd.DataFrame:
    """Two rows a scenario under wide quotas: latency and service time."""
    rows = [
        {
            "scenario": trial.summary.title,
            "users": trial.run.scenario.users,
            "asked_per_s": rate_of(trial.run.scenario),
            "time": of,
            "requests": trial.summary.total.requests,
            "error_percent": 100 * trial.summary.total.error_rate,
            "peak": trial.summary.total.peak_concurrency,
            **msgspec.structs.asdict(getattr(trial.summary.total, of)),
            "void": trial.summary.generator.void_reason,
        }
        for trial in trials
        if trial.quotas == WIDENED
        for of in ("latency", "service")
    ]
    return pd.DataFrame(rows)


def trials_table(trials: Sequence[Trial]) -> Table:
    """The plan's metrics of every scenario."""
    frame = trials_frame(trials)
    few = frame[frame["requests"] < min_samples(0.99)]["scenario"].unique()
    void = frame[frame["void"] != ""]["scenario"].unique()
    remarks = [
        f"p99 needs {min_samples(0.99)} answers; fewer in {', '.join(few)}." if len(few) else "",
        f"The generator's own lateness is in the times of {', '.join(void)}." if len(void) else "",
    ]
    return build(
        frame,
        [
            Column("scenario", "scenario"),
            Column("users", "users"),
            Column("asked_per_s", "asked/s"),
            Column("requests", "requests"),
            Column("error_percent", "errors %", 1),
            Column("peak", "at once"),
            Column("time", "time, ms"),
            *(Column(name, name.removesuffix("_ms"), 1) for name in TIMES),
        ],
        title="The scenarios under wide quotas",
        subtitle=" ".join(remark for remark in remarks if remark),
    )


def demanded_table(trials: Sequence[Trial], crowd: Crowd | NotRun) -> Table:
    """The thresholds of the files, under wide quotas."""
    summaries: list[RunSummary] = [trial.summary for trial in trials if trial.quotas == WIDENED]
    if not isinstance(crowd, NotRun):
        summaries.append(crowd.summary)
    rows = [
        {
            "scenario": summary.title,
            "condition": threshold.condition,
            "value": threshold.value,
            "verdict": "met" if threshold.holds else "missed",
        }
        for summary in summaries
        for threshold in summary.thresholds
    ]
    return build(
        pd.DataFrame(rows, columns=["scenario", "condition", "value", "verdict"]),
        [
            Column("scenario", "scenario"),
            Column("condition", "demanded"),
            Column("value", "measured"),
            Column("verdict", "verdict"),
        ],
        title="Thresholds of the files",
    )


def quotas_plot(trials: Sequence[Trial]) -> Figure:
    """Good answers a second, run by run."""
    frame = quotas_frame(trials)
    frame["label"] = frame["scenario"] + ", " + frame["quotas"]
    planned = frame[frame["quotas"] == AS_PLANNED]
    held_back = int((planned["refused"] > 0).sum())
    return plots.bars(
        frame,
        label="label",
        value="good_per_s",
        title=f"The plan's quotas hold back {held_back} of {len(planned)} scenarios",
        x_label="good answers/s",
    )


@or_not_run
def crowd_table(crowd: Crowd) -> Table:
    """The connections, what went over them, and what they cost the hub."""
    if crowd.hub is None:
        return sockets_table(crowd.summary, ("the hub", "did not live to tell", ""))
    return sockets_table(
        crowd.summary,
        ("the hub's CPU time, handshakes included", crowd.hub.cpu_s, "s"),
        ("the hub's memory", crowd.hub.rss_bytes / 2**20, "MiB"),
    )


def verdict_table(results: Sequence[Result], claims: Claims) -> Table:
    """The verdicts with what has to be known beside them."""
    rows = [
        {
            "claim": result.claim,
            "promise": claims.get(result.claim).promise,
            "verdict": result.verdict.word,
            "reason": result.verdict.reason,
            "note": "; ".join(result.warnings),
        }
        for result in results
        if result.claim is not None and result.verdict is not None
    ]
    return build(
        pd.DataFrame(rows, columns=["claim", "promise", "verdict", "reason", "note"]),
        [
            Column("claim", "claim"),
            Column("promise", "promised"),
            Column("verdict", "verdict"),
            Column("reason", "why"),
            Column("note", "to know"),
        ],
        title="Verdicts",
    )

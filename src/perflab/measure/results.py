"""Results: what a notebook found, in versioned files that refuse to be mixed up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from perflab.errors import PerflabError
from perflab.files import read_document, write_document
from perflab.measure.claims import Claim, Verdict, judge
from perflab.measure.comparison import ArmFigures, Comparison
from perflab.measure.metrics import METRICS, aa_of, estimate_of
from perflab.measure.statistics import Estimate, Interval

VERSION = 1


class ResultsError(PerflabError):
    """A file of results cannot be read, or results do not belong together."""


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where and how a notebook's figures came about; the same for all its results."""

    notebook: str
    run_id: str
    profile: str
    seed: int
    environment_id: str
    rung: str
    server_version: str


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One figure, complete enough to be shown without asking anything else."""

    name: str
    """What was measured, e.g. ``database.tasks``; the claim's id where there is a claim."""
    claim: str | None = None
    metric: str
    unit: str
    value: Estimate
    """The metric with its interval: what the verdict is about."""
    target: float | None = None
    promised_before: float | None = None
    verdict: Verdict | None = None
    before: ArmFigures | None = None
    after: ArmFigures | None = None
    ratio: Estimate | None = None
    """after/before of the metric's statistic."""
    aa: Estimate | None = None
    """control/after of the same statistic."""
    noise_floor_percent: float | None = None
    n: int
    """Timed calls of each arm, or repetitions."""
    blocks: int
    """Units of resampling."""
    origin: Origin
    recorded_at: str
    """UTC, ISO 8601."""
    warnings: tuple[str, ...] = ()


class ResultsFile(msgspec.Struct, frozen=True, kw_only=True):
    """The file's envelope."""

    format: str = "perflab-results"
    version: int = VERSION
    results: tuple[Result, ...]


class Newest(msgspec.Struct, frozen=True):
    """The newest result of each claim, and the files that could not be read."""

    by_claim: dict[str, Result]
    skipped: tuple[str, ...]


def from_comparison(
    origin: Origin,
    comparison: Comparison,
    *,
    claim: Claim | None = None,
    name: str = "",
    metric: str = "mean_reduction_percent",
    saturated: bool = False,
    warnings: Sequence[str] = (),
) -> Result:
    """A result of an experiment: judged if there is a claim, else named and shown."""
    chosen = METRICS[claim.metric if claim else metric]
    value, aa = estimate_of(chosen, comparison), aa_of(chosen, comparison)
    statistic = chosen.statistic
    return Result(
        name=claim.id if claim else _named(name),
        claim=claim.id if claim else None,
        metric=chosen.name,
        unit=chosen.unit or "",
        value=value,
        target=claim.target if claim else None,
        promised_before=claim.before if claim else None,
        verdict=judge(claim, value, aa, saturated=saturated) if claim else None,
        before=comparison.before,
        after=comparison.after,
        ratio=getattr(comparison.ratio, statistic),
        aa=aa,
        noise_floor_percent=(
            100 * max(abs(aa.lo - 1), abs(aa.hi - 1)) if isinstance(aa, Interval) else None
        ),
        n=comparison.n,
        blocks=comparison.blocks,
        origin=origin,
        recorded_at=_now(),
        warnings=tuple(warnings),
    )


def from_estimate(
    origin: Origin,
    estimate: Estimate,
    *,
    n: int,
    blocks: int | None = None,
    claim: Claim | None = None,
    name: str = "",
    metric: str = "count",
    unit: str = "",
    aa: Estimate | None = None,
    saturated: bool = False,
    warnings: Sequence[str] = (),
) -> Result:
    """A result of a Measurement or a count; ``blocks`` defaults to ``n``."""
    chosen = METRICS[claim.metric if claim else metric]
    return Result(
        name=claim.id if claim else _named(name),
        claim=claim.id if claim else None,
        metric=chosen.name,
        unit=claim.unit if claim else chosen.unit or unit,
        value=estimate,
        target=claim.target if claim else None,
        promised_before=claim.before if claim else None,
        verdict=judge(claim, estimate, aa, saturated=saturated) if claim else None,
        aa=aa,
        n=n,
        blocks=n if blocks is None else blocks,
        origin=origin,
        recorded_at=_now(),
        warnings=tuple(warnings),
    )


def write_results(path: Path, results: Iterable[Result]) -> None:
    """Write one notebook's results; a reader sees the old file or the new one, never half."""
    write_document(path, ResultsFile(results=tuple(results)))


def read_results(path: Path) -> tuple[Result, ...]:
    """The results of one file; a ResultsError for another version or another kind of file."""
    return read_document(path, ResultsFile, ResultsError).results


def merge(results: Iterable[Result], *, force: bool = False) -> tuple[Result, ...]:
    """Results to be shown side by side, oldest first.

    Raises a ResultsError where they come from different machines or profiles, unless forced:
    such figures differ for reasons that no table shows.
    """
    ordered = tuple(sorted(results, key=lambda result: result.recorded_at))
    if not force:
        for what in ("environment_id", "profile"):
            found = sorted({getattr(result.origin, what) for result in ordered})
            if len(found) > 1:
                raise ResultsError(
                    f"results of different {'machines' if what == 'environment_id' else what + 's'}"
                    f" ({', '.join(found)}) cannot be merged; choose one, or force it"
                )
    return ordered


def newest_per_claim(runs_dir: Path, environment_id: str, profile: str) -> Newest:
    """The newest result of each claim among the runs of one machine and profile.

    Runs are the folders of ``runs_dir``. A file that cannot be read is named in ``skipped``.
    """
    newest: dict[str, Result] = {}
    skipped: list[str] = []
    for path in sorted(runs_dir.glob("*/results/*.json")):
        try:
            results = read_results(path)
        except ResultsError as error:
            skipped.append(str(error))
            continue
        for result in results:
            origin = result.origin
            if result.claim is None or origin.profile != profile:
                continue
            if origin.environment_id != environment_id:
                continue
            known = newest.get(result.claim)
            if known is None or known.recorded_at <= result.recorded_at:
                newest[result.claim] = result
    return Newest(newest, tuple(skipped))


def _named(name: str) -> str:
    if not name:
        raise ValueError("a result without a claim needs a name")
    return name


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")

"""The report's verdicts: what was promised, what was measured, and the word on each."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import get_args

from perflab.measure.claims import Claim, Claims, Word, figure
from perflab.measure.results import Result
from perflab.measure.statistics import Interval, NotEstimable
from perflab.report.tables import NOT_ESTIMABLE, interval_text

NOT_MEASURED = "not measured"
WORDS: tuple[str, ...] = get_args(Word)
SYMBOLS = {"met": "✓", "missed": "✗", "cannot tell": "?", "void": "⊘", NOT_MEASURED: "–"}
"""A verdict's sign, so that none is told by colour alone."""

STRIP_WIDTH = 140
"""Of the small picture of an interval beside its promise, in CSS pixels."""
_MARGIN = 8


@dataclass(frozen=True)
class Strip:
    """An interval and a promise on one axis, in pixels from the left."""

    lo: float
    estimate: float
    hi: float
    target: float
    kept_from: float
    """The promised side of the axis, from here ..."""
    kept_width: float
    """... this far; zero where the side is not known."""


@dataclass(frozen=True)
class ClaimRow:
    """One claim of the report's table."""

    id: str
    area: str
    subject: str
    wording: str
    promise: str
    measured: str
    word: str
    reason: str
    notebook: str
    strip: Strip | None


@dataclass(frozen=True)
class Verdicts:
    """All claims: the judged ones, and by area those without a verdict."""

    judged: tuple[ClaimRow, ...]
    unmeasured: dict[str, tuple[ClaimRow, ...]]
    counts: dict[str, int]
    """By verdict, in the words' order, then ``not measured``."""

    @property
    def total(self) -> int:
        """Every promised figure."""
        return sum(self.counts.values())

    @property
    def sentence(self) -> str:
        """The outcome in one sentence."""
        if not self.judged:
            return f"None of {self.total} promised figures was measured."
        told = [f"{self.counts[word]} {word}" for word in WORDS if self.counts[word]]
        verb = "was" if len(self.judged) == 1 else "were"
        return (
            f"{len(self.judged)} of {self.total} promised figures {verb} measured: "
            f"{', '.join(told)}."
        )


def verdicts_of(claims: Claims, newest: dict[str, Result]) -> Verdicts:
    """Every claim with its newest result; results of claims that the file lacks come last."""
    rows = [_row(claim, newest.get(claim.id)) for claim in claims]
    rows += [_orphan(result) for id_, result in newest.items() if id_ not in claims]
    judged = tuple(row for row in rows if row.word != NOT_MEASURED)
    unmeasured: dict[str, tuple[ClaimRow, ...]] = {}
    for row in rows:
        if row.word == NOT_MEASURED:
            unmeasured[row.area] = (*unmeasured.get(row.area, ()), row)
    counts = Counter(row.word for row in rows)
    return Verdicts(judged, unmeasured, {word: counts[word] for word in (*WORDS, NOT_MEASURED)})


def _row(claim: Claim, result: Result | None) -> ClaimRow:
    word, reason = _verdict(result)
    return ClaimRow(
        id=claim.id,
        area=claim.area,
        subject=" · ".join(part for part in (claim.row or claim.table, claim.column) if part),
        wording=claim.wording.replace("**", ""),  # the plan is written in Markdown
        promise=claim.promise,
        measured=_measured(result),
        word=word,
        reason=reason,
        notebook=result.origin.notebook if result else claim.notebook,
        strip=_strip(result, claim.direction),
    )


def _orphan(result: Result) -> ClaimRow:
    word, reason = _verdict(result)
    target = "" if result.target is None else f"{figure(result.target)} {result.unit}"
    return ClaimRow(
        id=result.name,
        area=result.name.partition(".")[0],
        subject=result.name,
        wording="",
        promise=target,
        measured=_measured(result),
        word=word,
        reason=reason,
        notebook=result.origin.notebook,
        strip=_strip(result, ""),
    )


def _verdict(result: Result | None) -> tuple[str, str]:
    if result is None or result.verdict is None:
        return NOT_MEASURED, ""
    return result.verdict.word, result.verdict.reason


def _measured(result: Result | None) -> str:
    if result is None:
        return ""
    if isinstance(result.value, NotEstimable):
        return NOT_ESTIMABLE
    value = result.value
    return f"{interval_text(value.estimate, value.lo, value.hi)} {result.unit}".strip()


def _strip(result: Result | None, direction: str) -> Strip | None:
    """The interval's picture: an axis of its own that holds interval and promise."""
    if result is None or result.target is None or not isinstance(result.value, Interval):
        return None
    value, target = result.value, result.target
    low, high = min(value.lo, target), max(value.hi, target)
    span = (high - low) or 1.0

    def at(figure: float) -> float:
        # the share first: a width divided by a tiny span would overflow
        return round(_MARGIN + (figure - low) / span * (STRIP_WIDTH - 2 * _MARGIN), 1)

    promise = at(target)
    kept = {"at_least": (promise, STRIP_WIDTH - promise), "at_most": (0.0, promise)}
    kept_from, kept_width = kept.get(direction, (0.0, 0.0))
    return Strip(
        at(value.lo), at(value.estimate), at(value.hi), promise, kept_from, round(kept_width, 1)
    )

"""The claims: figures somebody promised, read from a file, and the verdict on each."""

from __future__ import annotations

import keyword
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn, TypeAlias

import msgspec

from perflab.config import error_at, load_toml
from perflab.errors import PerflabError
from perflab.measure.expressions import ExpressionError, evaluate, names_in
from perflab.measure.metrics import METRICS, Metric, aa_of, estimate_of
from perflab.measure.statistics import Estimate, NotEstimable
from perflab.paths import data_dir

if TYPE_CHECKING:
    from perflab.measure.comparison import Comparison

Word: TypeAlias = Literal["met", "missed", "cannot tell", "void"]

DIRECTIONS = {"at_least": "at least", "at_most": "at most"}
RELATIONS = {
    "at_most": "must not exceed",
    "at_least": "must not be below",
    "more_than": "must be above",
    "about": "must be within 2 % of",
}
_ABOUT = 0.02

_SEGMENT = re.compile(r"[a-z][a-z0-9_]*")
_NOTEBOOK = re.compile(r"\d\d_[a-z_]+")


class ClaimError(PerflabError):
    """A claim was asked for that the file does not hold."""


class Claim(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A promised figure: a cell of one of the plan's tables, or a figure in a sentence."""

    id: str
    area: str
    table: str
    """The heading that it stands under."""
    row: str = ""
    """The row's name where the heading holds a table."""
    column: str = ""
    metric: str
    """A key of ``METRICS``."""
    unit: str
    direction: str
    """``at_least`` or ``at_most``."""
    target: float
    before: float | None = None
    """The promised *before* in the same unit: shown, never judged."""
    wording: str
    """The plan's own words."""
    also: tuple[str, ...] = ()
    """The same promise where the plan repeats it in other words."""
    notebook: str
    """The notebook that shows it."""
    note: str = ""
    """How the wording was read where it can be read in two ways."""

    @property
    def statistic(self) -> str:
        """What is judged: mean, median, p95, p99 or count."""
        return METRICS[self.metric].statistic

    @property
    def promise(self) -> str:
        """Direction, target and unit in words: ``at least 85 %``."""
        return f"{DIRECTIONS[self.direction]} {figure(self.target)} {self.unit}"

    def holds(self, value: float) -> bool:
        """True if ``value`` is on the promised side; the target itself is."""
        return value >= self.target if self.direction == "at_least" else value <= self.target


class NotAFigure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A sentence of the plan that no test can judge, and why."""

    wording: str
    why: str


class Contradiction(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Two of the plan's own figures set against each other; evaluated, never typed in."""

    id: str
    title: str
    says: str
    """An expression over claim ids: what the plan says."""
    implies: str
    """An expression over claim ids: what its other figures imply."""
    consistent_if: str
    """A key of ``RELATIONS``: how ``says`` must stand to ``implies``."""
    unit: str
    why: str
    assumes: str = ""
    """What the reasoning needs to be true."""


class Finding(msgspec.Struct, frozen=True):
    """A contradiction, computed."""

    id: str
    title: str
    claims: tuple[str, ...]
    says: float
    implies: float
    unit: str
    contradicts: bool
    sentence: str


class Verdict(msgspec.Struct, frozen=True):
    """The lab's word on a claim and the reason in plain English."""

    word: Word
    reason: str


class Claims(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of claims."""

    title: str
    claim: tuple[Claim, ...]
    not_a_figure: tuple[NotAFigure, ...] = ()
    contradiction: tuple[Contradiction, ...] = ()

    def __iter__(self) -> Iterator[Claim]:
        return iter(self.claim)

    def __len__(self) -> int:
        return len(self.claim)

    def get(self, id_: str) -> Claim:
        """The claim with this id, else a ClaimError."""
        for claim in self.claim:
            if claim.id == id_:
                return claim
        raise ClaimError(
            f"no claim {id_!r} in {self.title!r}; the file's [[claim]] entries name it"
        )

    def __contains__(self, id_: object) -> bool:
        return any(claim.id == id_ for claim in self.claim)

    def of(self, *, area: str | None = None, notebook: str | None = None) -> tuple[Claim, ...]:
        """The claims of an area, of a notebook, or of both."""
        return tuple(
            claim
            for claim in self.claim
            if area in (None, claim.area) and notebook in (None, claim.notebook)
        )

    def findings(self) -> tuple[Finding, ...]:
        """Every contradiction evaluated over the file's targets."""
        values = {claim.id: claim.target for claim in self.claim}
        return tuple(_find(entry, values) for entry in self.contradiction)


def load_claims(path: Path | None = None) -> Claims:
    """The shipped claims or a file of the same format; a ConfigError names line and key."""
    path = path or data_dir() / "claims.toml"
    claims = load_toml(path, Claims)
    seen: set[str] = set()
    for number, claim in enumerate(claims.claim):
        _check_claim(path, number, claim, seen)
    values = {claim.id: claim.target for claim in claims.claim}
    for number, sentence in enumerate(claims.not_a_figure):
        for key in ("wording", "why"):
            if not getattr(sentence, key).strip():
                raise error_at(path, ["not_a_figure", number, key], "is empty")
    known: set[str] = set()
    for number, entry in enumerate(claims.contradiction):
        _check_contradiction(path, number, entry, values, known)
    return claims


def judge(
    claim: Claim, estimate: Estimate, aa: Estimate | None = None, *, saturated: bool = False
) -> Verdict:
    """Met if the whole interval of the claim's metric is on the promised side.

    ``aa`` is the A/A ratio of the same statistic, None where a measurement has no second arm.
    ``saturated`` says that the load generator, not the system, was the limit.
    """
    if saturated:
        return Verdict("void", "the load generator was saturated: the figure is its own")
    if isinstance(estimate, NotEstimable):
        return Verdict("cannot tell", f"not estimable: {estimate.reason}")
    if isinstance(aa, NotEstimable):
        return Verdict("cannot tell", f"the A/A control is not estimable: {aa.reason}")
    if aa is not None and not aa.covers(1.0):
        return Verdict(
            "cannot tell",
            f"the same system measured twice differs: A/A ratio {aa.lo:.3f} to {aa.hi:.3f}",
        )
    low, high = figure(estimate.lo), figure(estimate.hi)
    span = low if estimate.lo == estimate.hi else f"{low} to {high}"
    inside = claim.holds(estimate.lo), claim.holds(estimate.hi)
    if all(inside):
        return Verdict("met", f"{span} {claim.unit}, promised {claim.promise}")
    if not any(inside):
        return Verdict("missed", f"{span} {claim.unit}, promised {claim.promise}")
    return Verdict(
        "cannot tell", f"the interval {span} {claim.unit} holds the promise, {claim.promise}"
    )


def judge_comparison(claim: Claim, comparison: Comparison, *, saturated: bool = False) -> Verdict:
    """The verdict on the claim's own metric, with the A/A ratio of the same statistic."""
    metric = METRICS[claim.metric]
    return judge(
        claim, estimate_of(metric, comparison), aa_of(metric, comparison), saturated=saturated
    )


def figure(value: float) -> str:
    """A number as people write it: four significant digits, thousands with commas."""
    if not math.isfinite(value):
        return str(value)
    if value == 0:
        return "0"
    digits = max(0, 3 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _find(entry: Contradiction, values: Mapping[str, float]) -> Finding:
    says, implies = evaluate(entry.says, values), evaluate(entry.implies, values)
    consistent = {
        "at_most": says <= implies,
        "at_least": says >= implies,
        "more_than": says > implies,
        "about": abs(says - implies) <= _ABOUT * abs(implies),
    }[entry.consistent_if]
    return Finding(
        id=entry.id,
        title=entry.title,
        claims=tuple(dict.fromkeys(names_in(entry.says) + names_in(entry.implies))),
        says=says,
        implies=implies,
        unit=entry.unit,
        contradicts=not consistent,
        sentence=(
            f"{figure(says)} {entry.unit} {RELATIONS[entry.consistent_if]} "
            f"{figure(implies)} {entry.unit}: {'consistent' if consistent else 'contradiction'}"
        ),
    )


def _check_claim(path: Path, number: int, claim: Claim, seen: set[str]) -> None:
    def refuse(key: str, reason: str) -> NoReturn:
        raise error_at(path, ["claim", number, key], reason)

    _check_id(path, "claim", number, claim.id, seen)
    for key in ("area", "table", "unit", "wording"):
        if not getattr(claim, key).strip():
            refuse(key, "is empty")
    metric: Metric | None = METRICS.get(claim.metric)
    if metric is None:
        refuse("metric", f"{claim.metric!r} is unknown; choose one of {', '.join(METRICS)}")
    if metric.unit is not None and claim.unit != metric.unit:
        refuse("unit", f"{claim.unit!r}, but {metric.name} is in {metric.unit!r}")
    if claim.direction not in DIRECTIONS:
        refuse(
            "direction", f"{claim.direction!r} is unknown; choose one of {', '.join(DIRECTIONS)}"
        )
    for key, value in (("target", claim.target), ("before", claim.before)):
        if value is not None and not math.isfinite(value):
            refuse(key, f"{value} is not a finite number")
    if not _NOTEBOOK.fullmatch(claim.notebook):
        refuse("notebook", f"{claim.notebook!r}: name a notebook such as 01_database")
    if claim.column and not claim.row:
        refuse("column", "is given without row")


def _check_id(path: Path, table: str, number: int, id_: str, seen: set[str]) -> None:
    parts = id_.split(".")
    if not all(_SEGMENT.fullmatch(part) and not keyword.iskeyword(part) for part in parts):
        raise error_at(path, [table, number, "id"], f"{id_!r}: use lower-case words joined by dots")
    if id_ in seen:
        raise error_at(path, [table, number, "id"], f"{id_!r} is used twice; ids must differ")
    seen.add(id_)


def _check_contradiction(
    path: Path, number: int, entry: Contradiction, values: Mapping[str, float], known: set[str]
) -> None:
    _check_id(path, "contradiction", number, entry.id, known)
    if entry.consistent_if not in RELATIONS:
        choices = ", ".join(RELATIONS)
        raise error_at(
            path,
            ["contradiction", number, "consistent_if"],
            f"{entry.consistent_if!r} is unknown; choose one of {choices}",
        )
    for key in ("says", "implies"):
        try:
            evaluate(getattr(entry, key), values)
        except ExpressionError as error:
            raise error_at(path, ["contradiction", number, key], str(error)) from None

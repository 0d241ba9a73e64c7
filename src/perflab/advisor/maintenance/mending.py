"""Runs the statements of findings on a copy, and measures what came of them.

Both copies in randomised interleaved blocks with an A/A control: one left as it was, one mended.
All findings are applied together, so that a statement's figure is that of everything that was
done to its tables.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import psycopg

from perflab.advisor.errors import said
from perflab.advisor.explain import estimate, fingerprint, looking
from perflab.advisor.maintenance.findings import SERVER, Finding
from perflab.advisor.proof import measure
from perflab.advisor.timed import Timed
from perflab.advisor.workload import Statement
from perflab.database.plans import Plan, walk_plan
from perflab.measure.comparison import Comparison, compare
from perflab.measure.statistics import Interval
from perflab.profiles import AdvisorSizes
from perflab.progress import Step

_SETTINGS = ("off", "autovacuum")
"""Kinds that change what happens later, and no plan or page now."""
_NOBODY = "no statement of the workload reads this table"
_NO_SCAN = "no plan of the workload uses this index"


@dataclass(frozen=True)
class PlanChange:
    """How one statement was to be executed before and is to be after."""

    before: str
    after: str
    flipped: bool


@dataclass(frozen=True)
class Mended:
    """One finding after its statements ran on the copy."""

    finding: Finding
    failed: str
    """Why its statements were not run, or did not run to their end; empty where they did."""
    pages: tuple[int, int]
    """The table's or index's before and after; zeros for what is neither's."""
    plans: Mapping[str, PlanChange]
    """Of the statements that read the table, by name."""
    timed: Mapping[str, Comparison]
    """The same for those of them that were timed."""

    @property
    def faster(self) -> tuple[str, ...]:
        """Statements whose median time fell, with all of its interval."""
        return self._where(lambda ratio: ratio.hi < 1)

    @property
    def slower(self) -> tuple[str, ...]:
        """Statements whose median time rose, with all of its interval."""
        return self._where(lambda ratio: ratio.lo > 1)

    @property
    def outcome(self) -> str:
        """What came of it, in words."""
        if self.failed:
            return f"not run: {self.failed}"
        if self.finding.kind in _SETTINGS:
            return "set; it works from now on, so there is nothing to time"
        said = [f"{name} is faster{_by(self.timed[name])}" for name in self.faster]
        said += [f"{name} is slower{_by(self.timed[name])}" for name in self.slower]
        said += [
            f"{name}: no difference that can be told"
            for name in self.timed
            if name not in (*self.faster, *self.slower)
        ]
        if self.pages[0] != self.pages[1]:
            said.append(f"{self.pages[0]:,} pages became {self.pages[1]:,}")
        nobody = _NO_SCAN if self.finding.index else _NOBODY
        if self.plans:
            nobody = "nothing that reads it could be timed"
        return "; ".join(said) or nobody

    def _where(self, holds: Callable[[Interval], bool]) -> tuple[str, ...]:
        ratios = ((name, c.ratio.median) for name, c in self.timed.items())
        return tuple(name for name, r in ratios if isinstance(r, Interval) and holds(r))


def _by(comparison: Comparison) -> str:
    before, after = comparison.before.median_ms, comparison.after.median_ms
    ratio = comparison.ratio.median
    if not (
        isinstance(before, Interval) and isinstance(after, Interval) and isinstance(ratio, Interval)
    ):
        return ""
    return (
        f": median {before.estimate:,.3g} to {after.estimate:,.3g} ms, after/before"
        f" {ratio.lo:.2g} to {ratio.hi:.2g}"
    )


def mend(
    before: str,
    after: str,
    findings: Sequence[Finding],
    statements: Sequence[Statement],
    timed: Sequence[Timed],
    sizes: AdvisorSizes,
    seed: int,
    step: Step | None = None,
    runners: tuple[str, str] | None = None,
) -> tuple[Mended, ...]:
    """Apply ``findings`` to ``after``, a copy of ``before``, and measure the two.

    ``runners`` are the same databases as the role that the statements run as.
    """
    pages_before = _pages(before, findings)
    plans_before = _plans(before, statements)
    failed = {finding: _applied(after, finding) for finding in findings}
    pages_after = _pages(after, findings)
    plans_after = _plans(after, statements)
    readers = {
        finding: tuple(
            name
            for name, plan in plans_before.items()
            if finding.kind not in _SETTINGS
            and (name in finding.serves or _concerns(finding, plan))
        )
        for finding in findings
    }
    asked = {name for names in readers.values() for name in names}
    comparisons = _measured(
        runners or (before, after), [t for t in timed if t.name in asked], sizes, seed, step
    )
    return tuple(
        Mended(
            finding=finding,
            failed=failed[finding],
            pages=(pages_before.get(_file(finding), 0), pages_after.get(_file(finding), 0)),
            plans={name: _change(plans_before[name], plans_after[name]) for name in names},
            timed={name: comparisons[name] for name in names if name in comparisons},
        )
        for finding, names in readers.items()
    )


def _applied(conninfo: str, finding: Finding) -> str:
    if finding.table == SERVER:
        return "it is set for the whole server, not for a copy"
    with psycopg.connect(conninfo, autocommit=True) as conn:
        try:
            for statement in finding.statements:
                conn.execute(statement.encode())
        except psycopg.Error as error:
            return said(error)
    return ""


def _measured(
    conninfos: tuple[str, str],
    timed: Sequence[Timed],
    sizes: AdvisorSizes,
    seed: int,
    step: Step | None,
) -> dict[str, Comparison]:
    if not timed:
        return {}
    samples = measure(*conninfos, timed, sizes, seed, step)
    return {one.name: compare(samples, operations=[one.name]) for one in timed}


def _plans(conninfo: str, statements: Sequence[Statement]) -> dict[str, Plan]:
    """By the first example of each statement."""
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute("SET jit = off")
        with looking(conn):
            return {one.name: estimate(conn, one.planned[0]).plan for one in statements}


def _pages(conninfo: str, findings: Sequence[Finding]) -> dict[str, int]:
    names = sorted({_file(finding) for finding in findings} - {SERVER})
    with psycopg.connect(conninfo, autocommit=True) as conn:
        rows = conn.execute(
            "SELECT name, pg_relation_size(name::regclass) / current_setting('block_size')::int"
            " FROM unnest(%s::text[]) name",
            [names],
        ).fetchall()
    return {str(name): int(pages) for name, pages in rows}


def _file(finding: Finding) -> str:
    """What has the pages: an index or a table."""
    return finding.index or finding.table


def _concerns(finding: Finding, plan: Plan) -> bool:
    if finding.index:
        bare = finding.index.rpartition(".")[2].strip('"').replace('""', '"')
        return bare in plan.index_names
    return _reads(plan, finding.table)


def _reads(plan: Plan, table: str) -> bool:
    return any(
        scan.relation and table in (scan.relation, f'"{scan.relation}"') for scan in plan.scans
    )


def _change(before: Plan, after: Plan) -> PlanChange:
    return PlanChange(outline(before), outline(after), fingerprint(before) != fingerprint(after))


def outline(plan: Plan) -> str:
    """A plan in one phrase, from the root down, such as "Hash Join, Seq Scan (tasks), Hash"."""
    words = []
    for node in walk_plan(json.loads(plan.text)["Plan"]):
        on = node.get("Index Name") or node.get("Relation Name")
        words.append(f"{node['Node Type']} ({on})" if on else str(node["Node Type"]))
    return ", ".join(words)

"""Statistics and maintenance as ``perflab advise`` prints them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.markup import escape

from perflab.cli.console import console

if TYPE_CHECKING:
    from perflab.advisor.maintenance.findings import Finding
    from perflab.studies.advisor.maintenance import Upkeep

_SHOWN = 12


def print_findings(findings: Sequence[Finding]) -> None:
    """What a database in use wants, unmeasured."""
    if not findings:
        console.print("statistics and maintenance: nothing needs to be done on the server")
    for finding in findings[:_SHOWN]:
        _print(finding, "unmeasured")


def print_upkeep(upkeep: Upkeep, extent: str = "") -> None:
    """What was found on a copy, and what came of mending it; ``extent`` is how much was copied."""
    if not upkeep.findings:
        console.print("statistics and maintenance: nothing needs to be done on the copy")
    at = f" at {extent}" if extent else ""
    for mended in upkeep.mended[:_SHOWN]:
        _print(mended.finding, f"measured{at}: {mended.outcome}")
    for diagnosis in upkeep.diagnoses[:_SHOWN]:
        if diagnosis.finding is None:
            seen = diagnosis.seen
            what = (
                f"{seen.statement}: {seen.node} of {seen.table or 'a join'} expected"
                f" {seen.expected:,.0f} rows and met {seen.met:,.0f}: {diagnosis.verdict}"
            )
            console.print(f"  [dim]{escape(what)}[/]", soft_wrap=True)


def _print(finding: Finding, measured: str) -> None:
    run = "; ".join(finding.statements)
    caution = f" ({finding.caution})" if finding.caution else ""
    console.print(
        f"[yellow]{finding.kind}[/]: {escape(finding.table)}: {escape(finding.figure)}:"
        f" {escape(run)}; {escape(f'[{measured}]')}{escape(caution)}",
        soft_wrap=True,
    )

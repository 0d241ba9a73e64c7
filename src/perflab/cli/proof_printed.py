"""What measuring advice said, as ``perflab advise`` prints it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from perflab.cli.console import console
from perflab.cli.ddl_printed import shown_ddl

if TYPE_CHECKING:
    from perflab.advisor.proof import Proof, Proved
    from perflab.advisor.writes import WriteCost
    from perflab.studies.advisor.files import Measured


def print_proof(found: Measured, extent: str = "") -> None:
    """What measuring said; ``extent`` is how much of a database was measured."""
    for one in found.untimed:
        what = f"[yellow]not measured[/], estimated only: {escape(str(one))}"
        console.print(what, soft_wrap=True)
    proof = found.proof
    if proof is None:
        return
    console.print(_statements(found, proof, extent))
    for dropped in proof.dropped:
        what = f"{dropped.candidate.table} {dropped.candidate.on}: {dropped.reason}"
        console.print(f"[yellow]dropped[/]: {escape(what)}", soft_wrap=True)
    for kept in proof.kept:
        ddl = escape(shown_ddl(kept.choice.candidate, found.advice.catalog))
        marked = f" (measured at {extent})" if extent else ""
        console.print(f"[green]proved[/]{marked}: {ddl};", soft_wrap=True)
        for line in _saved(found, proof, kept):
            console.print(f"  {escape(line)}", soft_wrap=True)
        console.print(f"  costs {kept.built.size_bytes / 1024:,.0f} KiB", soft_wrap=True)
    for cost in proof.writes:
        console.print(escape(_written(found, proof, cost)), soft_wrap=True)


def _statements(found: Measured, proof: Proof, extent: str) -> Table:
    table = Table(
        title=f"measured on a copy{f' at {extent}' if extent else ''}:"
        f" {proof.reduction_percent:.0f} % less time for the workload",
        title_justify="left",
        header_style="bold",
    )
    for heading in ("statement", "calls", "before (ms)", "after (ms)", "after/before [95 %]"):
        table.add_column(heading, overflow="fold")
    for name, comparison in proof.by_statement.items():
        table.add_row(escape(name), f"{proof.calls[name]:,.0f}", *found.cells(comparison))
    return table


def _saved(found: Measured, proof: Proof, kept: Proved) -> list[str]:
    """Whom an index serves and what that gains them."""
    from perflab.advisor.workload import shown

    texts = {one.name: shown(one) for one in found.advice.statements}
    lines = []
    for name in kept.serves:
        if comparison := proof.by_statement.get(name):
            before, after, ratio = found.cells(comparison)
            gain = f"{before} -> {after} ms, {ratio} of the time"
            verb = "speeds up" if name in kept.faster else "is used by, not proved faster,"
        else:
            gain, verb = "not measured", "is used by"
        lines.append(f"{verb} {name} ({gain}): {texts[name]}")
    return lines


def _written(found: Measured, proof: Proof, cost: WriteCost) -> str:
    """What all new indexes of a table take of those who write there."""
    new = sum(one.choice.candidate.table == cost.table for one in proof.kept)
    _before, _after, ratio = found.cells(cost.comparison)
    lost = f"no longer of {', '.join(cost.no_longer_hot)}" if cost.no_longer_hot else "as before"
    return (
        f"writers of {cost.table}, with {new} new: {ratio} of the time, {cost.wal_after:,.0f} B"
        f" of WAL a row instead of {cost.wal_before:,.0f}; heap-only (HOT) updates {lost}"
    )

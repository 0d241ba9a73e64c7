"""The scorecard in a terminal."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from perflab.report.tables import NOT_ESTIMABLE

_COLOURS: Mapping[str, str] = {
    "met": "green",
    "missed": "red",
    "cannot tell": "yellow",
    "void": "magenta",
}


def print_scorecard(console: Console, card: pd.DataFrame) -> None:
    """Print the measured claims of a scorecard and how many are not measured yet."""
    measured = card[card["verdict"].isin(list(_COLOURS))]
    table = Table(title="Scorecard", title_justify="left", header_style="bold")
    for heading in ("claim", "promised", "measured [95 % interval]", "verdict"):
        table.add_column(heading, overflow="fold")
    for row in measured.to_dict("records"):
        colour = _COLOURS[row["verdict"]]
        table.add_row(
            row["claim"], row["promise"], _measured(row), f"[bold {colour}]{row['verdict']}[/]"
        )
    if table.row_count:
        console.print(table)
    rest = len(card) - len(measured)
    if rest:
        claims = "claim is" if rest == 1 else "claims are"
        console.print(f"{rest} {claims} not measured yet by this run's notebooks")
    for row in measured[measured["verdict"].isin(["cannot tell", "void"])].to_dict("records"):
        console.print(f"{row['verdict']}: {row['claim']}: {row['reason']}", soft_wrap=True)


def _measured(row: Mapping[Hashable, object]) -> str:
    text = str(row["shown"])
    return text if text == NOT_ESTIMABLE else f"{escape(text)} {row['unit']}"

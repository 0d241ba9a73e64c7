"""Where the commands print, and the bars that show how far they are."""

from __future__ import annotations

import os
import sys

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

LOG_WIDTH = 120
"""Columns of a log, where rich itself would take 80 and cut words; COLUMNS chooses another."""

console = Console(highlight=False)
mistakes = Console(stderr=True, highlight=False)
"""For the one line of a mistake."""


def widen_logs() -> None:
    """Use ``LOG_WIDTH`` where nobody says how wide the output is."""
    if not sys.stdout.isatty() and not os.environ.get("COLUMNS"):
        console.width = LOG_WIDTH


def progress_bars() -> Progress:
    """Bars that are gone when they are done; none where the output is no terminal."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )

"""Tables of results: a frame with raw figures becomes one that people read."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from great_tables import GT, loc, style

from perflab.errors import PerflabError
from perflab.report.style import VERDICT

NOT_ESTIMABLE = "not estimable"


@dataclass(frozen=True)
class Column:
    """How one column of a frame is shown."""

    name: str
    label: str
    digits: int | None = None
    """Decimals of a number; None leaves text as it is and numbers with four digits."""
    interval: bool = False
    """Show ``{name}_lo`` and ``{name}_hi`` behind the figure."""


@dataclass(frozen=True, repr=False)
class Table:
    """A frame as it was measured and as it is shown."""

    raw: pd.DataFrame
    shown: pd.DataFrame
    title: str
    subtitle: str
    verdict: str | None
    """The shown column that holds verdicts, if any."""

    def gt(self) -> GT:
        """The table for a notebook or a report."""
        text = [c for c in self.shown.columns if not _numeric(self.shown[c])]
        numbers = [c for c in self.shown.columns if c not in text]
        table = (
            GT(self.shown, id=_slug(self.title))  # a random id would differ at every run
            .tab_header(title=self.title, subtitle=self.subtitle or None)
            .cols_align("left", columns=text)
            .cols_align("right", columns=numbers)
            .tab_options(
                table_font_size="13px",
                heading_align="left",
                heading_title_font_size="16px",
                heading_title_font_weight="bold",
                column_labels_font_weight="bold",
                data_row_padding="4px",
                table_margin_left="0",
            )
        )
        for verdict, colour in VERDICT.items() if self.verdict else ():
            rows = [n for n, v in enumerate(self.shown[self.verdict]) if v == verdict]
            if rows:
                table = table.tab_style(
                    style.text(color=colour, weight="bold"),
                    loc.body(columns=[self.verdict], rows=rows),
                )
        return table

    def _repr_html_(self) -> str:
        html: str = self.gt().as_raw_html(inline_css=False)
        return html

    def __repr__(self) -> str:
        return f"{self.title}\n{self.shown.to_string(index=False)}"

    def write(self, stem: Path) -> None:
        """``stem.csv`` with raw figures and ``stem.md`` as shown."""
        self.raw.to_csv(stem.with_suffix(".csv"), index=False)
        heading = f"**{self.title}**\n\n" + (f"{self.subtitle}\n\n" if self.subtitle else "")
        stem.with_suffix(".md").write_text(heading + markdown(self.shown), encoding="utf-8")


def build(
    frame: pd.DataFrame, columns: Sequence[Column], *, title: str, subtitle: str = ""
) -> Table:
    """A table of these columns of a frame, in this order."""
    shown = pd.DataFrame({c.label: _column(frame, c) for c in columns})
    verdict = next((c.label for c in columns if c.name == "verdict"), None)
    return Table(raw=frame, shown=shown, title=title, subtitle=subtitle, verdict=verdict)


@dataclass(frozen=True)
class Shown:
    """A table as people saw it, read back from a run's folder."""

    title: str
    subtitle: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @property
    def numeric(self) -> tuple[bool, ...]:
        """Which columns hold figures."""
        columns = zip(*self.rows, strict=True) if self.rows else ((),) * len(self.header)
        return tuple(_numeric(column) for column in columns)


class TableError(PerflabError):
    """A run's table cannot be read back."""


def read_shown(path: Path) -> Shown:
    """What ``Table.write`` left as Markdown; a TableError where it is something else."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TableError(f"{path}: cannot be read ({error})") from None
    title, _, rest = text.partition("\n\n")
    subtitle, _, body = ("", "", rest) if rest.startswith("| ") else rest.partition("\n\n")
    lines = [_cells(line) for line in body.split("\n") if line]
    widths = {len(line) for line in lines}
    if len(lines) < 2 or len(widths) != 1 or not title.startswith("**"):
        raise TableError(f"{path}: is no table that the lab wrote")
    header, _rule, *rows = lines
    return Shown(title.removeprefix("**").removesuffix("**"), subtitle, header, tuple(rows))


def _cells(line: str) -> tuple[str, ...]:
    cells = _DELIMITER.split(line)[1:-1]
    return tuple(cell[1:-1].replace("\\|", "|") for cell in cells)


_DELIMITER = re.compile(r"(?<!\\)\|")
"""A bar in a cell has a backslash before it, a delimiter has a space."""


def markdown(frame: pd.DataFrame) -> str:
    """A frame of texts in GitHub's Markdown."""
    header = [str(column) for column in frame.columns]
    rows = [[str(value) for value in row] for row in frame.itertuples(index=False)]
    lines = [header, ["---"] * len(header), *rows]
    return "".join(
        "| " + " | ".join(" ".join(cell.splitlines()).replace("|", "\\|") for cell in line) + " |\n"
        for line in lines
    )


def _column(frame: pd.DataFrame, column: Column) -> list[str]:
    if not column.interval:
        return [_cell(value, column.digits) for value in frame[column.name]]
    ends = [frame[f"{column.name}{end}"] for end in ("", "_lo", "_hi")]
    return [
        interval_text(value, lo, hi, column.digits) for value, lo, hi in zip(*ends, strict=True)
    ]


def interval_text(value: float, lo: float, hi: float, digits: int | None = None) -> str:
    """A figure with its interval as people read it: ``95.9 [94.2, 97.2]``."""
    if math.isnan(value):
        return NOT_ESTIMABLE
    if lo == hi:  # a count
        return _cell(value, digits)
    return f"{_cell(value, digits)} [{_cell(lo, digits)}, {_cell(hi, digits)}]"


def _cell(value: object, digits: int | None) -> str:
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, float):
        if digits is None and abs(value) >= 10_000:
            digits = 0  # four digits would be written as 1.2e+04
        return f"{value:,.{digits}f}" if digits is not None else f"{value:,.4g}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _slug(text: str) -> str:
    return "-".join(re.findall(r"[a-z]+", text.lower())) or "table"


def _numeric(cells: Sequence[str] | pd.Series[str]) -> bool:
    """True where every cell begins like a number."""
    return len(cells) > 0 and all(str(v)[:1].isdigit() or str(v)[:1] in "-–≥" for v in cells)

"""Tables: raw figures in the CSV, people's figures everywhere else."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.report.tables import Column, Table, TableError, build, read_shown

NAN = float("nan")
FRAME = pd.DataFrame(
    {
        "name": ["a|b", "c"],
        "ms": [1234.5678, NAN],
        "ms_lo": [1000.0, NAN],
        "ms_hi": [2000.0, NAN],
        "n": [7, 1_234_567],
        "verdict": ["met", "cannot tell"],
    }
)
COLUMNS = [
    Column("name", "name"),
    Column("ms", "mean (ms)", 1, interval=True),
    Column("n", "calls"),
    Column("verdict", "verdict"),
]


def test_an_interval_stands_behind_its_figure_or_is_said_not_to_be_estimable() -> None:
    shown = build(FRAME, COLUMNS, title="t").shown
    assert list(shown["mean (ms)"]) == ["1,234.6 [1,000.0, 2,000.0]", "not estimable"]
    assert list(shown["calls"]) == ["7", "1,234,567"]


def test_a_figure_without_error_shows_no_interval() -> None:
    frame = pd.DataFrame({"n": [27.0], "n_lo": [27.0], "n_hi": [27.0]})
    assert list(build(frame, [Column("n", "n", interval=True)], title="t").shown["n"]) == ["27"]


def test_files_hold_raw_figures_and_markdown(tmp_path: Path) -> None:
    build(FRAME, COLUMNS, title="Title", subtitle="Sub").write(tmp_path / "table")
    assert pd.read_csv(tmp_path / "table.csv")["ms"][0] == 1234.5678
    text = (tmp_path / "table.md").read_text()
    assert text.startswith("**Title**")
    assert "| a\\|b | 1,234.6 [1,000.0, 2,000.0] | 7 | met |" in text


def test_html_is_the_same_every_time() -> None:
    table = build(FRAME, COLUMNS, title="A title")
    assert table._repr_html_() == build(FRAME, COLUMNS, title="A title")._repr_html_()
    assert "A title" in table._repr_html_()


CELLS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@given(
    header=st.lists(CELLS, min_size=1, max_size=4, unique=True),
    rows=st.lists(st.lists(CELLS, min_size=4, max_size=4), max_size=4),
    subtitle=st.sampled_from(["", "A subtitle.", "with | and \\"]),
)
def test_a_table_is_read_back_as_it_was_shown(
    header: list[str], rows: list[list[str]], subtitle: str
) -> None:
    shown = pd.DataFrame([row[: len(header)] for row in rows], columns=header, dtype=object)
    table = Table(raw=shown, shown=shown, title="A **title**", subtitle=subtitle, verdict=None)
    with tempfile.TemporaryDirectory() as folder:
        table.write(Path(folder) / "t")
        read = read_shown(Path(folder) / "t.md")

    def one_line(text: str) -> str:
        return " ".join(text.splitlines())

    assert (read.title, read.subtitle) == ("A **title**", subtitle)
    assert read.header == tuple(one_line(label) for label in header)
    assert read.rows == tuple(tuple(one_line(c) for c in row[: len(header)]) for row in rows)


@pytest.mark.parametrize("text", ["", "x", "**t**\n\n", "**t**\n\n| a |\n| --- |\n| 1 | 2 |\n"])
def test_what_is_no_table_is_refused_by_name(text: str, tmp_path: Path) -> None:
    (tmp_path / "t.md").write_text(text)
    with pytest.raises(TableError, match=r"t\.md: is no table"):
        read_shown(tmp_path / "t.md")

"""Each notebook's section: its tables and plots in its own order under its own headings."""

from __future__ import annotations

from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell

from perflab.report.html.contents import read_contents
from perflab.report.html.sections import LONG_TABLE, Section, sections_of
from perflab.runs import Journal, RunFolder

from .folders import EVERY_WORD, make_run, write_book, write_table


def sections(run: RunFolder) -> tuple[Section, ...]:
    problems: list[str] = []
    found = sections_of(read_contents(run), problems)
    assert problems == []
    return found


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return make_run(tmp_path, *EVERY_WORD)


def test_exhibits_stand_in_the_notebooks_order_under_its_headings(run: RunFolder) -> None:
    (section,) = sections(run)
    assert section.title == "The notebook's title"
    shown = [
        (
            part.heading,
            part.level,
            [i.table.title if i.table else i.plot.alt if i.plot else i.note for i in part.items],
        )
        for part in section.parts
    ]
    assert shown == [
        ("The notebook's title", 1, []),
        ("First part", 2, ["Title of zebra", "Plot: What the plot says", "not run: a reason"]),
        ("Second part", 3, ["Title of ant"]),
    ]
    assert section.parts[0].prose == "<p>A <em>first</em> word.</p>\n"


def test_only_a_long_table_is_folded(run: RunFolder) -> None:
    items = [i for part in sections(run)[0].parts for i in part.items if i.table]
    assert [(len(i.table.rows) > LONG_TABLE, i.folded) for i in items if i.table] == [
        (False, False),
        (True, True),
    ]


def test_prose_tagged_report_is_shown_without_an_exhibit(run: RunFolder) -> None:
    limits = new_markdown_cell("## Limits\n\nOne machine.", metadata={"tags": ["report"]})
    write_book(
        run,
        "01_database",
        [new_markdown_cell("# T\n\n```\n# no heading\n```\n\n## Hidden\n\nx"), limits],
    )
    (section,) = sections(run)
    headings = [part.heading for part in section.parts]
    assert headings == ["T", "Limits", ""]
    assert "# no heading" in section.parts[0].prose
    assert len(section.parts[2].items) == 4, "exhibits of cells that are gone come last"


def test_papermills_own_words_are_left_out(run: RunFolder) -> None:
    banner = new_markdown_cell(
        '<span style="color:red">stopped</span>', metadata={"tags": ["papermill-error-cell-tag"]}
    )
    write_book(run, "01_database", [banner, new_markdown_cell("# T"), banner.copy()])
    assert "stopped" not in "".join(part.prose for part in sections(run)[0].parts)


def test_files_without_an_index_are_shown_apart(run: RunFolder) -> None:
    (run.exhibits / "01_database.json").unlink()
    book, other = sections(run)
    assert [part.items for part in book.parts] == [()]
    kinds = ["plot" if item.plot else "table" for item in other.parts[0].items]
    assert kinds == ["plot", "table", "table"]


def test_notebooks_come_in_the_batchs_order(run: RunFolder) -> None:
    common = {"profile": "quick", "services": "auto", "seed": 42, "claims": ""}
    with Journal(run, common, {"09_scorecard": {}, "01_database": {}}):
        pass
    write_book(run, "00_own", [new_code_cell("1", execution_count=1)])
    assert [section.name for section in sections(run)] == ["09_scorecard", "01_database", "00_own"]


def test_a_table_is_shown_as_it_was_written(run: RunFolder) -> None:
    write_table(run, "zebra", text="a|b \\ c")
    (section,) = sections(run)
    table = section.parts[1].items[0].table
    assert table is not None
    assert (table.title, table.subtitle) == ("Title of zebra", "A subtitle")
    assert table.header == ("name", "mean (ms)", "verdict")
    assert table.rows[0] == ("a|b \\ c 0", "1.5 [1, 2]", "met")
    assert table.numeric == (False, True, False)

"""The index of what a notebook showed."""

from __future__ import annotations

from pathlib import Path

import pytest

from perflab.report.exhibits import Exhibit, Exhibits, ExhibitsError, read_exhibits


def exhibit(name: str, cell: int = 1) -> Exhibit:
    return Exhibit(kind="table", name=name, title=name, cell=cell)


def test_order_is_kept_and_a_cell_that_runs_again_takes_its_old_place(tmp_path: Path) -> None:
    index = Exhibits(notebook="book")
    for shown in (exhibit("b"), exhibit("a"), exhibit("b", cell=7)):
        index = index.including(shown)
    index = index.including(Exhibit(kind="plot", name="a", title="A plot"))
    index.write(tmp_path)
    read = read_exhibits(tmp_path / "book.json")
    assert read == index
    assert [(e.kind, e.name, e.cell) for e in read.exhibits] == [
        ("table", "b", 7),
        ("table", "a", 1),
        ("plot", "a", None),
    ]


def test_another_kind_of_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"format": "perflab-run", "version": 1}')
    with pytest.raises(ExhibitsError, match=r"x\.json: is no perflab-exhibits file"):
        read_exhibits(tmp_path / "x.json")

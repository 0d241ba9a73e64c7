"""The report as a whole: its structure, that it loads nothing, and that it can be rebuilt."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from perflab.measure.statistics import NotEstimable
from perflab.report.html import ReportError, write_report
from perflab.runs import Journal, RunFolder

from .folders import (
    CLAIMS,
    EVERY_WORD,
    make_result,
    make_run,
    write_book,
    write_table,
)
from .page import Page, faults_of

FIXTURE = Path(__file__).parents[2] / "fixtures" / "run"
HOSTILE = "</style><script>alert(1)</script><img src=http://far.example/x onerror=alert(2)>"


def report(run: RunFolder) -> Page:
    return Page(write_report(run).path.read_text(encoding="utf-8"))


def notebook(run: RunFolder) -> Page:
    write_report(run)
    return Page((run.notebooks / "01_database.html").read_text(encoding="utf-8"))


def test_the_structure_is_valid_and_nothing_is_loaded(tmp_path: Path) -> None:
    run = make_run(tmp_path, *EVERY_WORD)
    page = report(run)
    assert faults_of(page) == []
    assert page.loads == []
    assert len(page.all("img")) == 1
    assert len(page.all("table")) == 3


def test_an_executed_notebook_has_a_page_that_is_linked_and_loads_nothing(tmp_path: Path) -> None:
    run = make_run(tmp_path, *EVERY_WORD)
    links = [a["href"] for a in report(run).all("a")]
    assert "notebooks/01_database.html" in links
    page = notebook(run)
    assert faults_of(page) == []
    assert page.loads == []
    assert [image["alt"] for image in page.all("img")] == ["Plot: What the plot says"]
    assert "lab . table ( 'zebra' )" in page.text


def test_both_forbid_the_network_by_policy(tmp_path: Path) -> None:
    run = make_run(tmp_path, *EVERY_WORD)
    for page in (report(run), notebook(run)):
        policies = [m["content"] for m in page.all("meta") if "http-equiv" in m]
        assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_hostile_text_is_shown_and_never_run(tmp_path: Path) -> None:
    run = make_run(
        tmp_path,
        make_result("database.tasks", "cannot tell", NotEstimable(HOSTILE), reason=HOSTILE),
        make_result("load.rps", "met", warnings=(HOSTILE,)),
    )
    run.claims.write_text(CLAIMS.replace("85% faster", HOSTILE).replace("The plan", HOSTILE))
    write_table(run, "zebra", text=HOSTILE)
    common = {"profile": HOSTILE, "services": HOSTILE, "seed": 1, "claims": HOSTILE}
    with Journal(run, common, {"01_database": {"x": HOSTILE}}, [HOSTILE]) as journal:
        journal.ends("01_database", 1.0, HOSTILE)
    shown = [
        {"text/html": f"<table><tr><th>{HOSTILE}</th></tr></table>", "text/plain": ""},
        {"application/javascript": "alert(3)"},
        {"text/markdown": f"![x](http://far.example) {HOSTILE}"},
        {"text/html": '<a href="javascript:alert(4)">x</a>'},
        {"text/html": '<p style="background:url(http://far.example)">'},
        {"text/html": "<style>@import 'http://far.example'; a { b: url(//far.example) }</style>"},
        {"image/svg+xml": "<svg onload='alert(5)'><script>alert(6)</script></svg>"},
    ]
    write_book(
        run,
        "01_database",
        [
            new_markdown_cell(f"# {HOSTILE}\n\n![x](http://far.example/y.png) {HOSTILE}"),
            new_code_cell(
                "1",
                execution_count=2,
                outputs=[new_output("display_data", data=data) for data in shown],
            ),
        ],
    )
    page = report(run)
    assert page.loads == []
    assert faults_of(page) == []
    assert page.text.count("alert(1)") >= 10
    book = notebook(run)
    assert book.loads == []


def test_the_same_folder_gives_the_same_bytes(tmp_path: Path) -> None:
    def bytes_of(run: RunFolder) -> list[str]:
        write_report(run)
        pages = [run.report, *run.files("notebooks", "html")]
        return [hashlib.sha256(page.read_bytes()).hexdigest() for page in pages]

    run = make_run(tmp_path, *EVERY_WORD)
    first = bytes_of(run)
    assert bytes_of(run) == first
    elsewhere = tmp_path / "elsewhere" / "made"
    shutil.copytree(run.path, elsewhere)
    (elsewhere / "report.html").unlink()
    assert bytes_of(RunFolder(elsewhere)) == first


def test_a_run_of_a_single_notebook_needs_no_manifest(tmp_path: Path) -> None:
    shutil.copytree(FIXTURE, tmp_path / "run")
    written = write_report(RunFolder(tmp_path / "run"))
    page = Page(written.path.read_text())
    assert written.problems == ()
    assert faults_of(page) == []
    assert "database.tasks.improvement" in page.text
    assert "there is no record of a batch" in page.text


def test_a_folder_with_nothing_in_it_still_gives_a_report(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    page = report(RunFolder(tmp_path / "run"))
    assert faults_of(page) == []
    assert "None of 69 promised figures was measured" in page.text
    assert "No notebook of this run has recorded a figure" in page.text


def test_no_path_of_the_machine_is_in_the_report(tmp_path: Path) -> None:
    run = make_run(tmp_path, *EVERY_WORD)
    (run.results / "02_other.json").write_text("{")
    (run.tables / "zebra.md").unlink()
    written = write_report(run)
    assert len(written.problems) == 2
    assert str(tmp_path) not in written.path.read_text()


def test_plots_are_made_smaller_and_say_what_they_show(tmp_path: Path) -> None:
    run = make_run(tmp_path, *EVERY_WORD)
    (image,) = report(run).all("img")
    assert image["alt"] == "Plot: What the plot says"
    assert (image["width"], image["height"]) == ("200", "100")
    assert len(str(image["src"])) * 3 / 4 <= (run.plots / "middle.png").stat().st_size + 100


def test_a_folder_that_takes_no_file_is_one_error(tmp_path: Path) -> None:
    run = make_run(tmp_path, *EVERY_WORD)
    run.report.mkdir()
    with pytest.raises(ReportError, match=r"report\.html: cannot be written"):
        write_report(run)

"""A run's folder made by hand: every kind of file that a report is put together from."""

from __future__ import annotations

from pathlib import Path

import msgspec
import nbformat
import pandas as pd
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from perflab.measure.claims import Verdict, Word
from perflab.measure.environment import Environment, ServerFacts, write_environment
from perflab.measure.results import Origin, Result, write_results
from perflab.measure.statistics import Estimate, Interval
from perflab.report.exhibits import Exhibit, Exhibits
from perflab.report.tables import Column, build
from perflab.runs import RunFolder

ORIGIN = Origin(
    notebook="01_database",
    run_id="made",
    profile="quick",
    seed=42,
    environment_id="0123456789ab",
    rung="embedded",
    server_version="PostgreSQL 18.6",
)

CLAIMS = """
title = "The plan"

[[claim]]
id = "database.tasks"
area = "database"
table = "Database"
row = "Tasks"
column = "Improvement"
metric = "mean_reduction_percent"
unit = "%"
direction = "at_least"
target = 85
wording = "85% faster"
notebook = "01_database"

[[claim]]
id = "database.pool"
area = "database"
table = "Pool"
metric = "count"
unit = "connections"
direction = "at_most"
target = 10
wording = "**Pool**: 10"
notebook = "01_database"

[[claim]]
id = "database.habits"
area = "database"
table = "Database"
row = "Habits"
column = "Improvement"
metric = "mean_reduction_percent"
unit = "%"
direction = "at_least"
target = 89
wording = "89% faster"
notebook = "01_database"

[[claim]]
id = "load.rps"
area = "load"
table = "Load"
metric = "throughput_rps"
unit = "requests/s"
direction = "at_least"
target = 1000
wording = "1000 RPS"
notebook = "06_load"

[[claim]]
id = "cache.hits"
area = "cache"
table = "Cache"
metric = "hit_ratio_percent"
unit = "%"
direction = "at_least"
target = 88
wording = "88% hits"
notebook = "03_cache"
"""


def make_result(
    claim: str,
    word: Word,
    value: Estimate | None = None,
    *,
    reason: str = "a reason",
    origin: Origin = ORIGIN,
    aa: Estimate | None = None,
    warnings: tuple[str, ...] = (),
    target: float = 85.0,
) -> Result:
    """A judged result."""
    return Result(
        name=claim,
        claim=claim,
        metric="mean_reduction_percent",
        unit="%",
        value=value or Interval(90.0, 88.0, 92.0),
        target=target,
        verdict=Verdict(word, reason),
        aa=aa,
        n=48,
        blocks=24,
        origin=origin,
        recorded_at="2026-11-24T02:47:40.843+00:00",
        warnings=warnings,
    )


EVERY_WORD = (
    make_result("database.tasks", "met"),
    make_result("database.pool", "missed"),
    make_result("database.habits", "cannot tell"),
    make_result("load.rps", "void"),
)

ENVIRONMENT = Environment(
    id="0123456789ab",
    captured_at="2026-11-24T02:47:40+00:00",
    cpu_model="A processor",
    cpu_count=2,
    cpu_usable=2,
    governor=None,
    memory_bytes=8 * 2**30,
    load_average=(0.1, 0.2, 0.3),
    system="Debian GNU/Linux 12",
    kernel="6.1",
    python="3.11.7",
    libraries={"numpy": "2.4.6"},
    git_revision=None,
    git_dirty=None,
    servers={"postgres": ServerFacts("embedded", "18.6", {"jit": "off"})},
)


def write_table(run: RunFolder, name: str, rows: int = 2, text: str = "a row") -> None:
    """A table with a text, a figure with its interval and a verdict."""
    frame = pd.DataFrame(
        {
            "name": [f"{text} {n}" for n in range(rows)],
            "ms": [1.5] * rows,
            "ms_lo": [1.0] * rows,
            "ms_hi": [2.0] * rows,
            "verdict": ["met"] * rows,
        }
    )
    columns = [
        Column("name", "name"),
        Column("ms", "mean (ms)", interval=True),
        Column("verdict", "verdict"),
    ]
    build(frame, columns, title=f"Title of {name}", subtitle="A subtitle").write(run.tables / name)


def write_plot(run: RunFolder, name: str) -> None:
    """A picture of 400 x 200 pixels with more colours than it needs bytes for."""
    noise = Image.effect_noise((400, 200), 40).convert("RGB")
    noise.save(run.plots / f"{name}.png")


def write_book(run: RunFolder, name: str, cells: list[nbformat.NotebookNode]) -> None:
    """An executed notebook; cells without an id that changes."""
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    nbformat.write(new_notebook(cells=cells), run.notebooks / f"{name}.ipynb")


def write_json(path: Path, document: msgspec.Struct) -> None:
    """A struct as JSON."""
    path.write_bytes(msgspec.json.encode(document))


def make_run(
    parent: Path, *results: Result, environment: Environment | None = ENVIRONMENT
) -> RunFolder:
    """A run with one notebook: a heading, two tables and a plot whose order matters."""
    run = RunFolder(parent / "made")
    run.path.mkdir()
    run.claims.write_text(CLAIMS)
    if environment:
        write_environment(run.environment, environment)
    if results:
        write_results(run.results / "01_database.json", results)
    write_table(run, "zebra")
    write_table(run, "ant", rows=40)
    write_plot(run, "middle")
    write_book(
        run,
        "01_database",
        [
            new_markdown_cell("# The notebook's title\n\nA *first* word."),
            new_code_cell("profile = 1", execution_count=1),
            new_markdown_cell("## First part\n\nProse of the first part."),
            new_code_cell(
                "lab.table('zebra')\nlab.plot('middle')",
                execution_count=2,
                outputs=[
                    new_output(
                        "display_data",
                        data={"image/png": PNG, "text/plain": "<plot>"},
                    )
                ],
            ),
            new_markdown_cell("## Nothing is kept here\n\nUnseen prose."),
            new_code_cell("1 + 1", execution_count=3),
            new_markdown_cell("### Second part"),
            new_code_cell("lab.table('ant')", execution_count=4),
        ],
    )
    Exhibits(
        notebook="01_database",
        exhibits=(
            Exhibit(kind="table", name="zebra", title="Title of zebra", cell=2),
            Exhibit(kind="plot", name="middle", title="What the plot says", cell=2),
            Exhibit(kind="note", name="scaling", title="not run: a reason", cell=2),
            Exhibit(kind="table", name="ant", title="Title of ant", cell=4),
        ),
    ).write(run.exhibits)
    return run


PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)
"""One transparent pixel."""

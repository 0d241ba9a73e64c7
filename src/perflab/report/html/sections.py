"""The report's section of each notebook: its tables and plots in order, under its own headings."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from markupsafe import Markup
from PIL import Image

from perflab.errors import PerflabError
from perflab.report.exhibits import Exhibit
from perflab.report.html.contents import Contents
from perflab.report.tables import Shown, read_shown

PIXEL_RATIO = 2
"""Plots are stored at twice the screen's resolution."""
LONG_TABLE = 25
"""A table with more rows is folded away."""
COLOURS = 256
PAPERMILL_TAG = "papermill-error-cell-tag"
"""Papermill's own words in a failed notebook; the report has its own."""
REPORT_TAG = "report"
"""A Markdown cell with this tag is shown though no table or plot stands under its heading."""

_MARKDOWN = MarkdownIt("js-default").disable(["image", "link", "autolink", "linkify"])
"""Escapes HTML; nothing in it can point outside the report."""


class PlotError(PerflabError):
    """A run's plot cannot be read."""


@dataclass(frozen=True)
class Plot:
    """A PNG inside the page; sizes in CSS pixels."""

    uri: str
    width: int
    height: int
    alt: str


@dataclass(frozen=True)
class Item:
    """One exhibit, ready to be shown: exactly one of the three is set."""

    table: Shown | None = None
    plot: Plot | None = None
    note: str = ""

    @property
    def folded(self) -> bool:
        """True for a table that is too long to lie open."""
        return self.table is not None and len(self.table.rows) > LONG_TABLE


@dataclass(frozen=True)
class Part:
    """What stands under one heading of a notebook."""

    heading: str
    level: int
    """1 for the notebook's title."""
    prose: Markup
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Section:
    """One notebook."""

    name: str
    title: str
    seconds: float | None
    failure: str
    status: str
    page: str
    """The executed notebook's page, relative to the report; empty where there is none."""
    parts: tuple[Part, ...]


def sections_of(contents: Contents, problems: list[str]) -> tuple[Section, ...]:
    """A section a notebook, and one of what no index holds; unreadable files go to problems."""
    found = []
    for notebook in contents.notebooks:
        book = contents.books.get(notebook.name)
        exhibits = contents.exhibits_of(notebook.name)
        parts = tuple(_parts(contents, book, exhibits, problems))
        title = next((part.heading for part in parts if part.level == 1 and part.heading), "")
        found.append(
            Section(
                name=notebook.name,
                title=title or notebook.name,
                seconds=notebook.seconds,
                failure=notebook.failure,
                status=notebook.status,
                page=f"notebooks/{notebook.name}.html" if book is not None else "",
                parts=parts,
            )
        )
    rest = [
        *(Exhibit(kind="plot", name=n, title=n) for n in contents.unclaimed("plots", "png")),
        *(Exhibit(kind="table", name=n, title=n) for n in contents.unclaimed("tables", "md")),
    ]
    if rest:
        items = _items(contents, rest, problems)
        title = "Tables and plots without a record of their notebook"
        part = Part("", 1, Markup(), tuple(items))
        found.append(Section("other", title, None, "", "done", "", (part,)))
    return tuple(found)


def _parts(
    contents: Contents, book: Any, exhibits: Sequence[Exhibit], problems: list[str]
) -> Iterator[Part]:
    """Exhibits under the notebook's headings; those that no cell claims come last."""
    left = list(exhibits)
    for heading, level, prose, cells, wanted in _chapters(book):
        here = [e for e in left if e.cell is not None and e.cell in cells]
        left = [e for e in left if e not in here]
        if here or wanted:
            text = Markup(_MARKDOWN.render(prose))  # noqa: S704 - the renderer escapes HTML
            yield Part(heading, level, text, tuple(_items(contents, here, problems)))
    if left:
        yield Part("", 2, Markup(), tuple(_items(contents, left, problems)))


def _chapters(book: Any) -> Iterator[tuple[str, int, str, set[int], bool]]:
    """Heading, its level, the prose below it, its cells' counts, and whether it is shown anyway."""
    heading, level, prose = "", 2, ""
    cells: set[int] = set()
    wanted = False
    for cell in book.cells if book is not None else ():
        if cell.cell_type == "code" and cell.execution_count is not None:
            cells.add(cell.execution_count)
        tags = cell.metadata.get("tags", ())
        if cell.cell_type != "markdown" or PAPERMILL_TAG in tags:
            continue
        for new, text in _split(cell.source):
            if new:
                yield heading, level, prose, cells, wanted
                (heading, level), prose, cells, wanted = new, "", set(), new[1] == 1
            prose += text + "\n\n"
            wanted = wanted or REPORT_TAG in tags
    yield heading, level, prose, cells, wanted


def _split(source: str) -> Iterator[tuple[tuple[str, int] | None, str]]:
    """A cell's Markdown at its headings: heading with level (None before the first), text."""
    lines = source.split("\n")
    tokens = _MARKDOWN.parse(source)
    starts = [
        (token.map[0], token.map[1], tokens[n + 1].content, int(token.tag[1]))
        for n, token in enumerate(tokens)
        if token.type == "heading_open" and token.level == 0 and token.map
    ]
    ends = [start for start, *_ in starts[1:]] + [len(lines)]
    if not starts or starts[0][0] > 0:
        yield None, "\n".join(lines[: starts[0][0] if starts else None])
    for (_start, below, heading, level), end in zip(starts, ends, strict=True) if starts else ():
        yield (heading, level), "\n".join(lines[below:end])


def _items(contents: Contents, exhibits: Sequence[Exhibit], problems: list[str]) -> Iterator[Item]:
    run = contents.run
    for exhibit in exhibits:
        try:
            if exhibit.kind == "table":
                yield Item(table=read_shown(run.tables / f"{exhibit.name}.md"))
            elif exhibit.kind == "plot":
                yield Item(plot=_plot(run.plots / f"{exhibit.name}.png", exhibit.title))
            else:
                yield Item(note=exhibit.title)
        except PerflabError as error:
            problems.append(str(error).replace(f"{run.path}/", ""))


def _plot(path: Path, title: str) -> Plot:
    """The plot with its colours in a palette: a third of the bytes, and nobody sees it."""
    try:
        with Image.open(path) as image:
            width, height = image.size
            small = image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    except (OSError, ValueError, SyntaxError):  # what Pillow raises for broken PNGs
        raise PlotError(f"{path}: is no readable PNG") from None
    png = io.BytesIO()
    small.save(png, "PNG", optimize=True)
    data = min(png.getvalue(), path.read_bytes(), key=len)
    return Plot(
        uri=f"data:image/png;base64,{base64.b64encode(data).decode()}",
        width=width // PIXEL_RATIO,
        height=height // PIXEL_RATIO,
        alt=f"Plot: {title}",
    )

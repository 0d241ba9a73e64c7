"""Executed notebooks as pages that load nothing and run nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from bs4 import BeautifulSoup, Tag
from markupsafe import Markup
from nbconvert import HTMLExporter

from perflab.report.exhibits import Exhibit

_ACTIVE = ("script", "iframe", "object", "embed", "link", "base", "meta", "form", "audio", "video")
_LOADING = ("src", "srcset", "data", "poster", "background", "action", "formaction")
_CSS_LOADS = re.compile(r"@import[^;]*;?|url\(\s*(?!['\"]?data:)[^)]*\)", re.IGNORECASE)


def notebook_body(book: Any, exhibits: Sequence[Exhibit]) -> Markup:
    """The cells of an executed notebook as inert HTML; plots get their titles as alt texts."""
    titles = {e.cell: f"Plot: {e.title}" for e in exhibits if e.kind == "plot"}
    body, _ = _exporter().from_notebook_node(_with_alt_texts(book, titles))
    return _inert(body)


@cache
def _exporter() -> Any:
    """One for all notebooks: a new one compiles its templates anew, for a quarter of a second."""
    return HTMLExporter(template_name="basic", exclude_anchor_links=True)  # type: ignore[no-untyped-call]


def _with_alt_texts(book: Any, titles: dict[int | None, str]) -> Any:
    found = book.copy()
    found.cells = [cell.copy() for cell in book.cells]
    for cell in found.cells:
        if cell.cell_type == "code":
            alt = titles.get(cell.execution_count, "Plot without a title")
            cell.metadata = {**cell.metadata, "alt": alt}
    return found


def _inert(html: str) -> Markup:
    """Without scripts, frames and anything that would be loaded from elsewhere."""
    soup = BeautifulSoup(html, "html.parser")
    for tag in soup.find_all(_ACTIVE):
        tag.decompose()
    for tag in soup.find_all(True):
        _disarm(tag)
    for sheet in soup.find_all("style"):
        sheet.string = _CSS_LOADS.sub("", sheet.get_text())
    return Markup(str(soup))  # noqa: S704 - made inert above


def _disarm(tag: Tag) -> None:
    for name in list(tag.attrs):
        value = str(tag.attrs[name]).strip()
        outside = name in _LOADING and not value.startswith("data:image/")
        script = name.startswith("on") or value.lower().startswith("javascript:")
        if outside or script or name.endswith(":href"):
            del tag.attrs[name]
        elif name == "style":
            tag.attrs[name] = _CSS_LOADS.sub("", value)
    if tag.name == "th" and "scope" not in tag.attrs:
        tag.attrs["scope"] = "row" if tag.find_parent("tbody") else "col"

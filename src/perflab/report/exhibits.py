"""What a notebook showed, in its order: the index by which a report is put together."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from perflab.errors import PerflabError
from perflab.files import read_document, write_document


class ExhibitsError(PerflabError):
    """An index of exhibits cannot be read."""


class Exhibit(msgspec.Struct, frozen=True, kw_only=True):
    """One table or plot of a notebook, or a line that says why there is none."""

    kind: Literal["table", "plot", "note"]
    name: str
    """The stem of its files in ``tables/`` or ``plots/``."""
    title: str
    """The table's or the plot's title; the line itself of a note."""
    cell: int | None = None
    """The execution count of the cell that showed it; None outside a kernel."""


class Exhibits(msgspec.Struct, frozen=True, kw_only=True):
    """The exhibits of one notebook; written as ``exhibits/<notebook>.json``."""

    format: Literal["perflab-exhibits"] = "perflab-exhibits"
    version: int = 1
    notebook: str
    exhibits: tuple[Exhibit, ...] = ()

    def including(self, exhibit: Exhibit) -> Exhibits:
        """With this one at the end, or in the place of its namesake: a cell may run twice."""
        same = [(e.kind, e.name) == (exhibit.kind, exhibit.name) for e in self.exhibits]
        if any(same):
            shown = tuple(
                exhibit if replaced else known
                for known, replaced in zip(self.exhibits, same, strict=True)
            )
        else:
            shown = (*self.exhibits, exhibit)
        return msgspec.structs.replace(self, exhibits=shown)

    def write(self, folder: Path) -> None:
        """Write ``<notebook>.json`` into ``folder``."""
        write_document(folder / f"{self.notebook}.json", self)


def read_exhibits(path: Path) -> Exhibits:
    """The index in this file; an ExhibitsError names what is wrong with it."""
    return read_document(path, Exhibits, ExhibitsError)

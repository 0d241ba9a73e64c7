"""Progress that suits where it is shown: a widget in JupyterLab, a line in a terminal."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm.auto import tqdm

Step = Callable[[str, int, int], None]
"""``step(what, done, total)``: called as often as work is done, cheap to call."""


def in_kernel() -> bool:
    """True inside a Jupyter kernel."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and hasattr(shell, "kernel")


@contextmanager
def progress(title: str) -> Iterator[Step]:
    """A progress bar for the body; it disappears at the end, so saved notebooks stay clean.

    In a kernel the cell's output so far is cleared with it: open it first in a cell.
    """
    with tqdm(total=0, desc=title, leave=False, dynamic_ncols=not in_kernel()) as bar:

        def step(what: str, done: int, total: int) -> None:
            bar.total = total
            bar.set_description(f"{title}: {what}" if what else title, refresh=False)
            bar.update(done - bar.n)

        yield step
    if in_kernel():
        display_module = importlib.import_module("IPython.display")  # ships no types
        display_module.clear_output()

"""Papermill over the notebooks: one deadline, live progress and an honest status."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import papermill
from jupyter_core.utils import ensure_async, ensure_event_loop
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import Engine, papermill_engines
from papermill.exceptions import PapermillExecutionError
from papermill.log import logger
from traitlets.config import Config

from perflab.paths import notebooks_dir
from perflab.runs import RUN_VARIABLE, SERVICES_VARIABLE, RunFolder

OnCell = Callable[[int, int, str], None]
"""``on_cell(done, total, heading)``: called when a code cell starts and at the end."""


class Outcome(msgspec.Struct, frozen=True):
    """How one notebook ended."""

    notebook: str
    seconds: float
    executed: str
    """Path of the executed notebook."""
    failure: str = ""
    """Empty when every cell ran; else the cell and the reason in one line."""

    @property
    def ok(self) -> bool:
        """True when every cell ran."""
        return not self.failure


class Deadline:
    """The moment at which a run's last notebook must have ended."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._clock = clock
        self._end = clock() + seconds

    def left_s(self) -> float:
        """Seconds left, never below a tenth so that a cell at the deadline times out cleanly."""
        return max(0.1, self._end - self._clock())

    @property
    def passed(self) -> bool:
        """True when no time is left."""
        return self._clock() >= self._end


class LabClient(PapermillNotebookClient):  # type: ignore[misc]  # papermill ships no types
    """Papermill's own client; on Ctrl-C the cell ends before its kernel is shut down."""

    def papermill_execute_cells(self) -> None:
        """Run the cells, as papermill does."""
        try:
            super().papermill_execute_cells()
        except KeyboardInterrupt:
            ensure_event_loop().run_until_complete(self._end_cell())
            raise

    async def _end_cell(self) -> None:
        """Interrupt the running cell and wait until the kernel has answered it.

        A kernel that is shut down in the middle of a cell prints a traceback about its sockets,
        and a task that nobody reads prints another. The tasks that waited for the cell are of no
        use any more: the interrupt may have ended any one of them. So the kernel is asked something
        else, which it answers when the cell is over.
        """
        waiting = asyncio.all_tasks() - {asyncio.current_task()}
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await ensure_async(self.km.interrupt_kernel())
        with suppress(TimeoutError, DeadKernelError):
            async with asyncio.timeout(_INTERRUPT_S):
                await self.async_wait_for_reply(self.kc.kernel_info())


_INTERRUPT_S = 5.0
"""A cell that does not heed an interrupt for so long goes down with its kernel."""


class LabEngine(Engine):  # type: ignore[misc]  # papermill ships no types
    """Papermill's engine, which also reports cells and ends them at the deadline."""

    @classmethod
    def execute_managed_notebook(
        cls,
        nb_man: Any,
        kernel_name: str,
        *,
        deadline: Deadline,
        on_cell: OnCell,
        start_timeout: float,
        **_unused: Any,
    ) -> Any:
        """Run the notebook; ``on_cell`` hears of each code cell."""
        headings = _headings(nb_man.nb.cells)
        total = len(headings)
        started = 0
        cell_start = nb_man.cell_start

        def report(cell: Any, index: int | None = None, **rest: Any) -> None:
            nonlocal started
            if index in headings:
                on_cell(started, total, headings[index])
                started += 1
            cell_start(cell, index, **rest)

        nb_man.cell_start = report
        client = LabClient(
            nb_man,
            kernel_name=kernel_name,
            startup_timeout=start_timeout,
            timeout_func=lambda _cell: deadline.left_s(),
            log=logger,
            config=_ENCRYPTED,
        )
        result = client.execute()
        on_cell(total, total, "")
        return result


_ENCRYPTED = Config({"KernelManager": {"transport_encryption": "auto"}})
"""Notebook and kernel talk over loopback TCP, where any user of the machine could listen in."""

papermill_engines.register("perflab", LabEngine)


def _headings(cells: Sequence[Any]) -> dict[int, str]:
    """The heading above each code cell, by the cell's index."""
    heading = ""
    found: dict[int, str] = {}
    for index, cell in enumerate(cells):
        if cell.cell_type == "markdown":
            titles = [line for line in cell.source.splitlines() if line.startswith("#")]
            heading = titles[0].lstrip("# ") if titles else heading
        elif cell.cell_type == "code":
            found[index] = heading
    return found


def run_notebook(
    notebook: str,
    parameters: Mapping[str, object],
    run: RunFolder,
    *,
    deadline: Deadline,
    on_cell: OnCell = lambda done, total, heading: None,
    source: Path | None = None,
) -> Outcome:
    """Execute one notebook into the run's folder and say how it ended.

    A failed cell, a timeout and a dead kernel are failures with the cell named; the executed
    notebook is written as it goes, so what ran before the failure is kept.
    """
    source = source or notebooks_dir() / f"{notebook}.ipynb"
    executed = run.notebooks / f"{notebook}.ipynb"
    if deadline.passed:
        reason = f"not started: the run's deadline of {deadline.seconds:.0f} s had passed"
        return Outcome(notebook=notebook, seconds=0.0, executed="", failure=reason)
    started = time.monotonic()
    where = ""

    def watch(done: int, total: int, heading: str) -> None:
        nonlocal where
        if done < total:  # the last report comes after the cells and would hide where it ended
            where = f"code cell {done + 1} of {total}" + (f" ({heading})" if heading else "")
        on_cell(done, total, heading)

    failure = ""
    try:
        papermill.execute_notebook(
            source,
            executed,
            parameters=dict(parameters),
            engine_name="perflab",
            progress_bar=False,
            deadline=deadline,
            on_cell=watch,
        )
    except PapermillExecutionError as error:
        failure = f"{where}: {error.ename}: {error.evalue}"
    except CellTimeoutError:
        failure = f"{where}: stopped at the run's deadline of {deadline.seconds:.0f} s"
    except DeadKernelError:
        failure = f"{where}: the kernel died"
    except RuntimeError as error:
        # a kernel that dies while it starts has no class of its own
        reason = "the kernel died" if "Kernel died" in str(error) else f"RuntimeError: {error}"
        failure = f"{where or 'before the first cell'}: {reason}"
    except Exception as error:  # noqa: BLE001 - whatever else stops a notebook is its failure too
        failure = f"{where or 'before the first cell'}: {type(error).__name__}: {error}"
    return Outcome(
        notebook=notebook,
        seconds=time.monotonic() - started,
        executed=str(executed),
        failure=" ".join(failure.split()),
    )


@contextmanager
def kernel_environment(run: RunFolder, services_file: Path | None) -> Iterator[None]:
    """Environment variables through which notebooks find the run and its servers."""
    values = {RUN_VARIABLE: str(run.path)}
    if services_file is not None:
        values[SERVICES_VARIABLE] = str(services_file)
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

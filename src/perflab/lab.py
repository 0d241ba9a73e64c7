"""The door for notebooks: ``open_lab`` gives checked parameters, servers and a run to record in."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from perflab.datasets import Datasets, shared_buffers_mb, template_name
from perflab.errors import ParameterError
from perflab.measure.claims import Claims, load_claims
from perflab.measure.environment import Environment, capture, write_environment
from perflab.measure.results import Origin, Result, write_results
from perflab.parameters import NOTEBOOKS, Common, RungChoice, check, injected
from perflab.profiles import Profile, load_profile
from perflab.progress import Step, progress
from perflab.report.picture import Picture
from perflab.report.tables import Table
from perflab.runs import SERVICES_VARIABLE, RunFolder, current_run
from perflab.services import (
    PostgresSettings,
    Services,
    attach_services,
    open_services,
)

SCREEN_DPI = 96
"""CSS pixels of an inch; plots are stored at twice that."""

_open: list[Lab] = []
"""The lab of this process: opening another closes it, so Run All twice works."""


class Lab:
    """One notebook's stay in the lab; made by ``open_lab``, ended by ``close``."""

    def __init__(
        self, notebook: str, parameters: Common, profile: Profile, run: RunFolder, claims: Claims
    ) -> None:
        self.notebook = notebook
        self.parameters = parameters
        self.profile = profile
        self.run = run
        self.claims = claims
        self.results: tuple[Result, ...] = ()
        self._services: Services | None = None
        self._datasets: Datasets | None = None
        self._environment: Environment | None = None

    @property
    def services(self) -> Services:
        """The servers; started at the first use, so a notebook that needs none starts none."""
        if self._services is None:
            shared = os.environ.get(SERVICES_VARIABLE)
            self._services = (
                attach_services(Path(shared))
                if shared
                else start_services(self.parameters.services, self.profile, self.parameters.seed)
            )
        return self._services

    @property
    def datasets(self) -> Datasets:
        """The seeded databases of this profile, loaded (or taken from the cache) at first use."""
        if self._datasets is None:
            datasets = Datasets(self.services.postgres, self.profile, self.parameters.seed)
            with progress("loading data") as step:
                datasets.load(step)
            self._datasets = datasets
        return self._datasets

    @property
    def environment(self) -> Environment:
        """What the figures were measured on; captured once, written beside the results."""
        if self._environment is None:
            self._environment = capture(self._services)
            path = self.run.path / "environment.json"
            if self._services is not None or not path.exists():
                write_environment(path, self._environment)  # a notebook with servers knows more
        return self._environment

    @property
    def origin(self) -> Origin:
        """What every result of this notebook carries; opens the servers, since it names them."""
        postgres = self.services.postgres
        return Origin(
            notebook=self.notebook,
            run_id=self.run.id,
            profile=self.profile.name,
            seed=self.parameters.seed,
            environment_id=self.environment.id,
            rung=postgres.rung,
            server_version=f"PostgreSQL {postgres.version}",
        )

    def progress(self, title: str) -> AbstractContextManager[Step]:
        """A progress bar for a cell; gone at the end, so saved notebooks stay clean."""
        return progress(title)

    def record(self, results: Sequence[Result]) -> None:
        """Add results to the run; ``results/<notebook>.json`` is rewritten whole."""
        self.results = (*self.results, *results)
        write_results(self.run.results / f"{self.notebook}.json", self.results)

    def table(self, name: str, table: Table) -> Table:
        """Keep a table in the run as CSV and Markdown and hand it back for the notebook to show."""
        table.write(self.run.tables / name)
        return table

    def plot(self, name: str, figure: Figure) -> Picture:
        """Keep a plot in the run as PNG and hand the picture back for the notebook to show."""
        path = self.run.plots / f"{name}.png"
        figure.savefig(path, dpi=2 * SCREEN_DPI)
        width, height = (round(inches * SCREEN_DPI) for inches in figure.get_size_inches())
        return Picture(path.read_bytes(), width, height)

    def close(self) -> None:
        """Drop this notebook's databases and stop what it started; safe to call twice."""
        if self in _open:
            _open.remove(self)
        if self._datasets is not None:
            self._datasets.close()
            self._datasets = None
        if self._services is not None:
            self._services.close()
            self._services = None


def start_services(rung: RungChoice, profile: Profile, seed: int) -> Services:
    """Servers for a profile: buffers that hold both arms, and the data where the rung kept it."""
    return open_services(
        rung,
        settings=PostgresSettings(shared_buffers_mb=shared_buffers_mb(profile)),
        template=template_name(profile, seed),
    )


def open_lab(notebook: str, **parameters: Any) -> Lab:
    """Check a notebook's parameters and open the lab for it.

    Nothing starts before every parameter is known, well typed and in range; a ParameterError
    names the first that is not, also when papermill injected it.
    """
    if notebook not in NOTEBOOKS:
        raise ParameterError(f"notebook {notebook!r} is unknown; known: {', '.join(NOTEBOOKS)}")
    checked = check(NOTEBOOKS[notebook], {**injected(_history()), **parameters})
    claims = load_claims(Path(checked.claims) if checked.claims else None)
    profile = load_profile(checked.profile)
    for other in tuple(_open):
        other.close()
    lab = Lab(notebook, checked, profile, current_run(profile.name), claims)
    _open.append(lab)
    return lab


def _history() -> list[str]:
    """The sources of the cells that this kernel has run; empty outside a kernel."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return [str(source) for source in shell.user_ns.get("In", [])] if shell else []


@atexit.register
def _close_all() -> None:
    for lab in tuple(_open):
        lab.close()

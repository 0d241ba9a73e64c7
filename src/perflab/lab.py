"""The door for notebooks: ``open_lab`` gives checked parameters, servers and a run to record in."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, Literal, overload

from matplotlib.figure import Figure

from perflab.datasets import Datasets, shared_buffers_mb, template_name
from perflab.errors import ParameterError
from perflab.measure.claims import Claims, load_claims
from perflab.measure.environment import Environment, add_environment, capture, machine_id
from perflab.measure.results import Origin, Result, write_results
from perflab.measure.speed import Speedometer
from perflab.parameters import (
    NOTEBOOKS,
    Common,
    DatabaseParameters,
    RungChoice,
    check,
    injected,
)
from perflab.paths import best_speeds
from perflab.profiles import Profile, load_profile
from perflab.progress import Step, progress
from perflab.report.exhibits import Exhibit, Exhibits
from perflab.report.not_run import NotRun
from perflab.report.picture import Picture
from perflab.report.style import title_of
from perflab.report.tables import Table
from perflab.runs import SERVICES_VARIABLE, RunFolder, current_run
from perflab.services import (
    Nginx,
    Postgres,
    PostgresSettings,
    Redis,
    RungUnavailable,
    Services,
    attach_services,
    lacks,
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
        self._exhibits = Exhibits(notebook=notebook)
        self._speedometer = Speedometer(run.speed, best_speeds(), machine_id(), notebook)
        self._closing = ExitStack()
        self._services: Services | None = None
        self._edge: Nginx | NotRun | None = None
        self._datasets: Datasets | None = None
        self._environment: Environment | None = None

    @property
    def services(self) -> Services:
        """The servers; started at the first use, so a notebook that needs none starts none."""
        if self._services is None:
            shared = os.environ.get(SERVICES_VARIABLE)
            opened = (
                attach_services(Path(shared))
                if shared
                else start_services(self.parameters.services, self.profile, self.parameters.seed)
            )
            try:
                check_rung(self.parameters, opened.postgres)
            except ParameterError:
                opened.close()
                raise
            self._services = opened
        return self._services

    def edge(self) -> Nginx | NotRun:
        """The edge: an nginx of this notebook's own, which answers 503 until it is told to serve.

        It is started at the first call and ends with the lab. A NotRun says why there is none.
        """
        if self._edge is None:
            try:
                opened = open_services(self.parameters.services, only=["edge"])
            except RungUnavailable as error:
                self._edge = NotRun("the edge", str(error).removeprefix("edge: "))
            else:
                self.at_close(opened.close)
                self._edge = opened.edge
        return self._edge

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
            used: dict[str, Postgres | Redis | Nginx] = {}
            if self._services is not None:
                used = {"postgres": self._services.postgres, "redis": self._services.redis}
                if isinstance(self._edge, Nginx):
                    used["edge"] = self._edge
            lacking = [sentence for server in used.values() for sentence in lacks(server)]
            self._environment = capture(used, lacking)
            add_environment(self.run.environment, self._environment)
        return self._environment

    @property
    def origin(self) -> Origin:
        """What every result of this notebook carries; opens the servers, since it names them."""
        postgres, redis = self.services.postgres, self.services.redis
        return Origin(
            notebook=self.notebook,
            run_id=self.run.id,
            profile=self.profile.name,
            seed=self.parameters.seed,
            environment_id=self.environment.id,
            rung=", ".join(dict.fromkeys([postgres.rung, redis.rung])),
            server_version=f"PostgreSQL {postgres.version},"
            f" {redis.flavour.title()} {redis.version}",
        )

    def progress(self, title: str) -> AbstractContextManager[Step]:
        """A progress bar for a cell; gone at the end, so saved notebooks stay clean.

        What takes time is measured, so this is when the machine's speed is looked at.
        """
        self._speedometer.look()
        return progress(title)

    def record(self, results: Sequence[Result]) -> None:
        """Add results to the run; ``results/<notebook>.json`` is rewritten whole."""
        self.run.keep_claims(self.parameters.claims)
        self.results = (*self.results, *results)
        write_results(self.run.results / f"{self.notebook}.json", self.results)

    @overload
    def table(self, name: str, table: Table) -> Table: ...
    @overload
    def table(self, name: str, table: Table | NotRun) -> Table | NotRun: ...
    def table(self, name: str, table: Table | NotRun) -> Table | NotRun:
        """Keep a table in the run as CSV and Markdown and hand it back for the notebook to show."""
        if isinstance(table, NotRun):
            return self._not_run(name, table)
        table.write(self.run.tables / name)
        self._exhibit("table", name, table.title)
        return table

    @overload
    def plot(self, name: str, figure: Figure) -> Picture: ...
    @overload
    def plot(self, name: str, figure: Figure | NotRun) -> Picture | NotRun: ...
    def plot(self, name: str, figure: Figure | NotRun) -> Picture | NotRun:
        """Keep a plot in the run as PNG and hand the picture back for the notebook to show."""
        if isinstance(figure, NotRun):
            return self._not_run(name, figure)
        path = self.run.plots / f"{name}.png"
        figure.savefig(path, dpi=2 * SCREEN_DPI)
        self._exhibit("plot", name, title_of(figure))
        width, height = (round(inches * SCREEN_DPI) for inches in figure.get_size_inches())
        return Picture(path.read_bytes(), width, height)

    def _not_run(self, name: str, outcome: NotRun) -> NotRun:
        self._exhibit("note", name, str(outcome))
        return outcome

    def at_close(self, callback: Callable[[], object]) -> None:
        """Call something when the lab closes, while its servers still run."""
        self._closing.callback(callback)

    def _exhibit(self, kind: Literal["table", "plot", "note"], name: str, title: str) -> None:
        """Enter what the notebook shows into its index, for the report."""
        cell = len(_history()) - 1  # the first entry of a kernel's history is empty
        shown = Exhibit(kind=kind, name=name, title=title, cell=cell if cell > 0 else None)
        self._exhibits = self._exhibits.including(shown)
        self._exhibits.write(self.run.exhibits)

    def close(self) -> None:
        """Drop this notebook's databases and stop what it started; safe to call twice."""
        if self in _open:
            _open.remove(self)
        with ExitStack() as stack:  # each is closed even where another fails to
            if self._services is not None:
                stack.callback(self._services.close)
            if self._datasets is not None:
                stack.callback(self._datasets.close)
            stack.callback(self._closing.close)
            self._services = self._datasets = self._edge = None


def start_services(rung: RungChoice, profile: Profile, seed: int) -> Services:
    """Servers for a profile: buffers that hold both arms, and the data where the rung kept it."""
    return open_services(
        rung,
        settings=PostgresSettings(shared_buffers_mb=shared_buffers_mb(profile)),
        template=template_name(profile, seed),
    )


def check_rung(parameters: Common, postgres: Postgres) -> None:
    """A ParameterError for what only a server that the lab started may go through."""
    cold = isinstance(parameters, DatabaseParameters) and parameters.cold_buffers
    if cold and not postgres.owned:
        raise ParameterError(
            f"cold_buffers=True empties the server's buffers, and the PostgreSQL on {postgres.host}"
            " is not the lab's; leave it out, or let the lab start one (services='embedded')"
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

"""``perflab load`` of HTTP servers: by one generator, or by several."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from perflab.cli.console import console
from perflab.cli.load_given import Given, bar, state_line
from perflab.errors import ParameterError

if TYPE_CHECKING:
    from perflab.load.scenarios import Progress as State
    from perflab.load.scenarios import Run, Scenario, Summary


def load_server(
    given: Given, *, metrics_port: int | None, workers: int | None, scheduler: str
) -> Summary:
    """Carry the scenario out."""
    from perflab.load.scenarios import load_scenario, summarise

    scenario = load_scenario(
        given.file,
        target=given.target,
        data=given.data,
        duration_s=given.duration_s,
        seed=given.seed,
    )
    given.check_consent([scenario.target])
    if workers is None and not scheduler:
        return summarise(_alone(scenario, metrics_port))
    if metrics_port is not None:
        raise ParameterError("--metrics-port: the workers' figures are together only at the end")
    return summarise(_together(scenario, workers, scheduler))


def _alone(scenario: Scenario, metrics_port: int | None) -> Run:
    """Run it, with the rate and the 95th percentile of the last seconds beside a bar."""
    from perflab.load import LiveFigures
    from perflab.load.scenarios import run_scenario

    live = LiveFigures()
    with ExitStack() as stack:
        if metrics_port is not None:
            from perflab.monitor import MetricsRegistry, served_from_thread

            registry = MetricsRegistry()
            registry.register("load", live.stats)
            url = stack.enter_context(served_from_thread(registry, port=metrics_port))
            console.print(f"metrics: {url}", soft_wrap=True)
        show = stack.enter_context(_shown(scenario))
        return run_scenario(scenario, show, live)


def _together(scenario: Scenario, workers: int | None, scheduler: str) -> Run:
    """Run it on the workers of a Dask cluster."""
    from perflab.load.distributed import conduct
    from perflab.load.distributed.dask_crew import crew

    with crew(scenario, workers=workers, scheduler=scheduler) as members, _shown(scenario) as show:
        return conduct(scenario, members, show)


@contextmanager
def _shown(scenario: Scenario) -> Iterator[Callable[[State], None]]:
    with bar("setup" if scenario.setup else "start", scenario.duration_s) as show:
        yield lambda state: show(state.elapsed_s, _line(state))


def _line(state: State) -> str:
    rate = f"{state.rate_per_s:,.1f} requests/s"
    if state.refused:
        rate += f", {state.refused:,} refused"
    return state_line(state.elapsed_s, state.seconds, rate, state.p95_ms, state.errors)

"""``perflab load`` of hubs: WebSockets that listen, and messages among them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perflab.cli.load_given import Given, bar, state_line

if TYPE_CHECKING:
    from perflab.realtime.scenarios import SocketProgress, SocketSummary


def load_hub(given: Given) -> SocketSummary:
    """Carry the scenario out."""
    from perflab.realtime.scenarios import load_sockets, run_sockets, summarise_sockets

    scenario = load_sockets(
        given.file,
        target=given.target,
        data=given.data,
        duration_s=given.duration_s,
        seed=given.seed,
    )
    given.check_consent(scenario.targets)
    with bar("connecting", scenario.duration_s) as show:
        run = run_sockets(
            scenario,
            lambda state: show(state.elapsed_s, _line(state, scenario.connections)),
        )
    return summarise_sockets(run)


def _line(state: SocketProgress, asked: int) -> str:
    rate = f"{state.open:,} of {asked:,} open, {state.rate_per_s:,.1f} deliveries/s"
    return state_line(state.elapsed_s, state.seconds, rate, state.p95_ms, state.errors)

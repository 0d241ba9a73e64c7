"""``perflab alerts``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer
from rich.markup import escape
from rich.table import Table

from perflab.cli.console import console
from perflab.errors import ParameterError

if TYPE_CHECKING:
    from perflab.monitor.alerts import Rule, Setting, Target, Transition
    from perflab.monitor.alerts.watch import Tell

_COLOURS = {"firing": "red", "pending": "yellow", "inactive": "green"}
_SHORTEST_S = 0.1


def alerts(
    file: Annotated[
        Path | None, typer.Argument(help="Rules: see docs/monitoring.md; the lab's if left out.")
    ] = None,
    prometheus: Annotated[
        bool, typer.Option("--prometheus", help="Print them as a rules file of Prometheus.")
    ] = False,
    setting: Annotated[
        str, typer.Option(help="Which lengths of time: lab or production.")
    ] = "production",
    watch: Annotated[
        list[str] | None,
        typer.Option(help="Watch http://HOST:PORT/metrics, or JOB=URL; several may be given."),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(min=0.001, max=1e9, help="How long to watch; until Ctrl-C if left out."),
    ] = None,
    every: Annotated[float, typer.Option(help="Seconds between two looks.")] = 0.5,
    webhook: Annotated[
        bool, typer.Option("--webhook", help="Tell the URL in PERFLAB_ALERT_WEBHOOK too.")
    ] = False,
) -> None:
    """Check alert rules, translate them for Prometheus, or watch processes with them.

    Exit code 1 if an alert fired while watching, 2 for a mistake in the rules or the command.
    """
    # imported here: `perflab --help` should not wait for it
    from perflab.monitor.alerts import Setting, Target, as_prometheus, load_rules
    from perflab.paths import data_dir

    if setting not in get_args(Setting):
        raise ParameterError(f"setting={setting!r} is unknown; choose lab or production")
    if prometheus and watch:
        raise ParameterError("--prometheus and --watch: choose one of them")
    if not watch and (webhook or seconds is not None):
        option = "--webhook" if webhook else "--seconds"
        raise ParameterError(f"{option}: is for watching; add --watch URL")
    if every < _SHORTEST_S:
        raise ParameterError(f"every={every:g}: must be at least {_SHORTEST_S:g}")
    rules = load_rules(file or data_dir() / "alerts.toml")
    chosen = cast("Setting", setting)
    if prometheus:
        typer.echo(as_prometheus(rules, chosen), nl=False)
    elif watch:
        targets = [Target(job, url) for job, url in map(_named, watch)]
        _watch(rules, chosen, targets, seconds, every, webhook=webhook)
    else:
        _print_rules(rules, chosen)


def _named(given: str) -> tuple[str, str]:
    job, equals, url = given.partition("=")
    return (job, url) if equals and "/" not in job else ("process", given)


def _print_rules(rules: Sequence[Rule], setting: Setting) -> None:
    from perflab.monitor.alerts.prometheus import expression_of

    table = Table(title=f"{len(rules)} rules are usable", title_justify="left", header_style="bold")
    for heading in ("alert", "severity", "when", f"for (s, {setting})"):
        table.add_column(heading, overflow="fold")
    for rule in rules:
        condition = escape(expression_of(rule, setting))
        held = f"{getattr(rule.for_s, setting):g}"
        table.add_row(rule.name, rule.severity, condition, held)
    console.print(table)


def _watch(
    rules: Sequence[Rule],
    setting: Setting,
    targets: Sequence[Target],
    seconds: float | None,
    every: float,
    *,
    webhook: bool,
) -> None:
    from perflab.monitor.alerts import AlertEngine, Watch, Webhook

    with ExitStack() as stack:
        tell: list[Tell] = [_print_change]
        if webhook:
            told = stack.enter_context(Webhook(os.environ))
            tell.append(told.tell)
        watching = Watch(AlertEngine(rules, setting), targets, every_s=every, tell=tell)
        names = ", ".join(f"{target.job} {target.instance}" for target in targets)
        console.print(f"watching {escape(names)} with {len(rules)} rules", soft_wrap=True)
        stack.enter_context(watching)
        try:
            watching.wait(seconds)
        except KeyboardInterrupt:
            console.print("stopped")
    fired = sum(change.after == "firing" for change in watching.transitions)
    console.print(f"{fired} alerts fired")
    if fired:
        raise typer.Exit(1)


def _print_change(change: Transition) -> None:
    at = datetime.fromtimestamp(change.at_s).astimezone()
    colour = "green" if change.resolved else _COLOURS[change.after]
    console.print(f"{at:%H:%M:%S.%f}"[:-3], f"[{colour}]{escape(str(change))}[/]", soft_wrap=True)

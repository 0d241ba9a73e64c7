"""The command line: ``perflab run``, ``report``, ``compare``, ``load``, ``advise`` and others."""

from __future__ import annotations

import signal
import sys
from typing import Annotated

import typer
import typer.main
from rich.markup import escape

from perflab import __version__
from perflab.cli.advise import advise
from perflab.cli.alerts import alerts
from perflab.cli.compare import compare
from perflab.cli.console import console, mistakes, widen_logs
from perflab.cli.doctor import doctor
from perflab.cli.load import load
from perflab.cli.report import report
from perflab.cli.run import AssigningCommand, run
from perflab.cli.serve import serve
from perflab.cli.streams import keep_streams
from perflab.errors import PerflabError

app = typer.Typer(
    help="A performance lab in notebooks: promised figures, measured on real servers.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command(cls=AssigningCommand)(run)
app.command()(report)
app.command()(compare)
app.command()(load)
app.command()(advise)
app.command()(alerts)
app.command()(serve)
app.command()(doctor)


@app.callback(invoke_without_command=True)
def _alone(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        console.print(f"perflab {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit


def _terminate(signum: int, frame: object) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """The ``perflab`` command: a person's mistake is a line on standard error, exit code 2."""
    # `kill` must close the servers as Ctrl-C does
    signal.signal(signal.SIGTERM, _terminate)
    keep_streams()
    widen_logs()
    command = typer.main.get_command(app)
    # not by calling it, which would print mistakes in many lines and an interrupt not at all
    try:
        with command.make_context("perflab", sys.argv[1:]) as context:
            command.invoke(context)
    except typer.Exit as left:
        sys.exit(left.exit_code)
    except (PerflabError, typer.TyperException) as error:
        said = error.format_message() if isinstance(error, typer.TyperException) else str(error)
        line = escape(" ".join(said.split("\n")))
        mistakes.print(f"[red]{type(error).__name__}[/]: {line}", soft_wrap=True)
        sys.exit(2)
    except KeyboardInterrupt:
        console.print("stopped; the servers are down and what was measured is kept")
        sys.exit(130)
    sys.exit(0)

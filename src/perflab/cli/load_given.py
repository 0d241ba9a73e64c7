"""What `perflab load` was told, the same for all kinds of scenarios."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

from perflab.cli.console import console
from perflab.errors import ParameterError

if TYPE_CHECKING:
    from perflab.load.request import Target


@dataclass(frozen=True, kw_only=True)
class Given:
    """Of the command line."""

    file: Path
    target: str
    allow_remote: bool
    data: dict[str, Path]
    duration_s: float | None
    seed: int | None

    def check_consent(self, targets: Iterable[Target]) -> None:
        """A ParameterError if a target is somebody else's, as far as is known."""
        from perflab.load.reach import is_local

        for target in targets:
            if not self.allow_remote and not is_local(target):
                raise ParameterError(
                    f"{target.host} is not this machine; if its owner agrees to the load,"
                    " add --allow-remote"
                )


class Show(Protocol):
    """Moves the bar."""

    def __call__(self, elapsed_s: float, line: str) -> None:
        """How far it is, and what stands beside it."""


@contextmanager
def bar(first: str, seconds: float) -> Iterator[Show]:
    """A bar of a run that takes so long, and what moves it."""
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
        refresh_per_second=4,
    ) as bars:
        task = bars.add_task(first, total=seconds)
        yield lambda elapsed_s, line: bars.update(task, completed=elapsed_s, description=line)


def state_line(elapsed_s: float, seconds: float, rate: str, p95_ms: float, errors: int) -> str:
    """What stands beside the bar; ``p95_ms`` is NaN where there is none yet."""
    parts = [
        f"{min(elapsed_s, seconds):.0f} of {seconds:g} s",
        rate,
        f"p95 {p95_ms:.1f} ms" if p95_ms == p95_ms else "no answer yet",
    ]
    if errors:
        parts.append(f"[red]{errors:,} errors[/]")
    return ", ".join(parts)

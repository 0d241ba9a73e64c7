"""``report.html``: a run on one page that needs no network, put together from its folder alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from perflab.errors import PerflabError
from perflab.files import write_whole
from perflab.measure.environment import SPIN_S, STEADY
from perflab.measure.speed import SLOW
from perflab.measure.statistics import CONFIDENCE, MIN_BLOCKS, min_samples
from perflab.report.html.contents import Contents, read_contents
from perflab.report.html.notebooks import notebook_body
from perflab.report.html.sections import sections_of
from perflab.report.html.verdicts import STRIP_WIDTH, SYMBOLS, verdicts_of
from perflab.report.html.warnings import SERVERS, warnings_of
from perflab.runs import RunFolder


class ReportError(PerflabError):
    """A report cannot be written."""


@dataclass(frozen=True)
class Written:
    """A report on disk, and one line for each file of the run that it had to leave out."""

    path: Path
    problems: tuple[str, ...]


def write_report(run: RunFolder) -> Written:
    """Write ``report.html`` and a page for each executed notebook into the run's folder.

    The same folder gives the same bytes. Raises a ReportError where the disk does not take it.
    """
    contents = read_contents(run)
    found = list(contents.problems)
    page = _page(contents, found)
    try:
        for name in contents.books:
            path = run.notebooks / f"{name}.html"
            write_whole(path, _notebook_page(contents, name).encode())
        write_whole(run.report, page.encode())
    except OSError as error:
        raise ReportError(f"{run.report}: cannot be written ({error.strerror})") from None
    return Written(run.report, tuple(found))


def _page(contents: Contents, problems: list[str]) -> str:
    sections = sections_of(contents, problems)
    verdicts = verdicts_of(contents.claims, contents.newest)
    return TEMPLATES.get_template("report.html.j2").render(
        contents=contents,
        verdicts=verdicts,
        warnings=warnings_of(contents, tuple(problems)),
        sections=sections,
        origin=contents.results[0].origin if contents.results else None,
        confidence=CONFIDENCE,
        min_blocks=MIN_BLOCKS,
        min_p95=min_samples(0.95),
        min_p99=min_samples(0.99),
        spin_s=SPIN_S,
        steady=STEADY,
        slow=SLOW,
    )


def _notebook_page(contents: Contents, name: str) -> str:
    return TEMPLATES.get_template("notebook.html.j2").render(
        name=name,
        run_id=contents.id,
        body=notebook_body(contents.books[name], contents.exhibits_of(name)),
    )


def _moment(stamp: str) -> str:
    """An ISO 8601 time as people write it; as it is where it is none."""
    try:
        at = datetime.fromisoformat(stamp)
    except ValueError:
        return stamp
    return f"{at.day} {at:%B %Y, %H:%M} UTC"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _elapsed(start: str, end: str) -> str:
    try:
        passed = datetime.fromisoformat(end) - datetime.fromisoformat(start)
    except (ValueError, TypeError):  # no times, or only one with a time zone
        return "an unknown time"
    return _duration(passed.total_seconds())


def _templates() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(moment=_moment, duration=_duration)
    environment.globals.update(
        symbols=SYMBOLS, servers=SERVERS, strip_width=STRIP_WIDTH, elapsed=_elapsed
    )
    return environment


TEMPLATES = _templates()

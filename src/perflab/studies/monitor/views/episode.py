"""An episode as a timeline of its alerts and a table of their changes; the overhead as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from perflab.measure.statistics import exact
from perflab.monitor.alerts import Transition
from perflab.report import style
from perflab.report.tables import Column, Table, build
from perflab.studies.frames import triple
from perflab.studies.monitor.overhead import PRODUCTION_EVERY_S, Overhead
from perflab.studies.monitor.pause import Episode

_STATES: Final = {"pending": "#e6c35c", "firing": style.BEFORE}
_PAUSED: Final = "#e4e4e4"


def changes_frame(episode: Episode) -> pd.DataFrame:
    """One row a change: seconds since the load began, alert, process, states, value."""
    return pd.DataFrame(
        [
            {
                "at_s": change.at_s - episode.began_s,
                "alert": change.rule.name,
                "process": dict(change.labels).get("job", ""),
                "before": change.before,
                "after": "resolved" if change.resolved else change.after,
                "value": change.value,
                "hint": change.rule.hint,
            }
            for change in episode.transitions
        ],
        columns=["at_s", "alert", "process", "before", "after", "value", "hint"],
    )


def changes_table(episode: Episode) -> Table:
    """What changed, and when."""
    begin, end = (moment - episode.began_s for moment in episode.paused)
    return build(
        changes_frame(episode),
        [
            Column("at_s", "at (s)", digits=2),
            Column("alert", "alert"),
            Column("process", "process"),
            Column("before", "from"),
            Column("after", "to"),
            Column("value", "value", digits=2),
        ],
        title=f"The server stood still from {begin:.2f} to {end:.2f} s: what the alerts made of it",
    )


def timeline_plot(episode: Episode) -> Figure:
    """Latency as the load saw it above, the states of the alerts below."""
    fired = list(dict.fromkeys(c.rule.name for c in episode.transitions if c.after == "firing"))
    names = list(dict.fromkeys(change.rule.name for change in episode.transitions))
    figure, _ = style.new_figure(height=2.2 + 0.45 * max(len(names), 1))
    figure.clear()
    ratios = [3, max(len(names), 1)]
    top, below = figure.subplots(2, sharex=True, gridspec_kw={"height_ratios": ratios})
    begin, end = (moment - episode.began_s for moment in episode.paused)
    for axes in (top, below):
        axes.axvspan(begin, end, color=_PAUSED, zorder=0, label="server stopped")
    scheduled, latency = episode.samples.scheduled_s, 1e3 * episode.samples.latency_s
    top.plot(scheduled, latency, ".", color=style.AFTER, markersize=3)
    top.set_yscale("log")
    top.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    more = f" and {len(fired) - 2} more" if len(fired) > 2 else ""
    title = f"Raised by the stop: {', '.join(fired[:2]) or 'no alert'}{more}"
    style.finish(top, title=title, x="", y="latency (ms)")
    _states(below, names, episode)
    style.finish(
        below, title="", x="seconds since the load began (by when a request was due)", y=""
    )
    below.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def _states(axes: Axes, names: Sequence[str], episode: Episode) -> None:
    told = set()
    for place, name in enumerate(names):
        changes = [change for change in episode.transitions if change.rule.name == name]
        for state, start, end in _spans(changes, episode):
            label = None if state in told else state
            told.add(state)
            axes.barh(place, end - start, left=start, color=_STATES[state], height=0.6, label=label)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(max(len(names), 1) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")


def _spans(changes: Sequence[Transition], episode: Episode) -> list[tuple[str, float, float]]:
    """Each state of one rule's alerts, from when to when."""
    spans = []
    for number, change in enumerate(changes):
        if change.after != "inactive":
            same = (c for c in changes[number + 1 :] if c.labels == change.labels)
            end = next((c.at_s for c in same), episode.ended_s)
            spans.append((str(change.after), change.at_s - episode.began_s, end - episode.began_s))
    return spans


def overhead_table(overhead: Overhead) -> Table:
    """A request's ratio with its interval, and what a scrape takes.

    Medians of requests, as one of half a millisecond that met a pause of the machine would outweigh
    all others in an average.
    """
    compared = overhead.requests
    rows = [
        {"what": "a cached page, not watched (ms, median)",
         **triple("value", compared.before.median_ms)},
        {"what": "a cached page, watched (ms, median)",
         **triple("value", compared.after.median_ms)},
        {"what": "watched / not watched", **triple("value", compared.ratio.median)},
        {"what": "the same once more (A/A)", **triple("value", compared.aa.median)},
        {"what": "one scrape (ms, mean)", **triple("value", overhead.scrape_ms)},
        {"what": f"a scrape every {PRODUCTION_EVERY_S:.0f} s (% of a core)",
         **triple("value", exact(overhead.share_percent))},
        {"what": "size of a scrape (kB)", **triple("value", exact(overhead.scrape_bytes / 1e3))},
    ]  # fmt: skip
    return build(
        pd.DataFrame(rows),
        [Column("what", "what"), Column("value", "value [95 % interval]", interval=True)],
        title="What being watched costs the API",
    )

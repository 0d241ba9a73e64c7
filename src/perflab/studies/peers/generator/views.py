"""The generators as a table."""

from __future__ import annotations

import pandas as pd

from perflab.report.tables import Column, Table, build
from perflab.studies.frames import triple
from perflab.studies.peers.generator.race import CONNECTIONS, Race


def race_frame(race: Race) -> pd.DataFrame:
    """One row a generator, the best first."""
    frame = pd.DataFrame(
        [
            {
                "generator": name,
                **triple("per_cpu_s", race.per_cpu_s(name)),
                **triple("ours_over", race.ours_over(name)),
                "busy": 100 * race.busy(name),
                "requests": sum(effort.requests for effort in efforts),
            }
            for name, efforts in race.efforts.items()
        ]
    )
    return frame.sort_values("per_cpu_s", ascending=False, ignore_index=True)


def race_table(race: Race) -> Table:
    """What each makes of a second of CPU time."""
    return build(
        race_frame(race),
        [
            Column("generator", "generator"),
            Column("per_cpu_s", "requests per CPU second", 0, interval=True),
            Column("ours_over", "ours over it", 2, interval=True),
            Column("busy", "core busy, % at least", 0),
            Column("requests", "requests"),
        ],
        title="Requests that a generator makes of one second of CPU time",
        subtitle=f"{CONNECTIONS} connections, each asking again at once; nginx answers 200 itself.",
    )

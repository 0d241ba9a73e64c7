"""A subject that the user brought: a workload file's schema, data, queries and DDL."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import msgspec
import pandas as pd

from perflab.database.own import Databases
from perflab.errors import ConfigError
from perflab.measure.claims import Claims
from perflab.parameters import DatabaseParameters
from perflab.profiles import Profile
from perflab.progress import Step
from perflab.report.tables import Column, Table, build
from perflab.services.embedded.binaries import find_postgres
from perflab.services.errors import ServiceError
from perflab.studies.database.acceptance import Accepted, accept
from perflab.studies.database.arms import Arms, settle
from perflab.studies.database.changes import apply_changes
from perflab.studies.database.subject import Bench
from perflab.workload import Workload, load_data

_TEMPLATE = "workload_loaded"


class Brought:
    """A subject of the user's own."""

    def __init__(self, workload: Workload, parameters: DatabaseParameters) -> None:
        self._workload = workload
        self._parameters = parameters

    def claims(self, given: Claims) -> Claims:
        """Those of a claims file of one's own: the plan's are about the lab's application."""
        return given if self._parameters.claims else msgspec.structs.replace(given, claim=())

    def row_frame(self) -> Table:
        """What the file names."""
        workload, given = self._workload, self._workload.data
        parts = [
            ("schema", f"{len(workload.schema)} statements" if workload.schema else ""),
            ("dump", given.dump),
            ("rows", f"{len(workload.data_sql)} statements" if workload.data_sql else ""),
            ("rows", given.file),
            *(("rows", f"{name} into {table}") for table, name in given.csv.items()),
            ("queries", f"{len(workload.queries)} of {', '.join(workload.categories)}"),
        ]
        frame = pd.DataFrame([part for part in parts if part[1]], columns=["part", "from"])
        return build(
            frame,
            [Column("part", "part"), Column("from", "from the workload file")],
            title=self._workload.title,
        )

    def catalogue_frame(self) -> Table:
        """The statements that make *after* out of *before*."""
        frame = pd.DataFrame({"statement": [s.text for s in self._workload.after]})
        return build(
            frame,
            [Column("statement", "statement")],
            title=f"After: {len(frame)} statements that before has not had",
        )

    def make_arms(self, lab: Bench, step: Step) -> Arms:
        """Load once, clone twice, run the DDL in one clone and check every query in both."""
        workload, postgres = self._workload, lab.services.postgres
        databases = Databases(postgres)
        lab.at_close(databases.close)
        load_data(databases.create(_TEMPLATE), workload, step, _pg_restore)
        before = databases.clone(_TEMPLATE, "workload_before")
        after = databases.clone(_TEMPLATE, "workload_after")
        settled = settle(before, after, lambda arm: apply_changes(arm, workload, step))
        accepted = accept(
            before, after, workload, self._parameters.seed, self._parameters.plan_cache_mode, step
        )
        _check_time(accepted, workload, lab.profile)
        return Arms(
            before=before,
            after=after,
            questions=accepted.questions,
            rows=settled.rows,
            built=settled.built,
            serves=accepted.serves,
            about=workload.claims,
            remarks=accepted.remarks,
            before_bytes=settled.before_bytes,
            after_bytes=settled.after_bytes,
            plan_cache_mode=self._parameters.plan_cache_mode,
        )


def _check_time(accepted: Accepted, workload: Workload, profile: Profile) -> None:
    """A ConfigError where the profile's deadline would come before the end."""
    sizes = profile.database
    rounds_s = sizes.rounds * (sizes.calls + sizes.warmup) * accepted.total_s
    call_s = accepted.total_s / len(accepted.seconds) / 3  # of the three visits of a round
    at_once = os.cpu_count() or 1
    clients_s = sum(max(sizes.clients_s, call_s * max(1, n / at_once)) for n in sizes.clients)
    expected_s = rounds_s + 2 * sizes.clients_rounds * clients_s
    if expected_s <= profile.deadline_s:
        return
    query, slowest_s = max(accepted.seconds.items(), key=lambda item: item[1])
    number = next(n for n, q in enumerate(workload.queries) if q.name == query)
    raise workload.error(
        ("query", number, "name"),
        f"the slowest of the queries, {slowest_s:.1f} s for one call in each arm: measuring all "
        f"would take about {expected_s / 60:.0f} min and the profile {profile.name} allows "
        f"{profile.deadline_s / 60:.0f}; leave it out, use less data, or choose a longer profile",
    )


def _pg_restore() -> str:
    """The program that reads a dump that is no plain script."""
    try:
        beside = Path(find_postgres().path) / "pg_restore"
    except ServiceError:
        beside = Path()
    found = str(beside) if beside.is_file() else shutil.which("pg_restore")
    if not found:
        raise ConfigError(
            "the dump is not plain SQL and there is no pg_restore to read it; install PostgreSQL's "
            "client programs, or dump with --format=plain"
        )
    return found

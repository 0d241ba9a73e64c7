"""What the tests of the API study share: sizes, samples made by hand, and an API that is opened."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, LiteralString

import msgspec
import numpy as np
import psycopg
from psycopg import sql

from perflab.load import OUTCOMES, LoadSamples
from perflab.profiles import ApiSizes, load_profiles
from perflab.schema.population import Population
from perflab.schema.seed import create_schema, finish, load
from perflab.services import Services
from perflab.studies.api.ceiling import Reading
from perflab.studies.api.loads import Load

PROFILES = Path(__file__).parents[2] / "fixtures" / "profiles.toml"
USERS = 120


def some_sizes(**changes: Any) -> ApiSizes:
    """The smallest profile's sizes, with some of them changed."""
    return msgspec.structs.replace(load_profiles(PROFILES)["smoke"].api, **changes)


def samples(latency_s: Any, *, status: Any = 200, late_s: float = 0.0) -> LoadSamples:
    """Requests due every millisecond, with these latencies."""
    latency = np.atleast_1d(np.asarray(latency_s, np.float64))
    n = len(latency)
    scheduled = np.arange(n, dtype=np.float64) * np.float64(1e-3)
    codes = np.broadcast_to(np.asarray(status, np.int16), n).copy()
    return LoadSamples(
        scheduled_s=scheduled,
        taken_s=scheduled + late_s,
        started_s=scheduled + late_s,
        ended_s=scheduled + latency,
        status=codes,
        body_bytes=np.where(codes == 304, 0, 100).astype(np.int64),
        outcome=np.full(n, OUTCOMES.index("answered"), np.int8),
        kept_header=(b'"tag"',) * n,
        kind="open",
        window_s=n * 1e-3,
        busy_share=0.1,
        began_unix_s=0.0,
    )


def reading(latency_s: Any, **facts: Any) -> Reading:
    """A reading of such samples, with no CPU time of anybody."""
    return Reading(samples(latency_s, **facts), dict.fromkeys(("server", "redis", "postgres"), 0.0))


def made_load(rate_rps: float, latency_s: Any, *, status: Any = 200, late_s: float = 0.0) -> Load:
    """A load in which only 200 is a good answer."""
    read = reading(latency_s, status=status, late_s=late_s)
    return Load(rate_rps, read, read.samples.status == 200)


class SmallLab:
    """A lab with a small database of its own, as far as the API study needs one."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.closing = ExitStack()

    @property
    def datasets(self) -> Any:
        """Itself: it has just the one database."""
        return self

    def clone(self, label: str) -> str:
        """A freshly loaded database; returns its conninfo."""
        postgres = self.services.postgres
        name = f"test_{label}_{secrets.token_hex(4)}"
        self._execute("CREATE DATABASE {}", name)
        self.closing.callback(self._execute, "DROP DATABASE {} WITH (FORCE)", name)
        conninfo = postgres.conninfo(name)
        with psycopg.connect(conninfo, autocommit=True) as conn:
            create_schema(conn)
            load(conn, Population(users=USERS, seed=7))
            finish(conn, checkpoint=False)
        return conninfo

    def at_close(self, callback: Callable[[], object]) -> None:
        """Call something when the lab closes."""
        self.closing.callback(callback)

    def _execute(self, statement: LiteralString, name: str) -> None:
        with psycopg.connect(self.services.postgres.conninfo(), autocommit=True) as conn:
            conn.execute(sql.SQL(statement).format(sql.Identifier(name)))

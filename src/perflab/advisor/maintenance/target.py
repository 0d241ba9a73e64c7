"""Statistics and maintenance of a database in use: its catalogs and counters are read, no more."""

from __future__ import annotations

import psycopg

from perflab.advisor.errors import AdvisorError, said
from perflab.advisor.maintenance.findings import Finding, Limits
from perflab.advisor.maintenance.health import read_health
from perflab.advisor.maintenance.rules import inspect
from perflab.advisor.target import VARIABLE, looking_at


def inspect_target(url: str, limits: Limits | None = None) -> tuple[Finding, ...]:
    """What is wrong with a target's tables, unmeasured; an empty answer is a good one.

    Misestimates are not among it: to see one, a statement must run. Raises AdvisorError where the
    server cannot be reached or does not keep the connection read-only.
    """
    reason = ""
    try:
        with looking_at(url) as conn:
            return inspect(read_health(conn), limits)
    except psycopg.Error as error:
        reason = said(error)
    raise AdvisorError(f"{VARIABLE}: the server gave up ({reason}); try again")

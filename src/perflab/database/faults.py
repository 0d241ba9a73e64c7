"""Which database errors a caller may answer by running the same work again."""

from __future__ import annotations

import psycopg
import psycopg_pool

ROLLED_BACK = frozenset({"40001", "40P01"})
"""Serialization failure and deadlock: the server undid the whole transaction."""

CONNECTION_GONE = frozenset({"57P01", "57P02", "57P03"})
"""Shut down, crashed, starting up. Together with class 08 and errors that never reached a
server; a COMMIT under way then may or may not have been applied."""

NO_SLOT = frozenset({"53300"})
"""Too many connections: nothing was run."""


def is_rolled_back(error: BaseException) -> bool:
    """True if the transaction was undone and may be run again whole."""
    return isinstance(error, psycopg.Error) and error.sqlstate in ROLLED_BACK


def is_connection_loss(error: BaseException) -> bool:
    """True if the connection broke, so that nobody knows whether a COMMIT was applied."""
    if isinstance(error, psycopg_pool.PoolTimeout | psycopg_pool.TooManyRequests):
        return False  # these say that no connection was had, not that one was lost
    if not isinstance(error, psycopg.OperationalError):
        return False
    state = error.sqlstate
    return state is None or state.startswith("08") or state in CONNECTION_GONE


def is_worth_retrying(error: BaseException) -> bool:
    """True if running the same read, or the same write under its key, can succeed now."""
    return (
        is_rolled_back(error)
        or is_connection_loss(error)
        or isinstance(error, psycopg_pool.PoolTimeout)
        or (isinstance(error, psycopg.Error) and error.sqlstate in NO_SLOT)
    )

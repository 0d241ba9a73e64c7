"""The table of password hashes: the API's own, beside the lab's schema, which has none."""

from __future__ import annotations

from typing import Any, Final

import psycopg

from perflab.api.passwords import hash_password
from perflab.database.pool import Connection
from perflab.errors import ParameterError

CREATE: Final = """
CREATE TABLE IF NOT EXISTS api_credentials (
    user_id bigint PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    password_hash text NOT NULL
)
"""
_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtext('perflab api_credentials'))"


async def create_table(conn: Connection) -> None:
    """Make the table if it is not there; several processes may start at once."""
    async with conn.transaction():
        # IF NOT EXISTS alone does not keep two of them from colliding in the catalogue
        await conn.execute(_LOCK)
        await conn.execute(CREATE)


def set_password(conninfo: str, user_id: int, password: str) -> str:
    """Give a user of the lab's data a password; returns the user's e-mail address.

    For whoever prepares a database, before or while the API runs. A ParameterError if there is no
    such user.
    """
    with psycopg.connect(conninfo) as conn:
        conn.execute(_LOCK)
        conn.execute(CREATE)
        row: tuple[Any, ...] | None = conn.execute(
            "SELECT email FROM users WHERE id = %s", [user_id]
        ).fetchone()
        if row is None:
            raise ParameterError(f"user_id={user_id}: there is no such user")
        conn.execute(
            "INSERT INTO api_credentials (user_id, password_hash) VALUES (%s, %s) "
            "ON CONFLICT (user_id) DO UPDATE SET password_hash = EXCLUDED.password_hash",
            [user_id, hash_password(password)],
        )
    return str(row[0])

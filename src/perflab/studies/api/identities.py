"""Many users who are signed in already: logging in is another measurement."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import UTC, timedelta
from typing import Final

import psycopg

from perflab.api.sessions import TOKEN_BYTES, token_hash, token_signer
from perflab.schema.population import NOW

_LASTS: Final = timedelta(days=14)
_INSERT: Final = """
INSERT INTO sessions (user_id, token_hash, user_agent, created_at, last_seen_at, expires_at)
VALUES (%s, %s, 'study', %s, %s, %s)
"""


def sign_in(conninfo: str, secret: str, user_ids: Sequence[int]) -> list[str]:
    """A token for each user, good for an API with this secret that goes on from the data's time.

    Args:
        conninfo: a database with the lab's schema, in which the sessions are stored.
        secret: the API's.
        user_ids: of users in it.
    """
    signer = token_signer(secret)
    tokens = [signer.sign(secrets.token_bytes(TOKEN_BYTES)) for _ in user_ids]
    ends = NOW.astimezone(UTC) + _LASTS
    rows = [
        (user_id, token_hash(token), NOW, NOW, ends)
        for user_id, token in zip(user_ids, tokens, strict=True)
    ]
    with psycopg.connect(conninfo) as conn, conn.cursor() as cursor:
        cursor.executemany(_INSERT, rows)
    return tokens


def first_users(conninfo: str, count: int) -> list[int]:
    """The ids of so many users; fewer where there are fewer."""
    with psycopg.connect(conninfo) as conn:
        rows = conn.execute("SELECT id FROM users ORDER BY id LIMIT %s", [count]).fetchall()
    return [int(row[0]) for row in rows]

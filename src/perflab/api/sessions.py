"""Sessions: in PostgreSQL, read through the cache, found by the hash of a signed token."""

from __future__ import annotations

import hashlib
import secrets
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from perflab.api.parts import Parts
from perflab.api.reading import OWN_COPY_S
from perflab.api.signing import Signer
from perflab.cache import ABSENT, CachePolicy, Codec
from perflab.cache.sieve import Sieve
from perflab.database.pool import Connection

TOKEN_BYTES: Final = 24
_USER_AGENT_CHARS: Final = 300
_VERIFIED: Final = 20_000
"""Tokens whose signature need not be looked at again, nor their hash be made."""


class Session(msgspec.Struct, frozen=True):
    """A login that is good until it expires."""

    id: int
    user_id: int
    expires_at: float
    """Unix seconds of the API's clock."""


class NewSession(msgspec.Struct, frozen=True):
    """A login just made, with the token that only its client ever sees."""

    token: str
    expires_at: datetime


SESSIONS: Final = CachePolicy(
    name="sessions",
    ttl_s=300.0,
    memory_ttl_s=OWN_COPY_S,
    stale_if_error_s=60.0,
    codec=Codec(Session, compression=None),
)
"""Five minutes, and a minute more while PostgreSQL is away. What ends a session early must purge
its key; a process that the purge does not reach goes on for up to OWN_COPY_S."""

_FIND: Final = """
SELECT id, user_id, extract(epoch FROM expires_at)::float8
FROM sessions WHERE token_hash = %s AND revoked_at IS NULL
"""
_INSERT: Final = """
INSERT INTO sessions (user_id, token_hash, user_agent, created_at, last_seen_at, expires_at)
VALUES (%s, %s, %s, %s, %s, %s)
"""


class Sessions:
    """Makes and finds sessions."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        # a token that was never handed out is told from its signature, without asking anybody
        self._signer = token_signer(parts.settings.secret)
        self._verified: Sieve[str, str] = Sieve(_VERIFIED)

    async def start(self, user_id: int, user_agent: str) -> NewSession:
        """A new session of a user who has proved who they are."""
        token = self._signer.sign(secrets.token_bytes(TOKEN_BYTES))
        now_s = self._parts.clock()
        now = datetime.fromtimestamp(now_s, UTC)
        expires_at = datetime.fromtimestamp(now_s + self._parts.settings.session_s, UTC)
        agent = user_agent.replace("\x00", "")[:_USER_AGENT_CHARS]

        async def insert(conn: Connection) -> None:
            await conn.execute(_INSERT, [user_id, token_hash(token), agent, now, now, expires_at])

        await self._parts.pool.write(f"api:session:{secrets.token_hex(16)}", insert)
        return NewSession(token, expires_at)

    async def find(self, token: str) -> Session | None:
        """The session of a token; None where it is not ours, ended or expired."""
        hashed = self._verified.get(token) or self._verify(token)
        if hashed is None:
            return None

        async def load() -> Any:
            found = await self._parts.pool.read(lambda conn: _fetch(conn, hashed))
            return ABSENT if found is None else found

        found = await self._parts.cache.get_or_load(session_key(hashed), load, SESSIONS)
        if not isinstance(found, Session) or found.expires_at <= self._parts.clock():
            return None
        return found

    def _verify(self, token: str) -> str | None:
        """The hash of a token that was handed out here; None for any other text."""
        if not token.isascii() or self._signer.open(token) is None:
            return None
        hashed = token_hash(token)
        self._verified.set(token, hashed)
        return hashed


def token_signer(secret: str) -> Signer:
    """Signs the random part of tokens."""
    return Signer(secret, "token")


def token_hash(token: str) -> str:
    """What is stored of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def session_key(hashed: str) -> str:
    """The key of a session in the cache, from the hash of its token."""
    return f"session:{hashed}"


async def _fetch(conn: Connection, hashed: str) -> Session | None:
    row = await (await conn.execute(_FIND, [hashed])).fetchone()
    return None if row is None else Session(*row)

"""``POST /auth/login`` and ``GET /users/me``."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta
from psycopg.rows import class_row
from starlette.requests import Request
from starlette.responses import Response

from perflab.api.authentication import SCHEME, signed_in
from perflab.api.bodies import Line, encode, json_response
from perflab.api.parts import Parts
from perflab.api.passwords import Passwords
from perflab.api.problems import Problem
from perflab.api.reading import Reads, as_sent
from perflab.api.routing import Operation, Resource, resource
from perflab.api.sessions import Sessions
from perflab.cache import USER_PROFILE
from perflab.database.pool import Connection

PROFILE: Final = as_sent(USER_PROFILE)


class Login(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a login."""

    email: Line
    password: Annotated[str, Meta(min_length=1, max_length=1024)]

    def __repr__(self) -> str:
        return "Login(…)"


class LoggedIn(msgspec.Struct, frozen=True):
    """The answer to a login."""

    token: str
    expires_at: datetime
    token_type: str = SCHEME


class Me(msgspec.Struct, frozen=True):
    """A user as the user sees it."""

    id: int
    email: str
    name: str
    plan: str
    created_at: datetime
    time_zone: str | None
    locale: str | None
    preferences: dict[str, Any] | None


_BY_EMAIL: Final = """
SELECT users.id, api_credentials.password_hash
FROM users LEFT JOIN api_credentials ON api_credentials.user_id = users.id
WHERE lower(users.email) = lower(%s)
"""
_ME: Final = """
SELECT users.id, users.email, users.name, users.plan, users.created_at,
       profiles.time_zone, profiles.locale, profiles.preferences
FROM users LEFT JOIN profiles ON profiles.user_id = users.id
WHERE users.id = %s
"""


class Account:
    """The endpoints of signing in."""

    def __init__(self, parts: Parts, sessions: Sessions, passwords: Passwords) -> None:
        self._parts = parts
        self._reads = Reads(parts)
        self._sessions = sessions
        self._passwords = passwords

    def routes(self) -> list[Resource]:
        """The routes of these endpoints."""
        login = Operation(
            self.login,
            {200: LoggedIn},
            takes=self._parts.body(Login),
            problems=[401],
            anybody=True,
        )
        return [
            resource("/auth/login", post=login),
            resource("/users/me", get=Operation(self.me, {200: Me}, problems=[404])),
        ]

    async def login(self, request: Request, given: Login) -> Response:
        """A token for an address and a password.

        Unknown address, no password set and wrong password cost the same and say the same: one
        query and one verification each.
        """
        row = await self._parts.pool.read(lambda conn: _by_email(conn, given.email))
        user_id, stored = (None, None) if row is None else row
        if not await self._passwords.verify(stored, given.password) or user_id is None:
            raise Problem(401, "address and password do not belong together")
        started = await self._sessions.start(user_id, request.headers.get("user-agent", ""))
        body = encode(LoggedIn(started.token, started.expires_at))
        return json_response(body, cache_control="no-store")

    async def me(self, request: Request) -> Response:
        """The user of the session."""
        user_id = signed_in(request).user_id
        return await self._reads.one(
            user_key(user_id), lambda conn: _me(conn, user_id), policy=PROFILE
        )


def user_key(user_id: int) -> str:
    """The key of a user's own view in the cache."""
    return f"user:{user_id}"


async def _by_email(conn: Connection, email: str) -> tuple[int, str | None] | None:
    row = await (await conn.execute(_BY_EMAIL, [email])).fetchone()
    return None if row is None else (row[0], row[1])


async def _me(conn: Connection, user_id: int) -> Me | None:
    async with conn.cursor(row_factory=class_row(Me)) as cursor:
        await cursor.execute(_ME, [user_id])
        return await cursor.fetchone()

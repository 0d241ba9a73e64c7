"""Who asks: bearer tokens, looked at before anything is charged or routed."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request

from perflab.api.problems import Problem
from perflab.api.sessions import Session, Sessions
from perflab.asgi import App, Receive, Scope, Send

_KEY: Final = "perflab.session"
SCHEME: Final = "Bearer"
_CHALLENGE: Final = {"www-authenticate": f'{SCHEME} realm="perflab"'}


class AuthenticationMiddleware:
    """Puts the session of a request into its scope; it refuses nobody."""

    def __init__(self, app: App, sessions: Sessions) -> None:
        self._app = app
        self._sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if scope["type"] == "http":
            token = _bearer(scope)
            if token is not None:
                scope[_KEY] = await self._sessions.find(token)
        await self._app(scope, receive, send)


def session_of(scope: Scope) -> Session | None:
    """The session of a request that came with a token that is good."""
    found = scope.get(_KEY)
    return found if isinstance(found, Session) else None


def signed_in(request: Request) -> Session:
    """The session of a request; a 401 without one."""
    found = session_of(request.scope)
    if found is None:
        detail = f"send a token of POST /auth/login: Authorization: {SCHEME} …"
        raise Problem(401, detail, _CHALLENGE)
    return found


def _bearer(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, token = value.decode("latin-1").partition(" ")
            return token.strip() if scheme.lower() == SCHEME.lower() else None
    return None

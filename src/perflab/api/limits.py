"""Which requests are charged to which policy, and whose quota it is."""

from __future__ import annotations

from typing import Final

from perflab.api.authentication import session_of
from perflab.api.settings import ApiSettings
from perflab.asgi import Scope
from perflab.ratelimit import Subject, TrustedProxies, by_path, client_address
from perflab.ratelimit.middleware import Charges

RULES: Final[dict[str, str | tuple[str, ...]]] = {
    "/": "api",
    "/auth": "auth",
    "/analytics": ("api", "heavy"),
    "/channels": "realtime",
    # stored by caches in front, which must not hand one client's quota to another
    "/public": (),
    "/openapi.json": (),
    "/healthz": (),
    "/readyz": (),
    "/metrics": (),
}
"""The policies of each path and what lies below it."""

_LOGINS: Final = "/auth/"


def charges(settings: ApiSettings) -> Charges:
    """Charges to the user of a session, else to the client's address.

    Logins go to the address, signed in or not: a session must not buy further guesses.
    """
    address = client_address(TrustedProxies(settings.trusted_proxies))

    def who(scope: Scope) -> Subject:
        session = session_of(scope)
        if session is None or f"{scope['path']}/".startswith(_LOGINS):
            return address(scope)
        return Subject.user(session.user_id)

    return by_path(RULES, who)


def policies_of(charges: Charges, path: str) -> list[str]:
    """The policies that a request for a path is charged to, whoever asks."""
    return [one.policy for one in charges({"type": "http", "path": path, "headers": []})]

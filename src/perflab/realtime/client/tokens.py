"""What a client shows to a hub: a token that it was given, or short-lived ones from the API."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Protocol

import httpx
import msgspec

from perflab.realtime.client.socket import ConnectFailed, TokenRefused
from perflab.realtime.errors import RealtimeError

PATH: Final = "/channels/token"
"""Of the API, where a session gets tokens."""
_SPARE_SHARE: Final = 0.1
"""Of a token's time, at the end of which it is not used any more."""


def check_bearer(name: str, token: object) -> None:
    """A RealtimeError if ``token`` cannot stand in a header field; it is not repeated."""
    usable = isinstance(token, str) and token.isascii() and token.isprintable() and token.strip()
    if token is not None and not usable:
        raise RealtimeError(f"{name} must be a text of printable ASCII, or None")


class Issued(msgspec.Struct, frozen=True):
    """The API's answer."""

    token: str
    expires_in: int
    """Seconds."""


class HubToken(Protocol):
    """Where a client's tokens come from."""

    async def get(self) -> str | None:
        """The token for the next attempt.

        Raises:
            ConnectFailed: there is none now; try again.
            TokenRefused: there will be none.
        """

    def refused(self) -> bool:
        """A hub refused the last one; whether another one may be better."""


class FixedToken:
    """One for as long as the client lives, or none."""

    def __init__(self, token: str | None) -> None:
        self._token = token

    async def get(self) -> str | None:
        """Always the same."""
        return self._token

    def refused(self) -> bool:
        """There is no other."""
        return False


class SessionToken:
    """From the API, by the token of a session; kept for most of its time.

    Args:
        api: its address.
        session: the token of a login.
        timeout_s: for an answer.
        transport: in place of the network.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        api: str,
        session: str,
        *,
        timeout_s: float,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = f"{api.rstrip('/')}{PATH}"
        self._headers = {"authorization": f"Bearer {session}"}
        self._timeout_s = timeout_s
        self._transport = transport
        self._clock = clock
        self._kept: str | None = None
        self._use_until = float("-inf")
        self._is_new = False

    async def get(self) -> str:
        """The one that is kept, or a new one."""
        self._is_new = self._kept is None or self._clock() >= self._use_until
        if self._kept is None or self._is_new:
            issued = await self._ask()
            self._kept = issued.token
            self._use_until = self._clock() + (1 - _SPARE_SHARE) * issued.expires_in
        return self._kept

    def refused(self) -> bool:
        """One that was kept may have been too old; a new one would be refused again."""
        self._kept = None
        return not self._is_new

    async def _ask(self) -> Issued:
        try:
            async with httpx.AsyncClient(
                timeout=self._timeout_s, transport=self._transport, trust_env=False
            ) as client:
                answer = await client.post(self._url, headers=self._headers)
            if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
                raise TokenRefused(
                    f"the API refuses the session (HTTP {answer.status_code}); log in again"
                )
            if answer.status_code != httpx.codes.CREATED:
                raise ConnectFailed(f"the API answers {answer.status_code}")
            return msgspec.json.decode(answer.content, type=Issued)
        except (httpx.HTTPError, msgspec.MsgspecError) as error:
            raise ConnectFailed(f"the API does not answer: {type(error).__name__}") from None

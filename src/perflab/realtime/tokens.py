"""Tokens that a hub checks by itself: a user and an end, signed with a secret it shares."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Callable
from typing import Final

from perflab.arguments import check_seconds
from perflab.realtime.errors import RealtimeError

SHORTEST_SECRET: Final = 32
_PURPOSE: Final = b"perflab.realtime.token"
_MAC_BYTES: Final = 16


class Tokens:
    """Signs who a user is for some time, and reads it back; an ``Authenticate`` of hubs.

    A hub that asked a database for each of a thousand clients that reconnect at once would make
    an outage out of a hiccup; a signature asks nobody.

    Args:
        secret: at least 32 characters, shared by those who sign and the hubs.
        clock: Unix seconds.

    Raises:
        RealtimeError: the secret is too short; the message does not repeat it.
    """

    def __init__(self, secret: str, clock: Callable[[], float] = time.time) -> None:
        if not isinstance(secret, str) or not _is_unicode(secret):
            raise RealtimeError("secret must be a text, and valid Unicode")
        if len(secret) < SHORTEST_SECRET:
            raise RealtimeError(f"secret must have at least {SHORTEST_SECRET} characters")
        self._key = hmac.digest(secret.encode(), _PURPOSE, hashlib.sha256)
        self._clock = clock

    def sign(self, user: str, lasts_s: float) -> str:
        """A token for a user, whose id is a text.

        Raises:
            RealtimeError: no such user, or no such time.
        """
        if not isinstance(user, str) or not user or not _is_unicode(user):
            raise RealtimeError(f"user must be a text that is not empty, not {user!r:.60}")
        check_seconds("lasts_s", lasts_s, RealtimeError)
        payload = f"{int(self._clock() + lasts_s)}:{user}".encode()
        return base64.urlsafe_b64encode(self._mac(payload) + payload).rstrip(b"=").decode()

    async def __call__(self, token: str | None) -> str | None:
        """The user of a token; None where it was not signed here, or is over."""
        try:
            text = (token or "").encode("ascii")
            raw = base64.b64decode(text + b"=" * (-len(text) % 4), b"-_", validate=True)
        except (ValueError, binascii.Error):
            return None
        mac, payload = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(payload)):
            return None
        until, _, user = payload.decode().partition(":")
        return user if self._clock() < int(until) else None

    def _mac(self, payload: bytes) -> bytes:
        return hmac.digest(self._key, payload, hashlib.sha256)[:_MAC_BYTES]


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True

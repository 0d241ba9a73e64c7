"""One WebSocket of a client, which knows when it last heard from its hub."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidStatus, WebSocketException

from perflab.realtime.errors import RealtimeError
from perflab.realtime.frames import LARGEST_FRAME_BYTES
from perflab.realtime.protocol import SUBPROTOCOL
from perflab.realtime.resume import MOST_BYTES

FAILURES: Final = (OSError, TimeoutError, WebSocketException, EOFError)
_LARGEST: Final = 2 * (MOST_BYTES + LARGEST_FRAME_BYTES)
_CLOSE_S: Final = 1.0
_FRAMES_QUEUED: Final = 4


class TokenRefused(RealtimeError):
    """The hub does not know the token; trying again is no use."""


class ConnectFailed(Exception):
    """A hub could not be reached.

    Args:
        reason: why.
        retry_after_s: how long it asked to be left alone.
    """

    def __init__(self, reason: str, retry_after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class ClientSocket(ClientConnection):
    """Notes when bytes came."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.heard_at = self.loop.time()

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        self.heard_at = self.loop.time()
        super().data_received(data)


async def open_socket(url: str, token: str | None, timeout_s: float) -> ClientSocket:
    """Connect to a hub.

    Raises:
        ConnectFailed: it is away, full, or no hub.
        TokenRefused: it does not accept the token.
    """
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    try:
        async with asyncio.timeout(timeout_s):
            socket = await connect(
                url,
                create_connection=ClientSocket,
                additional_headers=headers,
                subprotocols=[SUBPROTOCOL],  # type: ignore[list-item]
                compression=None,
                proxy=None,
                open_timeout=None,
                close_timeout=_CLOSE_S,
                ping_interval=None,
                max_size=_LARGEST,
                max_queue=_FRAMES_QUEUED,
                user_agent_header=None,
            )
    except InvalidStatus as error:
        status = error.response.status_code
        if status in (401, 403):
            raise TokenRefused(f"the hub refuses the token (HTTP {status}); log in again") from None
        after = error.response.headers.get("Retry-After", "")
        retry_after_s = float(after) if after.isascii() and after.isdecimal() else 0.0
        raise ConnectFailed(f"HTTP {status}", retry_after_s) from None
    except InvalidHandshake as error:
        raise ConnectFailed(type(error).__name__) from None
    except FAILURES as error:
        raise ConnectFailed(type(error).__name__) from None
    return socket  # type: ignore[return-value]

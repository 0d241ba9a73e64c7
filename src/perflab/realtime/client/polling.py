"""Without a WebSocket: long polling of the API, with the same positions and the same promises."""

from __future__ import annotations

import asyncio
from typing import Final

import httpx
import msgspec

from perflab.realtime.client.subscription import Subscription
from perflab.realtime.errors import ChannelsUnavailable, RealtimeError
from perflab.realtime.messages import Lane, position_of
from perflab.realtime.polls import Poll

_AGAIN_S: Final = 0.5
_SLACK_S: Final = 5.0
"""How much longer than asked for an answer may take."""


class Place(msgspec.Struct, frozen=True):
    """The API's answer to a publication."""

    epoch: str
    offset: int


_decode: Final = msgspec.json.Decoder(Poll).decode
_decode_place: Final = msgspec.json.Decoder(Place).decode


class Poller:
    """Polls channels over HTTP; one request waits for each channel.

    Args:
        api: where ``/channels`` is.
        token: a bearer token.
        wait_s: how long a request waits for a message.
        transport: in place of the network.
    """

    def __init__(
        self,
        api: str,
        token: str | None,
        *,
        wait_s: int,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        self._wait_s = wait_s
        self._client = httpx.AsyncClient(
            base_url=api,
            headers=headers,
            timeout=wait_s + _SLACK_S,
            limits=httpx.Limits(max_connections=None),
            transport=transport,
            trust_env=False,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def follow(self, subscription: Subscription, first: asyncio.Event) -> None:
        """Hand out what comes, until cancelled; ``first`` is set when the first answer is there.

        An API that does not answer is asked again and again; one that refuses ends it with a
        RealtimeError to the subscription.
        """
        wait_s = 0
        while True:
            try:
                answer = await self._ask(subscription, wait_s)
            except (httpx.HTTPError, msgspec.MsgspecError):
                await asyncio.sleep(_AGAIN_S)
                continue
            if answer is None:
                first.set()
                return
            position = position_of(answer.position)
            asked = subscription.cursor.position
            if asked is None or not answer.recovered:
                subscription.starts(position, recovered=answer.recovered)
            for message in answer.messages:
                subscription.take(message.lane, message.offset, bytes(message.data))
            first.set()
            wait_s = self._wait_s
            await subscription.until_room()

    async def publish(self, channel: str, data: bytes, lane: Lane) -> Place:
        """Append a message; where it is.

        Raises:
            ChannelsUnavailable: no good answer; the message may have been published or not.
            RealtimeError: refused.
        """
        body = b'{"lane":"%b","data":%b}' % (lane.encode(), data)
        headers = {"content-type": "application/json"}
        try:
            answer = await self._client.post(_path(channel), content=body, headers=headers)
        except httpx.HTTPError as error:
            raise ChannelsUnavailable(f"the API does not answer: {type(error).__name__}") from None
        if answer.status_code != httpx.codes.CREATED:
            kind = ChannelsUnavailable if answer.is_server_error else RealtimeError
            raise kind(f"the API answers {answer.status_code}: {answer.text[:200]}")
        try:
            return _decode_place(answer.content)
        except msgspec.MsgspecError:
            raise ChannelsUnavailable(
                "the API does not say where the message is; it may have been published or not"
            ) from None

    async def _ask(self, subscription: Subscription, wait_s: int) -> Poll | None:
        position = subscription.cursor.position
        query = {"wait": str(wait_s)}
        if position is not None:
            query["after"] = position.text()
        answer = await self._client.get(_path(subscription.channel), params=query)
        if answer.status_code == httpx.codes.OK:
            return _decode(answer.content)
        if answer.is_server_error or answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
            answer.raise_for_status()
        subscription.end(RealtimeError(f"the API answers {answer.status_code} to a poll"))
        return None


def _path(channel: str) -> str:
    return f"/channels/{channel}/messages"

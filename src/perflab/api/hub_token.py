"""``POST /channels/token``: what a session shows to a hub, which knows no sessions."""

from __future__ import annotations

from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from perflab.api.authentication import SCHEME, signed_in
from perflab.api.bodies import encode, json_response
from perflab.api.routing import Operation, Resource, resource
from perflab.realtime.tokens import Tokens

LASTS_S: Final = 900
"""A session that ends keeps its hubs out after this; connections that are open stay."""


class HubToken(msgspec.Struct, frozen=True):
    """A token for any hub that shares the API's secret."""

    token: str
    expires_in: int = LASTS_S
    """Seconds."""
    token_type: str = SCHEME


class HubTokens:
    """The endpoint of hub tokens.

    Args:
        tokens: signs them; hubs are given the same secret.
    """

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def routes(self) -> list[Resource]:
        """The route of this endpoint."""
        return [resource("/channels/token", post=Operation(self.issue, {201: HubToken}))]

    async def issue(self, request: Request) -> Response:
        """A token with which the user of the session may connect to a hub."""
        token = self._tokens.sign(str(signed_in(request).user_id), LASTS_S)
        return json_response(encode(HubToken(token)), 201, cache_control="no-store")

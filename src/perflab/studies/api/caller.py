"""One client on one kept connection, as thin as can be: what it adds is billed to the API."""

from __future__ import annotations

import re
import socket
from types import TracebackType
from typing import Final, NamedTuple, Self

from perflab.load import Request, Target
from perflab.studies.api.served import HOST
from perflab.studies.api.site import StudyError

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_TAG: Final = re.compile(rb"\r\netag: *([^\r\n]*)\r\n", re.IGNORECASE)
_END: Final = b"\r\n\r\n"
_WITHOUT_BODY: Final = (204, 304)
_TIMEOUT_S: Final = 10.0
_ROOM: Final = 262_144


class Answer(NamedTuple):
    """A response."""

    status: int
    head: bytes
    """Status line and fields, with the empty line at their end."""
    body: bytes

    @property
    def bytes(self) -> int:
        """What came over the wire."""
        return len(self.head) + len(self.body)

    @property
    def etag(self) -> str:
        """Its entity tag; empty where it has none."""
        found = _TAG.search(self.head)
        return found[1].decode("latin-1") if found else ""


class Caller:
    """Sends requests one after the other and reads each answer whole."""

    def __init__(self, port: int) -> None:
        self._target = Target(HOST, port)
        self._socket = socket.create_connection((HOST, port), _TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()

    def send(self, wire: bytes) -> Answer:
        """One rendered request's answer; a StudyError where there is none that can be read."""
        self._socket.sendall(wire)
        data = b""
        while (end := data.find(_END)) < 0:
            data += self._more()
        head = data[: end + len(_END)]
        status = int(head[9:12])
        length = _LENGTH.search(head)
        if length is None and status not in _WITHOUT_BODY:
            raise StudyError("an answer of the API does not say how long it is")
        wanted = 0 if status in _WITHOUT_BODY or length is None else int(length[1])
        body = data[len(head) :]
        while len(body) < wanted:
            body += self._more()
        return Answer(status, head, body)

    def ask(self, request: Request) -> Answer:
        """One request's answer."""
        return self.send(request.render(self._target))

    def _more(self) -> bytes:
        try:
            data = self._socket.recv(_ROOM)
        except TimeoutError:
            raise StudyError(f"the API did not answer within {_TIMEOUT_S:g} s") from None
        if not data:
            raise StudyError("the API closed a connection in the middle of a request")
        return data

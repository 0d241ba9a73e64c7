"""What became of a request: answered, one of the kinds of errors, or dropped."""

from __future__ import annotations

from typing import Final

PENDING: Final = -1
"""Not yet known. No finished run holds it."""
ANSWERED: Final = 0
CONNECT: Final = 1
TIMEOUT: Final = 2
RESET: Final = 3
PROTOCOL: Final = 4
DROPPED: Final = 5

OUTCOMES: Final = ("answered", "connect", "timeout", "reset", "protocol", "dropped")
"""Names by code.

answered: a complete response of any status. connect: no connection could be opened. timeout: no
complete response in time. reset: the connection ended before the response did. protocol: what
came was no HTTP/1.1 response. dropped: never sent, since no connection got free in time.
"""

ERRORS: Final = OUTCOMES[CONNECT:DROPPED]
"""The kinds of errors."""

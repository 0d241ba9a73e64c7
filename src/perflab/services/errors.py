"""What can go wrong with a server, in one line that says what to do."""

from __future__ import annotations

from perflab.errors import PerflabError


class ServiceError(PerflabError):
    """A server could not be started, stopped, restarted or reached."""


class RungUnavailable(ServiceError):
    """The rung that was asked for cannot give this service; the message says what would help."""

"""What the limiter raises: one line that names the input and says what to do."""

from __future__ import annotations

from perflab.errors import PerflabError


class RateLimitError(PerflabError):
    """The limiter was given something unusable; the message names it."""


class RateLimitUnavailable(RateLimitError):
    """Redis does not answer, or refuses; the message says which server and why."""

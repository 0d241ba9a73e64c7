"""What the real-time parts raise: one line that names the input and says what to do."""

from __future__ import annotations

from perflab.errors import PerflabError


class RealtimeError(PerflabError):
    """Something unusable was given; the message names it."""


class ChannelsUnavailable(RealtimeError):
    """Redis did not answer in time, or refuses; what was being published may still arrive."""

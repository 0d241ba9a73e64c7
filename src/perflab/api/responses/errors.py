"""What the component raises: one line that names the input and says what to do."""

from __future__ import annotations

from perflab.errors import PerflabError


class ResponseError(PerflabError):
    """A response cannot be made of what was given; the message names it."""

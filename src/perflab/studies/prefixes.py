"""Names for keys that nothing else on a server uses."""

from __future__ import annotations

import secrets

from perflab.services import Redis


def own_prefix(redis: Redis, purpose: str) -> str:
    """What the keys of one part of a study begin with; below the lab's own prefix."""
    return f"{redis.prefix}{purpose}-{secrets.token_hex(4)}:"

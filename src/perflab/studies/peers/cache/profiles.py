"""What is cached in the contests: a user's profile, of the size that caches really hold."""

from __future__ import annotations

from typing import Final

import msgspec

VALUE_BYTES: Final = 224
"""The median size of a value in Twitter's caches (twitter/cache-trace, 2020, CC BY 4.0)."""


class Profile(msgspec.Struct, frozen=True):
    """A small record with an id, by which an answer is known to be right."""

    id: int
    name: str
    email: str
    biography: str
    roles: tuple[str, ...]


def profile(number: int) -> Profile:
    """The profile of user ``number``, about ``VALUE_BYTES`` as MessagePack."""
    return Profile(
        id=number,
        name=f"User {number}",
        email=f"user{number}@example.org",
        biography="Keeps lists. " * 10,
        roles=("member", "editor", "owner"),
    )

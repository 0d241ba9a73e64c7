"""Entity tags, and the conditions of a request on them (RFC 9110 §8.8 and §13)."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

import msgspec

from perflab.api.responses.dates import parse_date
from perflab.api.responses.errors import ResponseError

Listed: TypeAlias = Literal["*"] | tuple["EntityTag", ...]

_HASH_BYTES: Final = 18
"""24 characters of base64 without padding."""
_OPAQUE: Final = r"[\x21\x23-\x7e\x80-\xff]*+"
_TAG: Final = re.compile(rf'(W/)?"({_OPAQUE})"')
_MEMBER: Final = re.compile(rf'[ \t]*+(?:(W/)?"({_OPAQUE})"[ \t]*+)?+(,|$)')


class EntityTag(msgspec.Struct, frozen=True):
    """An entity tag (§8.8.3); ``str`` writes it as in a field."""

    opaque: str
    """Without the quotes."""
    weak: bool = False

    def __str__(self) -> str:
        return f'{"W/" if self.weak else ""}"{self.opaque}"'

    def coded(self, tag: str) -> EntityTag:
        """The tag of the same content under a coding.

        A strong one must be another (§8.8.3.3). A weak one may stay: it says nothing of bytes.
        """
        return self if self.weak else EntityTag(f"{self.opaque}-{tag}")

    def plain(self, tag: str) -> EntityTag | None:
        """The tag that ``coded`` made this one of; None where it did not."""
        suffix = f"-{tag}"
        if self.weak or not self.opaque.endswith(suffix):
            return None
        return EntityTag(self.opaque.removesuffix(suffix))


def read_tag(text: str) -> EntityTag:
    """The entity tag in a field's value; a ResponseError if it is none."""
    found = _TAG.fullmatch(text)
    if found is None:
        raise ResponseError(
            f"the ETag {text[:60]!r} is malformed; it is quoted text, as in '\"v1\"' or 'W/\"v1\"'"
        )
    return EntityTag(found[2], found[1] is not None)


def read_tags(text: str) -> Listed:
    """``*``, or the tags of ``If-Match`` or ``If-None-Match`` (§13.1.1); malformed: no tags."""
    if text.strip(" \t") == "*":
        return "*"
    tags: list[EntityTag] = []
    at = 0
    while True:
        found = _MEMBER.match(text, at)
        if found is None:
            return ()
        if found[2] is not None:
            tags.append(EntityTag(found[2], found[1] is not None))
        if not found[3]:
            return tuple(tags)
        at = found.end()


def content_hash(body: bytes) -> str:
    """24 characters that fit into an ETag: the first 144 bits of the body's SHA-256."""
    return base64.urlsafe_b64encode(hashlib.sha256(body).digest()[:_HASH_BYTES]).decode()


class Conditions(msgspec.Struct, frozen=True, kw_only=True):
    """The preconditions of a request, as the fields' values; None where it has none."""

    if_match: str | None = None
    if_none_match: str | None = None
    if_modified_since: str | None = None
    if_unmodified_since: str | None = None

    def lists(self, tag: EntityTag) -> bool:
        """Whether ``If-None-Match`` alone makes this a 304, and by naming the tag."""
        others = (self.if_match, self.if_unmodified_since)
        if self.if_none_match is None or others != (None, None):
            return False
        tags = read_tags(self.if_none_match)
        return tags != "*" and _weakly(tag, tags)

    def judge(
        self, tag: EntityTag | None, last_modified: float | None, now: float
    ) -> Literal[200, 304, 412]:
        """The status of a GET or HEAD that would be 200 without conditions (§13.2.2).

        Args:
            tag: of the selected representation.
            last_modified: whole Unix seconds.
            now: Unix seconds.
        """
        if self.if_match is not None:
            if not _strongly(tag, read_tags(self.if_match)):
                return 412
        elif self.if_unmodified_since is not None and last_modified is not None:
            since = parse_date(self.if_unmodified_since, now)
            if since is not None and last_modified > since:
                return 412
        if self.if_none_match is not None:
            # If-Modified-Since is not even looked at (§13.1.3)
            if tag is not None and self.if_none_match == str(tag):
                return 304  # the usual case, decided without reading a list
            return 304 if _weakly(tag, read_tags(self.if_none_match)) else 200
        if self.if_modified_since is not None and last_modified is not None:
            since = parse_date(self.if_modified_since, now)
            if since is not None and last_modified <= since:
                return 304
        return 200


UNCONDITIONAL: Final = Conditions()
"""Of a request without any."""


def _strongly(tag: EntityTag | None, tags: Listed) -> bool:
    """§8.8.3.2: equal, and neither of them weak."""
    return tags == "*" or (tag is not None and not tag.weak and tag in tags)


def _weakly(tag: EntityTag | None, tags: Listed) -> bool:
    """§8.8.3.2: equal but for ``W/``."""
    return tags == "*" or (tag is not None and _among(tag.opaque, tags))


def _among(opaque: str, tags: Sequence[EntityTag]) -> bool:
    return any(other.opaque == opaque for other in tags)

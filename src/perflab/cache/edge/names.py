"""How the edge calls things: one spelling of a URL, and tags that fit into ``Cache-Tag``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote, urlsplit

from perflab.cache.edge.protocol import EdgeError
from perflab.cache.entry import check_name

MAX_TAG_BYTES: Final = 1_024
"""Of one tag (Cloudflare)."""
MAX_TAGS_BYTES: Final = 16 * 1_024
"""Of all tags of a response (Cloudflare)."""

_PLAIN: Final = r"A-Za-z0-9\-._~!$&'()*+,;=:@/\[\]"
_NEEDLESS: Final = "2D|2E|3[0-9]|4[1-9A-F]|5[0-9AF]|6[1-9A-F]|7[0-9AE]"
_CODED: Final = f"%(?!{_NEEDLESS})[0-9A-F]{{2}}"

CANONICAL: Final = (
    rf"^(?![^?]*/\.\.?(?:[/?]|$))/(?>[{_PLAIN}]+|{_CODED})*+(?:\?(?>[{_PLAIN}?]+|{_CODED})++)?$"
)
"""A path and query in the one spelling that is stored (RFC 3986 §6.2.2), for PCRE and ``re``.

No percent-encoding of unreserved characters, capital hexadecimal digits, no dot segments, no
empty query. Any other spelling of the same URL would be stored beside it and outlive its purge.
"""

_IS_CANONICAL: Final = re.compile(CANONICAL)
_TRIPLE = re.compile("%[0-9A-Fa-f]{2}")
_LONE_PERCENT = re.compile("%(?![0-9A-Fa-f]{2})")
_HOST = re.compile(r"[a-z0-9_.\-]+|\[[0-9a-f:.]+\]")
_TAG_SAFE: Final = "".join(chr(code) for code in range(33, 127) if chr(code) not in ",%")


def edge_url(url: str) -> str:
    """The URL as the edge keys it: host without port, path and query; no scheme, no fragment.

    An EdgeError if it is no absolute ``http`` or ``https`` URL.
    """
    _check_text("a URL", url)
    try:
        parts = urlsplit(url)
        port_is_fine = parts.port is None or parts.port >= 0
    except ValueError:
        port_is_fine = False
    if not port_is_fine or parts.scheme not in ("http", "https") or not parts.hostname:
        raise EdgeError(f"{_shown(url)} is no absolute http or https URL")
    return _host(parts.hostname, url) + canonical_target(parts.path, parts.query)


def edge_prefix(prefix: str) -> str:
    """A prefix as the edge compares it: host and the beginning of a path, without a scheme."""
    _check_text("a prefix", prefix)
    bare = re.sub("^https?://", "", prefix)
    host, slash, path = bare.partition("/")
    if "?" in bare or "#" in bare:
        raise EdgeError(f"the prefix {_shown(prefix)} has a query or fragment; leave it out")
    return _host(bare_host(host), prefix) + canonical_target(slash + path)


def canonical_target(path: str, query: str = "") -> str:
    """Path and query in the spelling of ``CANONICAL``."""
    target = _without_dots(_spelled(path or "/", "/"))
    return f"{target}?{_spelled(query, '/?')}" if query else target


def is_canonical(target: str) -> bool:
    """Whether the edge stores a response to this path and query."""
    return _IS_CANONICAL.match(target) is not None


def bare_host(host: str) -> str:
    """A ``Host`` field without its port, as nginx's ``$host`` gives it."""
    name = host.lower()
    if not name.endswith("]"):
        name = name.rpartition(":")[0] or name
    return name.rstrip(".")


def header_tag(tag: str) -> str:
    """A tag as ``Cache-Tag`` can carry it: printable ASCII without blanks and commas.

    Edges ignore case, so tags that differ in nothing else are one.
    """
    check_name(tag, "tag")
    coded = quote(tag, safe=_TAG_SAFE).lower()
    if len(coded) > MAX_TAG_BYTES:
        raise EdgeError(
            f"the tag {_shown(tag)} is {len(coded)} bytes long in a Cache-Tag field, more than"
            f" {MAX_TAG_BYTES}; use a shorter one"
        )
    return coded


def cache_tag(tags: Iterable[str]) -> str:
    """The value of a ``Cache-Tag`` field for a response made of what has these tags."""
    value = ",".join(sorted({header_tag(tag) for tag in several(tags, "tags")}))
    if len(value) > MAX_TAGS_BYTES:
        raise EdgeError(
            f"the tags of one response are {len(value)} bytes long, more than {MAX_TAGS_BYTES};"
            " use fewer or shorter ones"
        )
    return value


def read_cache_tag(value: str) -> frozenset[str]:
    """The tags of a ``Cache-Tag`` field, as ``header_tag`` writes them."""
    return frozenset(tag for part in value.lower().split(",") if (tag := part.strip()))


def several(names: Iterable[str], what: str) -> Iterable[str]:
    """``names``, unless it is one string where several were meant: then an EdgeError."""
    if isinstance(names, str):
        raise EdgeError(f"{what} must be a collection, not the string {_shown(names)}")
    if not isinstance(names, Iterable):
        raise EdgeError(f"{what} must be a collection, not {type(names).__name__}")
    return names


def _check_text(what: str, text: object) -> None:
    if not isinstance(text, str):
        raise EdgeError(f"{what} must be a string, not {type(text).__name__}")


def _host(host: str, given: str) -> str:
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError:
            host = ""
    host = f"[{host}]" if host.count(":") > 1 and not host.startswith("[") else host
    host = host.lower().rstrip(".")
    if not _HOST.fullmatch(host):
        raise EdgeError(f"{_shown(given)} names no host")
    return host


def _spelled(text: str, safe: str) -> str:
    """Percent-encoding in its one form; what must be encoded and is not, is."""

    def one(found: re.Match[str]) -> str:
        char = chr(int(found[0][1:], 16))
        return char if char.isascii() and (char.isalnum() or char in "-._~") else found[0].upper()

    text = _LONE_PERCENT.sub("%25", text)
    return quote(_TRIPLE.sub(one, text), safe=f"{safe}%!$&'()*+,;=:@[]-._~")


def _without_dots(path: str) -> str:
    """The path without ``.`` and ``..`` (RFC 3986 §5.2.4)."""
    kept: list[str] = []
    parts = path.split("/")[1:]
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        if part == "..":
            kept[-1:] = []
        if part in (".", ".."):
            if last:
                kept.append("")
        else:
            kept.append(part)
    return "/" + "/".join(kept)


def _shown(name: str) -> str:
    return repr(name if len(name) <= 80 else name[:80] + "…")

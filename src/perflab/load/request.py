"""What is sent and where to: requests checked once and rendered to bytes before the clock runs."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

import msgspec

from perflab.load.errors import LoadError

_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""RFC 9110, section 5.6.2."""
_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
"""RFC 9110, section 5.5: no CR, LF or NUL, which could end the field or the head."""
_TARGET: Final = re.compile(r"/[\x21\x22\x24-\x7e]*")
"""RFC 9112, section 3.2.1 (origin form), without blanks and ``#``."""
_HOST: Final = re.compile(r"[0-9A-Za-z._\-]+|[0-9A-Fa-f:.]+(%[0-9A-Za-z._\-]+)?")
_OURS: Final = frozenset({"content-length", "transfer-encoding", "upgrade"})


def shown(url: str) -> str:
    """A URL as messages show it: scheme, host, port and path; the rest may hold secrets."""
    begin = re.match(r"([A-Za-z][A-Za-z0-9+.\-]*://)?", url)
    scheme = begin[0] if begin else ""
    authority = re.split(r"[/?#]", url[len(scheme) :], maxsplit=1)[0]
    rest = url[len(scheme) + len(authority) :]
    host = authority.rpartition("@")[2]
    if "@" in rest and not re.fullmatch(r"[^:]*(:\d*)?", host):
        return f"{scheme}…"  # what looks like the host is a login with a / or ? in it
    return scheme + host + _without_query(rest)


def _without_query(target: str) -> str:
    return re.split(r"[?#]", target, maxsplit=1)[0]


class Target(msgspec.Struct, frozen=True):
    """A server that speaks HTTP/1.1, over TLS where its scheme is https.

    A LoadError names a field that cannot be used.
    """

    host: str
    """A name or an address; IPv6 without brackets."""
    port: int
    scheme: str = "http"

    def __post_init__(self) -> None:
        if self.scheme not in ("http", "https"):
            raise LoadError(f"scheme: must be http or https, not {self.scheme!r}")
        if not isinstance(self.host, str) or not _HOST.fullmatch(self.host):
            raise LoadError(f"host: must be a host name or an IP address, not {self.host!r}")
        if isinstance(self.port, bool) or not isinstance(self.port, int):
            raise LoadError(f"port: must be a whole number, not {self.port!r}")
        if not 0 < self.port < 65536:
            raise LoadError(f"port: must be from 1 to 65535, not {self.port}")

    @classmethod
    def from_url(cls, url: str) -> Target:
        """The target of e.g. ``http://127.0.0.1:8080``; paths belong to the requests."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            # a reason that quotes the URL quotes all of it
            raise LoadError(f"url: {shown(url)!r} is none: its host or port is wrong") from None
        if parts.username is not None:
            raise LoadError("url: a user name and a password go into a header, not into the URL")
        if not host:
            raise LoadError(f"url: must be like http://host:port, not {shown(url)!r}")
        if parts.path not in ("", "/") or parts.query or parts.fragment:
            raise LoadError(
                f"url: {shown(url)!r} has a path or a query; give it to the requests instead"
            )
        if port is None:
            port = 443 if parts.scheme == "https" else 80
        return cls(host, port, parts.scheme)

    @property
    def authority(self) -> str:
        """What goes into the ``Host`` field (RFC 9110, section 7.2)."""
        host = f"[{self.host.partition('%')[0]}]" if ":" in self.host else self.host
        usual = 443 if self.tls else 80
        return host if self.port == usual else f"{host}:{self.port}"

    @property
    def tls(self) -> bool:
        """Whether connections are encrypted."""
        return self.scheme == "https"

    @property
    def url(self) -> str:
        """It as people write it."""
        return f"{self.scheme}://{self.authority}"


class Request(msgspec.Struct, frozen=True):
    """One HTTP/1.1 request; immutable, so one object may stand for many arrivals.

    ``Host`` and ``Content-Length`` are added. A LoadError names a part that HTTP does not allow,
    CR and LF in particular.
    """

    method: str
    target: str
    """Path and query in ASCII, percent-encoded, e.g. ``/users?page=2``; ``*`` for OPTIONS."""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def __post_init__(self) -> None:
        if not isinstance(self.method, str) or not _TOKEN.fullmatch(self.method):
            raise LoadError(f"method: must be a token such as GET, not {self.method!r}")
        if self.method == "CONNECT":
            raise LoadError("method: CONNECT opens a tunnel, which is no request to measure")
        if not isinstance(self.target, str) or not (
            _TARGET.fullmatch(self.target) or (self.method == "OPTIONS" and self.target == "*")
        ):
            raise LoadError(
                f"target: must begin with / and hold printable ASCII without blanks and #, "
                f"not {_without_query(str(self.target))!r}; percent-encode the rest"
            )
        if not isinstance(self.headers, tuple):
            raise LoadError(f"headers: must be a tuple of pairs, not {self.headers!r}")
        for field in self.headers:
            _check_field(field)
        if not isinstance(self.body, bytes):
            raise LoadError(f"body: must be bytes, not {type(self.body).__name__}")

    def render(self, target: Target) -> bytes:
        """The bytes on the wire (RFC 9112)."""
        fields = list(self.headers)
        named = {name.lower() for name, _ in fields}
        if "host" not in named:
            fields.insert(0, ("Host", target.authority))
        if self.body or self.method in ("POST", "PUT", "PATCH"):
            fields.append(("Content-Length", str(len(self.body))))
        head = "".join(f"{name}: {value}\r\n" for name, value in fields)
        return f"{self.method} {self.target} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + self.body


def check_field_name(argument: str, name: object) -> None:
    """A LoadError naming the argument if ``name`` cannot be the name of a header field."""
    if not isinstance(name, str) or not _TOKEN.fullmatch(name):
        raise LoadError(f"{argument}: {name!r} cannot be the name of a header field")


def _check_field(field: object) -> None:
    match field:
        case (str(name), str(value)):
            pass
        case _:
            raise LoadError(f"headers: must be pairs of name and value, not {field!r}")
    check_field_name("headers", name)
    if name.lower() in _OURS:
        raise LoadError(f"headers: {name} is not the caller's to set")
    if not _VALUE.fullmatch(value):
        raise LoadError(f"headers: {name} must be one line of Latin-1, not {value!r}")

"""Whose quota it is: a user, an API key or a client address."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

import msgspec

from perflab.ratelimit.errors import RateLimitError

IPV6_PREFIX: Final = 64
"""One subnet (RFC 7421): inside it a host takes a new address whenever it likes (RFC 8981). A
subscriber may have many of them (RFC 6177): 56 or 48 counts those as one."""

_LONGEST: Final = 128
_DIGITS: Final = 32
"""Hexadecimal, of a hash that stands for a secret or a long name: 128 bits."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Subject(msgspec.Struct, frozen=True):
    """Who is counted. Make one with ``user``, ``api_key`` or ``address``.

    It must stand for something that the client cannot choose freely: a user id or an API key that
    was not verified gives whoever invents them a fresh quota each time.
    """

    key: str
    """A part of the names in Redis; contains no secret."""

    @classmethod
    def user(cls, identity: str | int) -> Subject:
        """A user that was authenticated, by an id of the application."""
        if isinstance(identity, int) and not isinstance(identity, bool):
            return cls(f"user:{identity}")
        return cls("user:" + _short(identity, "a user id"))

    @classmethod
    def api_key(cls, key: str) -> Subject:
        """An API key that was verified; only a hash of it is kept."""
        return cls("key:" + _hash(_text(key, "an API key")))

    @classmethod
    def address(cls, address: str, ipv6_prefix: int = IPV6_PREFIX) -> Subject:
        """A client address; IPv6 by its network, IPv4 written as IPv6 as the IPv4 that it is."""
        if type(ipv6_prefix) is not int or not 1 <= ipv6_prefix <= 128:
            raise RateLimitError(f"ipv6_prefix must be from 1 to 128, not {ipv6_prefix!r}")
        return _of_address(_text(address, "an address"), ipv6_prefix)


class TrustedProxies:
    """Finds the client's address behind proxies that are known.

    ``X-Forwarded-For`` is read from the right, as far as the addresses are of trusted proxies: the
    first one that is not was written by a trusted proxy and is the client. What stands to the left
    of it, anybody may have written. Without networks the field is not read at all.

    Args:
        networks: of the proxies, for example ``["10.0.0.0/8", "2001:db8::/32"]``.
        unix_socket: whether a peer without an address, on a Unix socket, is a trusted proxy.
    """

    def __init__(self, networks: Iterable[str] = (), *, unix_socket: bool = False) -> None:
        if isinstance(networks, str):
            raise RateLimitError("networks must be a collection of networks, not one string")
        self._networks = tuple(map(_network, networks))
        self._unix_socket = unix_socket

    def client(self, peer: str | None, forwarded: Iterable[str] = ()) -> str | None:
        """The client's address.

        Args:
            peer: the address at the other end of the connection; None for a Unix socket.
            forwarded: the values of all ``X-Forwarded-For`` lines, in the order received.

        Returns:
            None only where the peer is a Unix socket and says nothing usable about the client.
            What cannot be read as an address ends the search at the proxy that sent it.
        """
        if peer is None:
            if not self._unix_socket:
                return None
        elif not self._trusts(peer):
            return peer
        client = peer
        for text in reversed(",".join(forwarded).split(",")):
            address = _hop(text)
            if address is None:
                return client
            client = str(address)
            if not self._trusts(client):
                return client
        return client

    def _trusts(self, text: str) -> bool:
        if not self._networks:
            return False
        address = _hop(text)
        return address is not None and any(
            address.version == network.version and address in network for network in self._networks
        )


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text)
    except (ValueError, TypeError):
        raise RateLimitError(
            f"{str(text)[:60]!r} is no network; write 10.0.0.0/8, with no bits set to the right"
        ) from None


@lru_cache(4096)
def _of_address(text: str, ipv6_prefix: int) -> Subject:
    address = _read(text)
    if address is None:
        raise RateLimitError(f"{text[:60]!r} is no IP address; give the peer's or a proxy's word")
    if address.version == 4:
        return Subject(f"ip:{address}")
    return Subject(f"ip:{ipaddress.ip_network((int(address), ipv6_prefix), strict=False)}")


@lru_cache(4096)
def _hop(text: str) -> Address | None:
    """An address as proxies write it: perhaps with a port, IPv6 perhaps in brackets."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    return _read(text)


def _read(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _text(value: object, what: str) -> str:
    """``value`` if it is a text; the message never repeats it, since it may be a secret."""
    if not isinstance(value, str) or not value:
        raise RateLimitError(f"{what} must be a string that is not empty")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise RateLimitError(f"{what} is not valid Unicode") from None
    return value


def _short(value: object, what: str) -> str:
    text = _text(value, what)
    return text if len(text) <= _LONGEST else "hash:" + _hash(text)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]

"""Whether a target is this machine: a load on somebody else's server needs their consent."""

from __future__ import annotations

import ipaddress
import socket

from perflab.load.errors import LoadError
from perflab.load.request import Target


def is_local(target: Target) -> bool:
    """Whether every address of its host is a loopback one; a LoadError if it has none."""
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise LoadError(f"host: {target.host!r} has no address: {error}") from None
    return all(
        ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback for *_, address in found
    )

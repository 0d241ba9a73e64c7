"""Free ports for servers, below the range that outgoing connections take theirs from."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from pathlib import Path

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_DEFAULT_BOUND = 32768
_LOWEST = 10000
_HOST = "127.0.0.1"


def ephemeral_bound(path: Path = _RANGE) -> int:
    """The lowest port that an outgoing connection can be given.

    A server above it collides with outgoing connections in TIME_WAIT. Where the range starts so
    low that it leaves no room below, the usual bound serves.
    """
    try:
        bound = int(path.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return _DEFAULT_BOUND
    return bound if bound > _LOWEST + 1000 else _DEFAULT_BOUND


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of the loopback interface now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # as the servers do, so that connections in TIME_WAIT do not make a port look taken
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError:
            return False
    return True


def free_ports(bound: int | None = None) -> Iterator[int]:
    """Free ports in random order, without end; each may be taken by the time it is used."""
    # Not seeded: two labs that start at the same moment must not try the same ports.
    chance = random.SystemRandom()
    top = ephemeral_bound() if bound is None else bound
    while True:
        port = chance.randrange(_LOWEST, top)
        if is_free(port):
            yield port

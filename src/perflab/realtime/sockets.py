"""What many sockets need of the system: open files, and ports to connect from."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from perflab.descriptors import TooFewFiles, need_connections
from perflab.realtime.errors import RealtimeError

_PORTS: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")


def need_files(connections: int) -> None:
    """Make room for as many connections as one process may have.

    Raises:
        RealtimeError: the limit of open files is too low and cannot be raised.
    """
    try:
        need_connections(connections)
    except TooFewFiles as error:
        raise RealtimeError(str(error)) from None


def need_ports(connections: int, setting: Path = _PORTS) -> None:
    """Check that so many connections can be made from one address to one address and port.

    Each takes a port of its own, from a range of the system's; nothing is checked where that
    cannot be read.

    Raises:
        RealtimeError: the range is too narrow.
    """
    try:
        first, last = map(int, setting.read_text().split())
    except (OSError, ValueError):
        return
    if connections > last - first + 1:
        raise RealtimeError(
            f"{connections} connections from one address need as many ports, and this machine has"
            f" {last - first + 1} to connect from ({first} to {last}); widen"
            " net.ipv4.ip_local_port_range or ask for fewer"
        )

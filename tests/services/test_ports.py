"""Ports lie below the range of outgoing connections and are free."""

from __future__ import annotations

import itertools
import socket
from pathlib import Path

import pytest

from perflab.services.ports import ephemeral_bound, free_ports, is_free


@pytest.mark.parametrize(
    ("text", "bound"),
    [("32768\t60999\n", 32768), ("20000 60999", 20000), ("1024 65535", 32768), ("junk", 32768)],
)
def test_bound_is_read_or_the_usual_one(tmp_path: Path, text: str, bound: int) -> None:
    file = tmp_path / "ip_local_port_range"
    file.write_text(text)
    assert ephemeral_bound(file) == bound


def test_bound_without_the_file_is_the_usual_one(tmp_path: Path) -> None:
    assert ephemeral_bound(tmp_path / "none") == 32768


def test_ports_stay_below_the_bound() -> None:
    assert all(10000 <= port < 10010 for port in itertools.islice(free_ports(10010), 20))


def test_a_port_in_use_is_not_free() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        assert not is_free(server.getsockname()[1])

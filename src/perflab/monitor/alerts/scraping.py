"""Reads the figures of a process: over HTTP, or from a registry in this one."""

from __future__ import annotations

import http.client
import time
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from perflab.monitor.alerts.series import Sample, labels_of
from perflab.monitor.errors import MonitorError
from perflab.monitor.registry import MetricsRegistry

_MOST_BYTES: Final = 16 * 2**20
_CHUNK: Final = 64 * 1024
_PORTS: Final = {"http": 80, "https": 443}


class Target(msgspec.Struct, frozen=True):
    """A process that tells its figures; a MonitorError names what cannot be asked."""

    job: str
    """What kind of process it is, such as ``api``."""
    source: str | MetricsRegistry
    """``http://host:port/metrics``, also ``https``, or the registry of this process."""

    def __post_init__(self) -> None:
        if not isinstance(self.job, str) or not self.job:
            raise MonitorError(f"job must be a text that is not empty, not {self.job!r:.60}")
        if not isinstance(self.source, MetricsRegistry):
            address_of(self.source)

    @property
    def instance(self) -> str:
        """Which of its kind it is."""
        if isinstance(self.source, MetricsRegistry):
            return "here"
        address = address_of(self.source)
        return f"{address.host}:{address.port}"


class Address(NamedTuple):
    """Where figures are asked for."""

    secure: bool
    host: str
    port: int
    path: str


def address_of(url: str) -> Address:
    """The parts of an ``http`` or ``https`` URL; a MonitorError if it is none."""
    # never repeated in the message: it may hold a password
    refused = MonitorError("write the URL of metrics as http://host:port/metrics, without a login")
    if not isinstance(url, str):
        raise refused
    try:
        parts = urlsplit(url)
        given = parts.port
    except ValueError:
        raise refused from None
    if parts.scheme not in _PORTS or not parts.hostname or "@" in parts.netloc or given == 0:
        raise refused
    path = parts.path if parts.path not in ("", "/") else "/metrics"
    return Address(parts.scheme == "https", parts.hostname, given or _PORTS[parts.scheme], path)


def scrape(target: Target, within_s: float) -> list[Sample] | None:
    """All samples of a process now; None if it does not answer well within the time."""
    if isinstance(target.source, MetricsRegistry):
        return read_samples(target.source.render()[0].decode())
    address = address_of(target.source)
    kind = http.client.HTTPSConnection if address.secure else http.client.HTTPConnection
    ends_at = time.monotonic() + within_s
    connection = kind(address.host, address.port, timeout=within_s)
    try:
        connection.request(
            "GET", address.path, headers={"Accept": "text/plain", "Connection": "close"}
        )
        response = connection.getresponse()
        if response.status != http.HTTPStatus.OK:
            return None
        body = bytearray()
        # the connection's timeout starts anew with every piece
        while chunk := response.read1(_CHUNK):
            body += chunk
            if len(body) > _MOST_BYTES or time.monotonic() > ends_at:
                return None
        return None if response.length else read_samples(body.decode())
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()


def read_samples(text: str) -> list[Sample]:
    """The samples of Prometheus' text format; a ValueError if it is something else."""
    return [
        Sample(sample.name, labels_of(sample.labels), float(sample.value))
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    ]

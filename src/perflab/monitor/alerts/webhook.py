"""Tells a webhook of alerts, in Alertmanager's form, and holds nobody up.

What is told waits in a bounded queue for a thread of its own. The URL is a secret: it comes from
the environment, and no message, log or representation repeats it.
"""

from __future__ import annotations

import http.client
import logging
import queue
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

import msgspec

from perflab.monitor.alerts.engine import Transition
from perflab.monitor.errors import MonitorError

VARIABLE: Final = "PERFLAB_ALERT_WEBHOOK"
"""Holds the URL."""
_LOG: Final = logging.getLogger(__name__)
_STILL_FIRING: Final = "0001-01-01T00:00:00Z"
"""Alertmanager's ``endsAt`` of an alert that is not over."""


class WebhookStats(msgspec.Struct, frozen=True):
    """A snapshot of a webhook since it was opened."""

    sent: int
    """Notices that the receiver took."""
    failed: int
    """Notices that it did not take in time, or refused."""
    dropped: int
    """Notices for which there was no room."""


class Webhook:
    """Sends notices of alerts that fire and resolve, one after the other.

    >>> with Webhook(os.environ) as webhook:
    ...     webhook.tell(transition)

    ``tell`` never waits. A receiver that is slow or away costs notices, not time: beyond
    ``waiting`` of them the newest is dropped and counted. Nothing is sent twice.

    Args:
        environ: holds the receiver's ``http`` or ``https`` URL as ``PERFLAB_ALERT_WEBHOOK``.
        timeout_s: for each step of sending one notice.
        waiting: notices that may wait.

    Raises:
        MonitorError: the variable is missing or holds no such URL; its value is not repeated.
    """

    def __init__(
        self, environ: Mapping[str, str], *, timeout_s: float = 3.0, waiting: int = 100
    ) -> None:
        self._url = environ.get(VARIABLE, "").strip()
        try:
            parts = urlsplit(self._url)
            self._host, self._port = parts.hostname or "", parts.port
        except ValueError:
            self._host = ""
        if not self._host or parts.scheme not in ("http", "https"):
            raise MonitorError(f"set {VARIABLE} to the http or https URL that is to be told")
        self._timeout_s = timeout_s
        self._queue: queue.Queue[Transition | None] = queue.Queue(waiting)
        self._counts = {"sent": 0, "failed": 0, "dropped": 0}
        self._abandoned = False
        self._thread = threading.Thread(target=self._run, name="alert-webhook", daemon=True)

    def __enter__(self) -> Webhook:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Send what waits, for as long as one notice may take, and forget the rest."""
        ends_at = time.monotonic() + self._timeout_s
        while not self._queue.empty() and time.monotonic() < ends_at:
            time.sleep(0.01)
        self._abandoned = True
        try:
            self._queue.put_nowait(None)
        except queue.Full:
            _LOG.warning("alerts were not told to the webhook: it is too slow")
        self._thread.join(self._timeout_s)

    def tell(self, transition: Transition) -> None:
        """Send a notice if the alert fires or is resolved; returns at once."""
        if transition.after != "firing" and not transition.resolved:
            return
        try:
            self._queue.put_nowait(transition)
        except queue.Full:
            self._counts["dropped"] += 1

    def stats(self) -> WebhookStats:
        """What became of the notices so far."""
        return WebhookStats(**self._counts)

    def _run(self) -> None:
        while not self._abandoned:
            transition = self._queue.get()
            if transition is None:
                return
            try:
                self._send(notice(transition))
            except (OSError, http.client.HTTPException, ValueError) as error:
                # the type alone: the text of some errors names the address
                self._counts["failed"] += 1
                name, what = transition.rule.name, type(error).__name__
                _LOG.warning("the webhook was not told of %s: %s", name, what)
            else:
                self._counts["sent"] += 1

    def _send(self, body: bytes) -> None:
        parts = urlsplit(self._url)
        kind = (
            http.client.HTTPSConnection if parts.scheme == "https" else (http.client.HTTPConnection)
        )
        connection = kind(self._host, self._port, timeout=self._timeout_s)
        try:
            path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
            connection.request("POST", path, body, {"Content-Type": "application/json"})
            status = connection.getresponse().status
            if status >= 300:
                raise ValueError(status)
        finally:
            connection.close()


def notice(transition: Transition) -> bytes:
    """One alert as the JSON that Alertmanager sends to webhooks (version 4)."""
    labels = {"alertname": transition.rule.name, "severity": transition.rule.severity}
    labels |= dict(transition.labels)
    status = "resolved" if transition.resolved else "firing"
    alert = {
        "status": status,
        "labels": labels,
        "annotations": {"hint": transition.rule.hint, "value": f"{transition.value:.6g}"},
        "startsAt": _as_text(transition.since_s),
        "endsAt": _as_text(transition.at_s) if transition.resolved else _STILL_FIRING,
    }
    return msgspec.json.encode(
        {"version": "4", "receiver": "perflab", "status": status, "alerts": [alert]}
    )


def _as_text(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).isoformat().replace("+00:00", "Z")

"""The Docker daemon of this machine: found, and why it cannot serve."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import docker
import urllib3
from docker.errors import DockerException

from perflab.services.errors import ServiceError

DAEMON_ERRORS = (DockerException, OSError, urllib3.exceptions.HTTPError)
"""What docker-py raises, and lets pass, when the daemon refuses or is gone."""
ANSWER_S = 2.0
"""How long the daemon may take for an answer that decides whether it is used at all."""
_WORK_S = 120.0
_REMEMBERED_S = 10.0
_HERE = ("localhost", "localunixsocket", "127.0.0.1", "::1")
_CONTAINER_SIGNS = (Path("/.dockerenv"), Path("/run/.containerenv"))
_REFUSALS: tuple[tuple[str, str, str], ...] = (
    ("PermissionError", "this user may not use {where}", "join the group that owns it (docker)"),
    (
        "FileNotFoundError|ConnectionRefusedError|NewConnectionError",
        "no daemon on {where}",
        "start Docker, or set DOCKER_HOST",
    ),
    (
        "[Tt]imed? ?out|BlockingIOError",
        f"the daemon on {{where}} does not answer within {ANSWER_S:.0f} s",
        "restart Docker",
    ),
)

_silent: dict[str, tuple[float, NoDaemon]] = {}
"""Daemons that did not answer, and when: several questions in a row wait for them once."""


class NoDaemon(ServiceError):
    """There is no Docker daemon that the lab could use."""

    def __init__(self, reason: str, advice: str) -> None:
        super().__init__(f"{reason}; {advice}")
        self.reason = reason
        self.advice = advice


def connect() -> Any:
    """A client for the daemon that ``DOCKER_HOST`` or Docker's current context names.

    A NoDaemon says why there is none, after at most two seconds of silence.
    """
    where = _where()
    seen, refusal = _silent.get(where, (0.0, None))
    if refusal is not None and time.monotonic() - seen < _REMEMBERED_S:
        raise NoDaemon(refusal.reason, refusal.advice)
    client, daemon_name, said = None, "", ""
    try:
        client = docker.from_env(timeout=ANSWER_S)
        client.ping()
        daemon_name = client.info().get("Name") if _in_container() else ""
    except (*DAEMON_ERRORS, ValueError) as error:
        said = repr(error)
    if client is None or said:
        refusal = _refusal(said, where)
        _silent[where] = (time.monotonic(), refusal)
        raise refusal
    _check_nearness(client.api.base_url, daemon_name, where)
    client.api.timeout = _WORK_S
    return client


def explain(error: Exception) -> str:
    """What the daemon said went wrong, in one line."""
    said = getattr(error, "explanation", None) or str(error)
    return " ".join(str(said).split())


@contextlib.contextmanager
def reporting(failure: str) -> Iterator[None]:
    """Turn what the daemon refuses, or a daemon that went away, into a ServiceError."""
    try:
        yield
    except DAEMON_ERRORS as error:
        said = explain(error)
    else:
        return
    raise ServiceError(f"{failure}: {said}; see Docker's own log, or choose --services embedded")


def _where() -> str:
    """The daemon's address as it may be shown."""
    return os.environ.get("DOCKER_HOST", "").rpartition("@")[2] or "its usual socket"


def _refusal(said: str, where: str) -> NoDaemon:
    for pattern, reason, advice in _REFUSALS:
        if re.search(pattern, said):
            return NoDaemon(reason.format(where=where), advice)
    return NoDaemon(f"what is on {where} does not answer as a daemon", "correct DOCKER_HOST")


def _check_nearness(url: str, daemon_name: str, where: str) -> None:
    """Refuse a daemon whose loopback interface is not ours: the servers could not be reached."""
    advice = "use a daemon on this machine, or choose another rung"
    if (urlsplit(url).hostname or "") not in _HERE:
        raise NoDaemon(f"the daemon on {where} is on another machine", advice)
    # inside a container the socket is often that of the machine around it
    if daemon_name and daemon_name != socket.gethostname():
        raise NoDaemon("the daemon is that of the machine around this container", advice)


def _in_container() -> bool:
    return any(sign.exists() for sign in _CONTAINER_SIGNS)

"""The images that servers are made of: their names, whether they are here, and fetching them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

from docker.errors import ImageNotFound

from perflab.paths import cache_dir
from perflab.progress import in_kernel, progress
from perflab.services.addresses import ServiceName
from perflab.services.docker.engine import DAEMON_ERRORS, NoDaemon, connect, explain
from perflab.services.errors import RungUnavailable, ServiceError

IMAGE_ENV: dict[ServiceName, str] = {
    "postgres": "PERFLAB_POSTGRES_IMAGE",
    "redis": "PERFLAB_REDIS_IMAGE",
    "edge": "PERFLAB_NGINX_IMAGE",
}
_USUAL: dict[ServiceName, str] = {
    "postgres": "postgres:18-alpine",
    "redis": "redis:8-alpine",
    "edge": "nginx:1-alpine",
}
_PART = r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*"
_NAME = re.compile(
    rf"(?:(?:[A-Za-z0-9.\-]+|\[[0-9A-Fa-f:]+\])(?::\d+)?/)?{_PART}(?:/{_PART})*"
    r"(?::[\w][\w.\-]{0,127})?(?:@[a-z0-9+._\-]+:[0-9a-fA-F]{32,})?",
    re.ASCII,
)
"""https://pkg.go.dev/github.com/distribution/reference: host, path, tag and digest."""
_REMEMBERED_S = 24 * 3600.0
_UNASKED_S = 60.0
"""How long a process may pull in all, where nobody asked for it."""
_ASKED_S = 3600.0
_SILENCE_S = 20.0
"""How long a registry may be silent."""

_spent_s = 0.0
"""How much of the time for pulling unasked is gone."""


def image_name(service: ServiceName) -> str:
    """The image a service is made of: the usual one, or the one that the user named.

    A ServiceError where that is no name of an image.
    """
    name = os.environ.get(IMAGE_ENV[service], "").strip() or _USUAL[service]
    if not _NAME.fullmatch(name):
        raise ServiceError(
            f"{IMAGE_ENV[service]}={name}: is no name of an image; write it like"
            f" {_USUAL[service]}, or unset it"
        )
    return name


def find_image(client: Any, name: str) -> Any | None:
    """The image of this name, None where it is not on this machine."""
    try:
        return client.images.get(name)
    except ImageNotFound:
        return None


def why_not_fetch(name: str) -> str:
    """Why an image that is not here is not fetched unasked; empty where it may be."""
    if os.environ.get("CI"):
        return f"no image {name} here, and nothing is pulled where CI is set"
    failed = _failure(name)
    try:
        age_s = time.time() - failed.stat().st_mtime
        said = failed.read_text(encoding="utf-8")
    except OSError:
        return ""
    if age_s > _REMEMBERED_S:
        return ""
    return f"no image {name} here, and pulling it failed {_ago(age_s)}: {said}"


def fetch(name: str, *, asked: bool) -> None:
    """Pull an image; a RungUnavailable says why that failed, and is remembered for a day.

    Unasked it takes at most 60 s for all images together.
    """
    global _spent_s
    limit_s = _ASKED_S if asked else _UNASKED_S - _spent_s
    started = time.monotonic()
    said = _pull(name, limit_s)
    if not asked:
        _spent_s += time.monotonic() - started
    failed = _failure(name)
    if said:
        services = [service for service in IMAGE_ENV if image_name(service) == name]
        variable = " or ".join(IMAGE_ENV[service] for service in services or IMAGE_ENV)
        failed.parent.mkdir(parents=True, exist_ok=True)
        failed.write_text(said, encoding="utf-8")
        raise RungUnavailable(
            f"no image {name} here, and pulling it failed: {said};"
            f" bring it here (docker pull {name}), or name another by {variable}"
        )
    failed.unlink(missing_ok=True)


def _pull(name: str, limit_s: float) -> str:
    """Why pulling failed; empty where the image is here now."""
    # a registry that turns silent just before the end must not exceed it
    silence_s = min(_SILENCE_S, limit_s / 2)
    if silence_s <= 0:
        return "no time was left for it"
    end = time.monotonic() + limit_s - silence_s
    title = f"pulling {name}"
    if not in_kernel():
        print(f"{title} (needed once)", file=sys.stderr)
    try:
        with progress(title) as step, contextlib.closing(_events(name, silence_s)) as events:
            for event in events:
                if event.get("error"):
                    return " ".join(str(event["error"]).split())
                if time.monotonic() > end:
                    return f"it was not done after {limit_s - silence_s:.0f} s"
                detail = event.get("progressDetail") or {}
                if detail.get("total"):
                    step(event.get("status", ""), detail.get("current", 0), detail["total"])
    except (NoDaemon, *DAEMON_ERRORS) as error:
        said = explain(error)
        silent = "timed out" in said
        return f"the registry was silent for {silence_s:.0f} s" if silent else said
    return ""


def _events(name: str, silence_s: float) -> Generator[dict[str, Any], None, None]:
    client = connect()
    api = client.api
    send = api.send

    def impatient(request: Any, **kwargs: Any) -> Any:
        # docker-py pulls without any time limit
        return send(request, **{**kwargs, "timeout": silence_s})

    api.send = impatient
    try:
        yield from api.pull(name, stream=True, decode=True)
    finally:
        client.close()


def _failure(name: str) -> Path:
    """Where a failed pull of this image is remembered."""
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    return cache_dir() / "docker" / "failed-pulls" / digest


def _ago(age_s: float) -> str:
    minutes = int(age_s // 60)
    return f"{minutes // 60} h {minutes % 60} min ago" if minutes >= 60 else f"{minutes} min ago"

"""Containers of the lab: made with testcontainers, labelled, reachable from this machine only."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
from docker.errors import APIError
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer

from perflab.services.docker.engine import DAEMON_ERRORS, connect, explain
from perflab.services.docker.images import find_image
from perflab.services.docker.place import ContainerSite, Place
from perflab.services.embedded.processes import complaint, wait_until
from perflab.services.errors import ServiceError
from perflab.services.ports import free_ports, is_free

HOST = "127.0.0.1"
_PORT_TRIES = 5
_LAST_LINES = 50


class Recipe(msgspec.Struct, frozen=True):
    """What a container is made of."""

    image: str
    """The image's id."""
    command: Sequence[str]
    environment: dict[str, str] = {}
    volumes: dict[str, str] = {}
    """Volumes by name: where each is mounted."""
    files: dict[str, bytes] = {}
    """Files to put in before it starts: readable inside, and not in ``docker inspect``."""
    port: int = 0
    """The port to publish, 0 for none."""
    network: str = ""
    """``host`` for this machine's own; otherwise none where no port is published."""
    options: dict[str, Any] = {}
    """More arguments of docker-py's ``containers.create``."""


def start_server(place: Place, name: str, recipe: Recipe) -> tuple[Any, int]:
    """A running container and the port of this machine on which it is published."""
    for attempt, port in enumerate(free_ports(), start=1):
        try:
            return start_container(place, name, recipe, port), port
        except APIError as error:
            said = explain(error)
        # lost the race for the port, or a trouble that another port does not cure
        if is_free(port) or attempt == _PORT_TRIES:
            raise ServiceError(f"the container {place.name}-{name} did not start: {said}")
    raise AssertionError("free_ports has no end")


@contextlib.contextmanager
def _removed(container: Any) -> Iterator[None]:
    try:
        yield
    finally:
        with contextlib.suppress(*DAEMON_ERRORS):
            container.remove(force=True, v=True)


def run_script(place: Place, name: str, recipe: Recipe, failure: str) -> str:
    """Run a shell script to its end in a container that is then removed; its output.

    ``recipe.command`` holds the script as its only item. A ServiceError, beginning with
    ``failure``, has the last line of what it said.
    """
    options = {**recipe.options, "entrypoint": ["sh", "-c"], "user": "0"}
    shell = msgspec.structs.replace(recipe, options=options)
    try:
        container = start_container(place, name, shell)
        with _removed(container):
            status = container.wait()["StatusCode"]
            output = container.logs(stdout=True, stderr=False).decode(errors="replace")
            said = container.logs(stdout=False, stderr=True).decode(errors="replace").strip()
    except DAEMON_ERRORS as error:
        raise ServiceError(f"{failure}: {explain(error)}") from None
    if status != 0:
        raise ServiceError(f"{failure}: {(said or 'no reason given').splitlines()[-1]}")
    return str(output)


def start_container(place: Place, name: str, recipe: Recipe, port: int = 0) -> Any:
    """A container of the lab that has been started; it is gone again where that failed.

    ``port`` of this machine is where ``recipe.port`` is published.
    """
    client = connect()
    _decide_on_reaper(client)
    declared = (client.images.get(recipe.image).attrs["Config"] or {}).get("Volumes") or {}
    container = DockerContainer(
        recipe.image,
        command=cast(str, list(recipe.command)),
        env=dict(recipe.environment),
        name=f"{place.name}-{name}",
        volumes=[(volume, where, "rw") for volume, where in recipe.volumes.items()],
        transferables=[(content, path, 0o444) for path, content in recipe.files.items()],
    )
    container.with_kwargs(
        labels=place.labels,
        network=recipe.network or ("bridge" if port else "none"),
        **recipe.options,
    )
    container.image = recipe.image  # an id, to which no registry's prefix belongs
    for where in declared.keys() - set(recipe.volumes.values()):
        container.with_tmpfs_mount(where)  # else the daemon makes a volume without our label
    if port:
        cast(dict[str, Any], container.ports)[f"{recipe.port}/tcp"] = (HOST, port)
    try:
        container.start()
        made = container.get_wrapped_container()
    except BaseException:
        with contextlib.suppress(*DAEMON_ERRORS):
            container.stop()
        raise
    if place.has_ended:
        container.stop()
        raise place.ended()
    return made


def _decide_on_reaper(client: Any) -> None:
    """Leave testcontainers' reaper, a container, out where its image is not here.

    The lab's watchdog does that work anyway, and fetching an image takes its time.
    """
    config = testcontainers_config
    if not config.ryuk_disabled and find_image(client, config.ryuk_image) is None:
        config.ryuk_disabled = True
    if "RYUK_RECONNECTION_TIMEOUT" not in os.environ:
        config.ryuk_reconnection_timeout = "3s"


def find_container(site: ContainerSite) -> Any:
    """The container of a site; a ServiceError where its lab has ended."""
    try:
        return connect().containers.get(site.container)
    except DAEMON_ERRORS:
        raise site.place.ended() from None


def is_running(container: Any) -> bool:
    """Whether the container's main process runs."""
    try:
        container.reload()
    except DAEMON_ERRORS:
        return False
    return bool(container.attrs["State"]["Running"])


def wait_for(
    container: Any, ready: Callable[[], object], limit_s: float, home: str, title: str
) -> None:
    """Wait until ``ready()``; a ServiceError has what the server said before it gave up."""

    def settled() -> bool:
        return bool(ready()) or not is_running(container)

    if wait_until(settled, limit_s) and ready():
        return
    log = Path(home) / "docker.log"
    with contextlib.suppress(*DAEMON_ERRORS):
        log.write_bytes(container.logs(tail=_LAST_LINES))
    raise ServiceError(f"{title} did not start: {complaint(log, 0)}")


def execute(container: Any, argv: Sequence[str], user: str) -> tuple[bool, str]:
    """Run a program in a running container: whether it succeeded, and what it said."""
    try:
        status, output = container.exec_run(list(argv), user=user)
    except DAEMON_ERRORS as error:
        return False, explain(error)
    return status == 0, " ".join(output.decode(errors="replace").split())

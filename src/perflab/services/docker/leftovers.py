"""What a lab leaves with the Docker daemon, and its removal: containers and volumes by their label.

Everything that a lab has the daemon make carries the lab's label from its first moment, and that
there is such a lab is recorded in its folder before anything is made. So nothing is missed,
whenever the owner is killed: the watchdog runs ``python -m perflab.services.docker.leftovers
FOLDER``, and where that was not possible the next lab finds the labels of labs that are dead.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docker.errors import NotFound

from perflab.services.docker.engine import DAEMON_ERRORS, NoDaemon, connect, explain
from perflab.services.docker.place import (
    DATA_LABEL,
    ENDING,
    HOST_LABEL,
    LAB_LABEL,
    MARK_LABEL,
    RECORD,
    machine_id,
    read,
    uses_docker,
)
from perflab.services.errors import ServiceError
from perflab.services.owner import Mark
from perflab.services.warden import machine

_LIMIT_S = 15.0
_SWEEP_LIMIT_S = 3.0
_POLL_S = 0.2
_SETTLED_S = 1.0
"""A request of a killed owner can still be at work in the daemon."""


def clear(home: Path, *, only_own: bool = False) -> None:
    """Remove what the lab of this folder had made; a ServiceError says what could not be.

    With ``only_own`` nothing is done in another process than the one that wrote it down.
    """
    if not uses_docker(home):
        return
    mark = Mark.read(read(home / RECORD) or read(home / ENDING))
    if only_own and not (mark and mark.is_own):
        return
    with contextlib.suppress(FileNotFoundError):
        # from here on whoever makes something for this lab sees that it has ended
        (home / RECORD).replace(home / ENDING)
    try:
        remove(connect(), home.name, 0.0 if only_own else _SETTLED_S)
    except (NoDaemon, *DAEMON_ERRORS) as error:
        said = error.reason if isinstance(error, NoDaemon) else explain(error)
        raise ServiceError(
            f"the containers and volumes of {home.name} could not be removed ({said});"
            " the next lab on this machine will"
        ) from None
    (home / ENDING).unlink(missing_ok=True)


def remove(client: Any, lab: str, settled_s: float, limit_s: float = _LIMIT_S) -> None:
    """Remove a lab's containers and volumes, but data that it has kept for others.

    It is over when a look, and another ``settled_s`` later, found nothing.
    """
    end = time.monotonic() + limit_s
    quiet_since: float | None = None
    said = ""
    while quiet_since is None or time.monotonic() < quiet_since + settled_s:
        found = False
        for thing in _things(client, lab):
            found = True
            try:
                thing.remove(force=True, **({"v": True} if hasattr(thing, "kill") else {}))
            except NotFound:
                pass
            except DAEMON_ERRORS as error:
                said = explain(error)  # it is in use, or being removed
        if found:
            quiet_since = None
        elif quiet_since is None:
            quiet_since = time.monotonic()
        if time.monotonic() > end:
            raise ServiceError(
                f"the containers and volumes of {lab} could not be removed ({said});"
                " the next lab on this machine will try again"
            )
        if found or settled_s:
            time.sleep(_POLL_S)


def sweep(client: Any) -> tuple[str, ...]:
    """Remove what labs have left whose process is known to be dead; returns the labs' names.

    A lab of another machine, or of another container, is left alone: here its process id says
    nothing. After a restart of this machine all of its labs are dead.
    """
    marks: dict[str, bool] = {}
    for labels in _labels(client):
        lab, mark = labels[LAB_LABEL], Mark.read(labels.get(MARK_LABEL))
        marks[lab] = mark is not None and (mark.has_ended or _rebooted(mark, labels))
    dead = tuple(sorted(lab for lab, has_ended in marks.items() if has_ended))
    for lab in dead:
        # a third lab may be copying from a volume at this moment
        with contextlib.suppress(ServiceError):
            remove(client, lab, 0.0, _SWEEP_LIMIT_S)
    return dead


def is_complete(volume: Any, volumes: list[Any]) -> bool:
    """Whether a volume holds kept data that is complete."""
    return any(_label(other, DATA_LABEL) == volume.name for other in volumes)


def _rebooted(mark: Mark, labels: dict[str, str]) -> bool:
    same_host = bool(machine_id()) and labels.get(HOST_LABEL) == machine_id()
    return same_host and mark.machine.split()[0] != machine().split()[0]


def _labels(client: Any) -> Iterator[dict[str, str]]:
    """The labels of every lab's containers, and of its volumes that are not for others."""
    named = {"label": LAB_LABEL}
    for container in client.containers.list(all=True, filters=named, sparse=True):
        yield container.attrs["Labels"]
    volumes = client.volumes.list(filters=named)
    pointers = client.volumes.list(filters={"label": DATA_LABEL})
    for volume in volumes:
        if not is_complete(volume, pointers):
            yield volume.attrs["Labels"]


def _things(client: Any, lab: str) -> list[Any]:
    """Containers first: a volume that is in use cannot be removed."""
    named = {"label": f"{LAB_LABEL}={lab}"}
    containers = client.containers.list(all=True, filters=named, sparse=True)
    volumes = client.volumes.list(filters=named)
    pointers = client.volumes.list(filters={"label": DATA_LABEL})
    return [*containers, *(v for v in volumes if not is_complete(v, pointers))]


def _label(thing: Any, name: str) -> str:
    return str((thing.attrs.get("Labels") or {}).get(name, ""))


def main() -> None:
    """Clear the folder given as the only argument, quietly: nobody is there to read."""
    with contextlib.suppress(ServiceError, *DAEMON_ERRORS):
        clear(Path(sys.argv[1]))


if __name__ == "__main__":
    main()

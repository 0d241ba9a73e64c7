"""A lab as the Docker daemon knows it: the labels of its things, and whether it has ended."""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec

from perflab.services.errors import ServiceError
from perflab.services.owner import Mark

LAB_LABEL = "perflab.lab"
"""The name of the lab's folder."""
MARK_LABEL = "perflab.mark"
"""Machine and process of the lab's owner."""
HOST_LABEL = "perflab.host"
"""The machine, as it calls itself across restarts."""
KEPT_LABEL = "perflab.kept"
"""On volumes of kept data: which data it is."""
DATA_LABEL = "perflab.data"
"""On a volume without content: the volume that has the data, complete."""
RECORD = "docker.json"
"""In the lab's folder: that it uses Docker, written before anything is made there."""
ENDING = "docker-ending.json"
"""What the record is called once the lab's things are being removed."""
_MACHINE_ID = Path("/etc/machine-id")


class Place:
    """A lab's folder as its things refer to it."""

    def __init__(self, home: str) -> None:
        self._home = Path(home)

    @property
    def name(self) -> str:
        """What the names of the lab's containers and volumes begin with."""
        return self._home.name

    @property
    def labels(self) -> dict[str, str]:
        """What everything made for this lab carries; a ServiceError where the lab has ended."""
        text = read(self._home / RECORD)
        if not text:
            raise self.ended()
        return {LAB_LABEL: self.name, MARK_LABEL: text, HOST_LABEL: machine_id()}

    @property
    def has_ended(self) -> bool:
        """Whether its things are being removed, or gone; to be asked after making one."""
        return not (self._home / RECORD).exists()

    def ended(self) -> ServiceError:
        """The error for whoever still uses a lab that has ended."""
        return ServiceError(f"the lab that owned {self._home} has ended; open services again")


class ContainerSite(msgspec.Struct, frozen=True):
    """Where a server's container is: enough for any process of the same user to restart it."""

    home: str
    container: str
    """The container's id."""
    port: int
    image: str
    """The image's id."""
    volume: str = ""
    """The volume with the data; empty where nothing is kept."""

    @property
    def place(self) -> Place:
        """What the lab's things carry."""
        return Place(self.home)


def write_down(home: Path) -> Place:
    """Record in a lab's folder that it is about to use Docker; returns its place."""
    with contextlib.suppress(FileExistsError), (home / RECORD).open("x", encoding="utf-8") as file:
        file.write(Mark.of_this_process(home.name).text)
    return Place(str(home))


def uses_docker(home: Path) -> bool:
    """Whether a lab has something with the daemon, as far as its folder says."""
    return (home / RECORD).exists() or (home / ENDING).exists()


def read(path: Path) -> str:
    """What a file holds, nothing where there is none."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def machine_id() -> str:
    """This machine across restarts; empty where it has no such name."""
    return read(_MACHINE_ID).strip()

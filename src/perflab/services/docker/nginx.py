"""nginx in a container, as the edge in front of an origin on this machine.

The container shares two things with this machine. The network, since an origin that listens on
127.0.0.1 could not be reached otherwise, and that is where the edge listens. And the edge's folder
with the stored responses, under the same path and as the same user that an embedded nginx would
have, since whoever purges removes files there.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from docker.types import Mount

from perflab.services.account import server_account
from perflab.services.docker.containers import Recipe, is_running, run_script, start_container
from perflab.services.docker.engine import reporting
from perflab.services.docker.place import Place
from perflab.services.errors import RungUnavailable, ServiceError
from perflab.services.home import Home
from perflab.services.nginx import NginxServer, NginxSite, version_in, why_unusable

_STOP_S = 5
_UNSEEN = "bind source path does not exist"
"""What the daemon says about a folder that it does not see."""
_SNAP = "/var/snap/"


class DockerNginx(NginxServer):
    """The nginx of a site, in a container."""

    def __init__(self, site: NginxSite, place: Place, image: str, holding: object = None) -> None:
        super().__init__(site, holding)
        self._place = place
        self._image = image
        self._container: Any = None

    def version(self) -> str:
        """The version that the running program tells, empty if it tells none."""
        return version_in(self._execute(["-v"])[1])

    def halt(self, *, kill: bool = False) -> None:
        """Stop the server; ``kill`` leaves it no time."""
        if self._container is None:
            return
        with reporting("nginx was not stopped"):
            if not kill:
                self._container.stop(timeout=_STOP_S)  # nothing, where it is down
            elif is_running(self._container):
                self._container.kill()

    def _start(self) -> None:
        with reporting("nginx was not started"):
            if self._container is None:
                self._container = start_container(self._place, "edge", self._recipe())
            else:
                self._container.start()

    def _recipe(self) -> Recipe:
        account, folder = self.site.account, str(self.site.folder)
        return Recipe(
            image=self._image,
            command=self.site.arguments(),
            network="host",
            options={
                # not as a volume, for which the daemon makes a folder where it sees none
                "mounts": [Mount(target=folder, source=folder, type="bind")],
                # an image's own would write to places that are not this user's
                "entrypoint": ["nginx"],
                "user": f"{account.uid}:{account.gid}",
                "stop_signal": "SIGTERM",  # official images wait for open connections
                "userns_mode": "host",  # so that the user is the same inside and outside
                "security_opt": ["label=disable"],  # SELinux: the folder is a temporary one
            },
        )

    def _runs(self) -> bool:
        return self._container is not None and is_running(self._container)

    def _said(self) -> str:
        with reporting("nginx's log cannot be read"):
            # to the nanosecond, of which datetime drops what it cannot hold
            started = datetime.fromisoformat(self._container.attrs["State"]["StartedAt"])
            logs = self._container.logs(since=started.timestamp())
        return str(logs.decode(errors="replace"))

    def _refusal(self, config: str) -> str:
        status, said = self._execute([*self.site.arguments(config), "-t", "-q"])
        return said if status else ""

    def _execute(self, arguments: Sequence[str]) -> tuple[int, str]:
        """Exit status and output of the program in the running container."""
        account = self.site.account
        with reporting("nginx in its container cannot be asked"):
            status, output = self._container.exec_run(
                ["nginx", *arguments], user=f"{account.uid}:{account.gid}"
            )
        return status, output.decode(errors="replace")


def start_nginx(place: Place, home: Home, image: Any, name: str) -> tuple[DockerNginx, str]:
    """A running nginx that answers 503 until ``serve`` gives it something to do; its version.

    ``name`` is what the user calls the image.
    """
    site = NginxSite(str(home.path), 0, server_account())
    server = DockerNginx(site, place, image.id, holding=home)
    try:
        server.open()
    except ServiceError as error:
        if _UNSEEN in str(error):
            raise RungUnavailable(
                f"edge: the Docker daemon does not see the folder {home.path}; set TMPDIR to a"
                " folder that it sees, or choose --services embedded"
            ) from None
        _check(place, image, name)
        raise
    version = server.version()
    if not version:
        _check(place, image, name)
    return server, version


def _check(place: Place, image: Any, name: str) -> None:
    """A ServiceError if the image holds no nginx that the lab can use."""
    recipe = Recipe(image=image.id, command=["nginx -v 2>&1 || true"])
    said = run_script(place, "edge-facts", recipe, f"the image {name} holds no nginx that runs")
    version = version_in(said)
    if not version:
        raise ServiceError(f"the image {name} holds no nginx; it said {said.strip()!r}")
    if against := why_unusable(version):
        raise ServiceError(f"what the image {name} holds {against}")


def why_no_edge(client: Any) -> str:
    """Why containers of this daemon cannot share this machine's network and folders, if so."""
    info = client.info()
    if not sys.platform.startswith("linux") or info.get("OperatingSystem") == "Docker Desktop":
        return "the edge needs this machine's network, and Docker runs in a virtual machine"
    if any("rootless" in option for option in info.get("SecurityOptions") or ()):
        return "the edge needs this machine's network, and a rootless Docker has its own"
    in_snap = str(info.get("DockerRootDir", "")).startswith(_SNAP)
    if in_snap and Path(tempfile.gettempdir()).resolve().is_relative_to("/tmp"):  # noqa: S108 - that is the one
        return "the edge needs the temporary folder, and Docker out of a snap does not see /tmp"
    return ""

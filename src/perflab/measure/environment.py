"""What the figures were measured on, and whether the machine gave its cores all the time."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import msgspec
import psutil

from perflab.files import decode_json
from perflab.paths import checkout_dir

T = TypeVar("T")

LIBRARIES = (
    "perflab",
    "numpy",
    "scipy",
    "pandas",
    "pyarrow",
    "psycopg",
    "psycopg-pool",
    "redis",
    "hiredis",
    "uvloop",
    "granian",
    "sqlalchemy",
    "msgspec",
    "papermill",
)
"""Libraries on a measured path or behind a figure."""

SPIN_S = 0.5
STEADY = 0.95
"""A busy loop that got less of a core than this ran on a machine that was doing other things."""


class Server(Protocol):
    """A running server, as far as a figure depends on it; it may have ``settings``, by name."""

    @property
    def rung(self) -> str:
        """``url``, ``docker`` or ``embedded``."""

    @property
    def version(self) -> str:
        """As the server reports it."""


class ServerFacts(msgspec.Struct, frozen=True):
    """What is kept of a server."""

    rung: str
    version: str
    settings: dict[str, str] = {}
    """Those that differ from the server's defaults; never a password."""


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that must travel with a figure; written as ``environment.json``."""

    id: str
    captured_at: str
    """UTC, ISO 8601."""
    cpu_model: str
    cpu_count: int
    cpu_usable: int
    """Cores that this process may run on."""
    governor: str | None
    """None where the machine does not tell."""
    memory_bytes: int
    load_average: tuple[float, float, float]
    """At the start."""
    system: str
    kernel: str
    python: str
    libraries: dict[str, str]
    git_revision: str | None
    git_dirty: bool | None
    servers: dict[str, ServerFacts] = {}
    lacks: tuple[str, ...] = ()
    """What the servers do not have and figures depend on, a sentence each."""


def capture(servers: Mapping[str, Server] | None = None, lacks: Sequence[str] = ()) -> Environment:
    """Look at this machine, and at the servers in use by name.

    ``lacks`` are sentences about those servers, from whoever knows them.
    """
    revision, dirty = _git()
    usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else ()
    count = os.cpu_count() or 1
    return Environment(
        id=machine_id(),
        captured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        cpu_model=_cpu_model(),
        cpu_count=count,
        cpu_usable=len(usable) or count,
        governor=_governor(),
        memory_bytes=psutil.virtual_memory().total,
        load_average=os.getloadavg(),
        system=_system(),
        kernel=platform.release(),
        python=platform.python_version(),
        libraries=library_versions(),
        git_revision=revision,
        git_dirty=dirty,
        servers={
            name: ServerFacts(server.rung, server.version, dict(getattr(server, "settings", {})))
            for name, server in (servers or {}).items()
        },
        lacks=tuple(lacks),
    )


def machine_id() -> str:
    """The ``environment_id`` of this machine."""
    return environment_id(
        _cpu_model(),
        os.cpu_count() or 1,
        psutil.virtual_memory().total,
        platform.release(),
        _system(),
        platform.python_version(),
    )


def environment_id(
    cpu_model: str, cpu_count: int, memory_bytes: int, kernel: str, system: str, python: str
) -> str:
    """Twelve hex digits that stay the same while figures stay comparable.

    Hashed: CPU model, cores, memory in whole GiB, the kernel's major version, the operating
    system and Python's minor version. Not hashed: names and paths, which would tell one clone
    from another, and patch releases, which would part a machine from its own past.
    """
    parts = (
        cpu_model,
        str(cpu_count),
        str(round(memory_bytes / 2**30)),
        kernel.split(".")[0],
        system,
        ".".join(python.split(".")[:2]),
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def write_environment(path: Path, environment: Environment) -> None:
    """Write ``environment.json``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(environment), indent=2) + b"\n")


def add_environment(path: Path, environment: Environment) -> None:
    """Write ``environment.json``, and what earlier notebooks of the run said of other servers."""
    if path.exists():
        earlier = read_environment(path)
        environment = msgspec.structs.replace(
            environment,
            servers={**earlier.servers, **environment.servers},
            lacks=tuple(dict.fromkeys((*earlier.lacks, *environment.lacks))),
        )
    write_environment(path, environment)


def read_environment(path: Path) -> Environment:
    """Read what ``write_environment`` wrote."""
    return decode_json(path.read_bytes(), Environment)


def library_versions() -> dict[str, str]:
    """The installed libraries of ``LIBRARIES`` with their versions."""
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def steadiness(
    spin_s: float = SPIN_S,
    clock: Callable[[], float] = time.perf_counter,
    cpu_clock: Callable[[], float] = time.thread_time,
) -> float:
    """Spin for ``spin_s`` and return CPU time over wall time, 1 on an undisturbed core.

    A virtual machine can lose a third of its cores for minutes without showing steal.
    """
    started, cpu_started = clock(), cpu_clock()
    while clock() - started < spin_s:
        pass
    wall_s = clock() - started
    return min(1.0, (cpu_clock() - cpu_started) / wall_s)


class Guarded(msgspec.Struct, Generic[T], frozen=True):
    """What a timed part returned, and the steadiness around it."""

    value: T
    before: float
    after: float

    @property
    def steadiness(self) -> float:
        """The worse of the two spins."""
        return min(self.before, self.after)

    @property
    def warnings(self) -> tuple[str, ...]:
        """One sentence if the machine was unsteady, for the results of this part."""
        if self.steadiness >= STEADY:
            return ()
        return (f"unsteady machine: a busy loop got {self.steadiness:.0%} of a core",)


def guarded(part: Callable[[], T], spin: Callable[[], float] = steadiness) -> Guarded[T]:
    """Run a timed part between two spins."""
    before = spin()
    value = part()
    return Guarded(value, before, spin())


def _cpu_model() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Model") and value.strip():
            return value.strip()
    return platform.processor() or platform.machine() or "unknown"


def _governor() -> str | None:
    try:
        path = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
        return path.read_text(encoding="ascii").strip() or None
    except OSError:
        return None


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return f"{platform.system()} {platform.release().split('.')[0]}"


def _git() -> tuple[str | None, bool | None]:
    """Revision and dirty flag of the checkout; None twice for an installed package."""
    folder = checkout_dir()
    if folder is None:
        return None, None
    try:
        revision, status = (
            subprocess.run(
                ["git", "-C", str(folder), *arguments],
                capture_output=True,
                text=True,
                timeout=10,
                check=True,
            ).stdout.strip()
            for arguments in (("rev-parse", "HEAD"), ("status", "--porcelain"))
        )
    except (OSError, subprocess.SubprocessError):
        return None, None
    return revision, bool(status)

"""What the lab would use on this machine, what is wrong with it, and what to do."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec
import psutil

from perflab.measure.environment import STEADY, library_versions, machine_id, steadiness
from perflab.measure.speed import SLOW, best_speed, machine_speed
from perflab.paths import best_speeds, cache_dir, runs_dir
from perflab.services import CACHE_LIMIT_BYTES, Probe, databases_dir, folder_bytes, probe
from perflab.services.addresses import SERVICE_NAMES, USUAL_NAMES, ServiceName
from perflab.services.docker.volumes import drop_all, kept_here

ENOUGH_FILES = 4_096
ENOUGH_DISK_BYTES = 3 * 2**30


class Finding(msgspec.Struct, frozen=True):
    """One line of the examination."""

    subject: str
    state: str
    ok: bool = True
    advice: str = ""


def examine() -> list[Finding]:
    """Look at servers, versions, cores, file descriptors, disk and noise."""
    probes = probe()
    servers = [_server(service, probes) for service in SERVICE_NAMES]
    places = [*_disks(), _cache()]
    return [*servers, _docker(probes), _versions(), _cores(), _files(), *places, _noise()]


def clean_cache() -> str:
    """Delete everything in the cache, Docker's volumes included; returns a sentence about it."""
    folder = cache_dir()
    volumes_bytes = drop_all()
    freed = folder_bytes(folder)
    for entry in folder.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
    said = f"deleted {freed / 2**20:,.0f} MiB from {folder}"
    return said + (f" and {volumes_bytes / 2**20:,.0f} MiB in Docker" if volumes_bytes else "")


def _server(service: ServiceName, probes: Sequence[Probe]) -> Finding:
    rungs = [p for p in probes if p.service == service]
    first = next((p for p in rungs if p.available or p.insists), None)
    others = "; ".join(f"{p.rung}: {p.reason}" for p in rungs if not p.available and p is not first)
    if first is None:
        advice = next((p.advice for p in reversed(rungs) if p.advice), "")
        needed = service in USUAL_NAMES
        more = "" if needed else "; what needs one is left out"
        return Finding(service, f"none can be had ({others}){more}", ok=not needed, advice=advice)
    if not first.available:
        return Finding(service, first.reason, ok=False, advice=first.advice)
    more = f" ({others})" if others else ""
    return Finding(service, f"{first.rung} would be used: {first.reason}{more}")


def _docker(probes: Sequence[Probe]) -> Finding:
    found = [p for p in probes if p.rung == "docker"]
    return Finding("docker", "; ".join(dict.fromkeys(p.reason for p in found)))


def _versions() -> Finding:
    libraries = library_versions()
    shown = ", ".join(f"{name} {version}" for name, version in libraries.items())
    return Finding("versions", f"Python {platform.python_version()}, {shown}")


def _cores() -> Finding:
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    memory = psutil.virtual_memory().total / 2**30
    state = f"{cores} usable, {memory:.0f} GiB of memory, load average {os.getloadavg()[0]:.1f}"
    if cores < 2:
        return Finding(
            "cores", state, ok=False, advice="server and client share one core; use two or more"
        )
    if os.getloadavg()[0] > cores:
        return Finding(
            "cores", state, ok=False, advice="something else is busy here; stop it first"
        )
    return Finding("cores", state)


def _files() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    ok = soft >= ENOUGH_FILES
    advice = "" if ok else f"raise it before measuring connections: ulimit -n {min(hard, 65_536)}"
    return Finding("file descriptors", f"{soft} (at most {hard})", ok=ok, advice=advice)


def _disks() -> list[Finding]:
    places = {
        "temporary folder": Path(tempfile.gettempdir()),
        "cache": cache_dir(),
        "runs": runs_dir(),
    }
    remedies = {
        "temporary folder": "set TMPDIR to a larger disk",
        "cache": "perflab doctor --clean, or set PERFLAB_CACHE_DIR",
        "runs": "set PERFLAB_RUNS_DIR to a larger disk",
    }
    found = []
    for name, place in places.items():
        existing = next(p for p in (place, *place.parents) if p.exists())
        free = shutil.disk_usage(existing).free
        ok = free >= ENOUGH_DISK_BYTES and os.access(existing, os.W_OK)
        state = f"{place}, {free / 2**30:.0f} GiB free"
        found.append(Finding(name, state, ok=ok, advice="" if ok else remedies[name]))
    return found


def _cache() -> Finding:
    folder = databases_dir()
    entries = sum(1 for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else 0
    size = folder_bytes(folder) if entries else 0
    limit = CACHE_LIMIT_BYTES / 2**30
    state = f"{entries} kept, {size / 2**20:,.0f} MiB of at most {limit:.0f} GiB"
    volumes = kept_here()
    if volumes:
        used = sum(kept.size_bytes for kept in volumes) / 2**20
        state += f"; in Docker volumes {len(volumes)} kept, {used:,.0f} MiB of as much"
    return Finding("loaded data", state)


def _noise() -> Finding:
    share = steadiness()
    speed = machine_speed()
    pace = speed / best_speed(best_speeds(), machine_id(), speed)
    ok = share >= STEADY and pace >= SLOW
    advice = (
        "" if ok else "figures will be marked noisy; close other programs or use a quieter machine"
    )
    state = f"a busy loop got {share:.0%} of a core, at {pace:.0%} of the best speed seen here"
    return Finding("noise", state, ok=ok, advice=advice)

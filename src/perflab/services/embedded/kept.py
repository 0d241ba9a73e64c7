"""Data folders that the embedded rung keeps in the cache, so that data is loaded once."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from perflab.paths import cache_dir

CACHE_LIMIT_BYTES = 20 * 2**30
"""Kept data folders beyond this in all are deleted, the least recently used first."""


def databases_dir() -> Path:
    """The cache of loaded data folders."""
    return cache_dir() / "databases"


def kept_folder(build: str, template: str) -> Path:
    """Where the data called ``template`` of a server of this build is kept, if it is."""
    return databases_dir() / hashlib.sha256(f"{build} {template}".encode()).hexdigest()[:20]


def find_kept(build: str, template: str) -> Path | None:
    """The data folder that an earlier lab kept under this name, marked as used just now."""
    folder = kept_folder(build, template)
    if not template or not folder.is_dir():
        return None
    os.utime(folder)  # what was used last is deleted last
    return folder


def trim_cache(keep: Path | None = None, limit_bytes: int = CACHE_LIMIT_BYTES) -> list[Path]:
    """Delete the least recently used data folders until the rest fits; returns the deleted."""
    if not databases_dir().is_dir():
        return []
    entries = sorted(
        (p for p in databases_dir().iterdir() if p.is_dir()), key=lambda p: p.stat().st_mtime
    )
    used = {entry: folder_bytes(entry) for entry in entries}
    deleted = []
    for entry in entries:
        if sum(used.values()) <= limit_bytes:
            break
        if entry != keep:
            shutil.rmtree(entry, ignore_errors=True)
            del used[entry]
            deleted.append(entry)
    return deleted


def folder_bytes(folder: Path) -> int:
    """The bytes of a folder's files."""
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())

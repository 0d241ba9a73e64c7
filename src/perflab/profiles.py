"""The profiles: how big a run is, read from ``data/profiles.toml``."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from perflab.config import error_at, load_toml
from perflab.errors import ParameterError
from perflab.paths import data_dir

PROFILES_VARIABLE = "PERFLAB_PROFILES"


class DatabaseSizes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much data the database notebook loads and how often it measures."""

    users: int
    """Users of the seeded database; about 100 rows each."""
    scaling_users: list[int]
    """Users of the smaller databases that show improvement against size."""
    rounds: int
    """Rounds of a comparison: each visits every arm for one block."""
    calls: int
    """Timed calls of each query in a block."""
    warmup: int
    """Calls of each query at the start of a block that are not counted."""
    clients: list[int]
    """Concurrent clients of the throughput table."""
    clients_s: float
    """Seconds of one throughput cell and repetition."""
    clients_rounds: int
    """Repetitions of the throughput table."""
    write_rows: int
    """Rows inserted and updated in one block of the write-cost experiment."""
    write_rounds: int
    """Rounds of the write-cost experiment."""


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One profile; its name is its table in the file."""

    deadline_s: float
    """A notebook that runs longer than this is stopped and reported."""
    database: DatabaseSizes
    name: str = ""


def load_profiles(path: Path | None = None) -> dict[str, Profile]:
    """All profiles by name; a ConfigError names file, line and key of a bad entry.

    Without ``path`` those of ``PERFLAB_PROFILES``, a file of one's own, else the shipped ones.
    """
    path = path or Path(os.environ.get(PROFILES_VARIABLE) or data_dir() / "profiles.toml")
    profiles = load_toml(path, dict[str, Profile])
    for name, profile in profiles.items():
        sizes = profile.database
        for key in ("users", "rounds", "calls", "write_rows", "write_rounds", "clients_rounds"):
            if getattr(sizes, key) < 1:
                raise error_at(path, [name, "database", key], "must be at least 1")
        if any(users >= sizes.users for users in sizes.scaling_users):
            raise error_at(
                path, [name, "database", "scaling_users"], "must all be smaller than users"
            )
    return {name: msgspec.structs.replace(p, name=name) for name, p in profiles.items()}


def load_profile(name: str) -> Profile:
    """The profile called ``name``; a ParameterError lists the known ones."""
    profiles = load_profiles()
    if name not in profiles:
        raise ParameterError(f"profile={name!r} is unknown; choose one of {', '.join(profiles)}")
    return profiles[name]

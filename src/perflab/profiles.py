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


class CacheSizes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much the cache notebook asks of the tiers and how often it measures."""

    keys: int
    """Different keys of the generated requests."""
    rate_rps: float
    """Requests per second of the service that is imitated."""
    driven_rps: float
    """Requests per second that reach the real tiers; over ``rate_rps`` it is the factor by which
    TTLs longer than the run are scaled."""
    windows: int
    """Parts of a run, each a quarter of a TTL long; the repetitions behind an interval."""
    memory_s: float
    """Seconds of the run that looks at the memory tier in real time."""
    edge_pages: int
    """Different public pages behind the edge."""
    edge_rps: float
    """Requests per second for them, of the site that is imitated."""
    edge_driven_rps: float
    """Requests per second that reach the real edge, about: see ``driven_rps``."""
    virtual_requests: int
    """Requests of a run in virtual time."""
    curve_requests: int
    """Generated requests behind the miss-ratio curves."""
    rounds: int
    """Rounds of a comparison: each visits every arm for one block."""
    calls: int
    """Timed calls of each query in a block."""
    scratch_calls: int
    """The same, where one side has neither indexes nor a cache."""
    slow_queries: int
    """How many of the database's slowest queries are put behind the cache."""
    entries: int
    """Entries that Redis is filled with to see whether it holds them."""
    readers: int
    """Requests that miss the same key at once."""
    races: int
    """Fills that race a purge, and purges whose way is timed."""
    warm_users: int
    """Users whose data is loaded before the first request."""
    warm_rounds: int
    """How often the first minute is lived through, cold and warm."""


class ApiSizes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How hard the API notebook loads the API and how often it measures."""

    identities: int
    """Users who are signed in beforehand; each has a quota of their own."""
    repetitions: int
    """Independent repetitions behind the interval of a load's figures."""
    load_s: float
    """Seconds of one load; longer where it would have fewer than ``requests``."""
    requests: int
    """Requests of one load at least: fewer, and a queue that grows is not told from one that
    varies."""
    probes: int
    """Loads of the search for the highest rate that a promise holds at."""
    probe_s: float
    """Seconds of one of them, likewise."""
    steady_s: float
    """Seconds of the one long load that shows whether latency stays as it is."""
    rounds: int
    """Rounds of a comparison: each visits every arm for one block."""
    calls: int
    """Timed calls of each request in a block."""


class AdvisorSizes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """On how much data the advisor works and how often its advice is measured."""

    users: int
    """Users of the database that is advised on: one of the sizes that the profile loads."""
    examples: int
    """Calls of each query whose plans decide what is chosen."""
    rounds: int
    """Rounds of a comparison: each visits every arm for one block."""
    calls: int
    """Timed calls of each statement in a block."""
    write_rows: int
    """Rows replaced in one block of the write-cost experiment, about."""
    write_rounds: int
    """Rounds of the write-cost experiment."""


class LoadSizes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long the load notebook loads."""

    scenario_s: float
    """Seconds of one run of one of the plan's scenarios."""
    stall_run_s: float
    """Seconds of the run in which the server stops."""
    stall_s: float
    """Seconds for which it does."""
    known_requests: int
    """Requests with a known delay."""
    wrk_rounds: int
    """Seconds of wrk, each beside one of ours."""
    connections: int
    """WebSocket connections that are open at once."""
    watched_s: float
    """Seconds of the load that is watched while the server stops."""
    watched_rounds: int
    """Rounds of the experiment on what being watched costs."""
    watched_calls: int
    """Timed requests in a block of it."""


class CapacitySizes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far the capacity notebook loads the API and how often it measures."""

    identities: int
    """Users who are signed in beforehand and take turns."""
    loads: list[int]
    """Concurrencies of the closed loads, ascending; the law needs six, some beyond the knee."""
    repetitions: int
    """How often each of them is measured."""
    load_s: float
    """Seconds of one closed load."""
    step_s: float
    """Seconds of one open load, and of one that is held back."""
    people: list[int]
    """Users who think, each on a connection of their own, ascending."""
    people_s: float
    """Seconds of one such load."""
    simulated_s: float
    """Seconds of one simulation, in its own time."""


class RealtimeSizes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many clients the real-time notebook connects and how much it sends them."""

    clients: int
    """Connections of the plan's load, over two hubs."""
    subscribers: int
    """Of a channel."""
    rate_per_min: float
    """Messages published a minute."""
    load_s: float
    """Seconds of the plan's load."""
    idle_s: float
    """Seconds for which idle connections are looked at."""
    knee: list[float]
    """Multiples of that rate, rising, to be tried until one is not held."""
    knee_s: float
    """Seconds of each."""
    side_s: float
    """Seconds of a load beside it: a hot channel, a flood, slow consumers."""
    loss_s: float
    """Seconds for which messages are published around a loss."""
    hot_clients: int
    """Subscribers of the hot channel."""
    hot_rate: float
    """Messages per second into it."""
    flood_rate: float
    """Normal messages per second beside the critical ones."""
    slow_rate: float
    """Large messages per second for consumers that stand still."""
    small_clients: int
    """Clients that go through the losses that take no thousand."""
    many_clients: int
    """Connections of a run of their own; 0 for none."""
    rounds: int
    """Rounds of the comparison: each visits every arm for one block."""
    calls: int
    """Timed messages in a block."""


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One profile; its name is its table in the file."""

    deadline_s: float
    """A notebook that runs longer than this is stopped and reported."""
    database: DatabaseSizes
    cache: CacheSizes
    api: ApiSizes
    advisor: AdvisorSizes
    load: LoadSizes
    capacity: CapacitySizes
    realtime: RealtimeSizes
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
        _check_cache(path, name, profile.cache)
        _check_api(path, name, profile.api)
        _check_advisor(path, name, profile)
        _check_load(path, name, profile.load)
        _check_capacity(path, name, profile.capacity)
        _check_realtime(path, name, profile.realtime)
    return {name: msgspec.structs.replace(p, name=name) for name, p in profiles.items()}


def _check_realtime(path: Path, name: str, sizes: RealtimeSizes) -> None:
    """A ConfigError for a size that nothing can be measured at."""
    for field in msgspec.structs.fields(RealtimeSizes):
        value = getattr(sizes, field.name)
        if isinstance(value, list):
            if not value or min(value) <= 1 or sorted(set(value)) != value:
                raise error_at(path, [name, "realtime", field.name], "must rise, from above 1")
        elif field.name == "many_clients":
            if value != 0 and value < sizes.subscribers:
                raise error_at(path, [name, "realtime", field.name], "must be 0 or subscribers")
        elif not value > 0:
            raise error_at(path, [name, "realtime", field.name], "must be above 0")
    for key in ("clients", "small_clients"):
        if getattr(sizes, key) < sizes.subscribers:
            raise error_at(path, [name, "realtime", key], "must be at least subscribers")


def _check_cache(path: Path, name: str, sizes: CacheSizes) -> None:
    """A ConfigError for a size that nothing can be measured at."""
    for field in msgspec.structs.fields(CacheSizes):
        if not getattr(sizes, field.name) > 0:
            raise error_at(path, [name, "cache", field.name], "must be above 0")
    if sizes.driven_rps < sizes.rate_rps:
        raise error_at(path, [name, "cache", "driven_rps"], "must be at least rate_rps")


def _check_api(path: Path, name: str, sizes: ApiSizes) -> None:
    """A ConfigError for a size that no load can have."""
    for field in msgspec.structs.fields(ApiSizes):
        if not getattr(sizes, field.name) > 0:
            raise error_at(path, [name, "api", field.name], "must be above 0")


def _check_advisor(path: Path, name: str, profile: Profile) -> None:
    """A ConfigError for a size that nothing can be measured at, or that is not loaded."""
    for field in msgspec.structs.fields(AdvisorSizes):
        if not getattr(profile.advisor, field.name) > 0:
            raise error_at(path, [name, "advisor", field.name], "must be above 0")
    if profile.advisor.users not in (profile.database.users, *profile.database.scaling_users):
        raise error_at(
            path, [name, "advisor", "users"], "must be one of database's users and scaling_users"
        )


def _check_load(path: Path, name: str, sizes: LoadSizes) -> None:
    """A ConfigError for a size that no load can have."""
    for field in msgspec.structs.fields(LoadSizes):
        if not getattr(sizes, field.name) > 0:
            raise error_at(path, [name, "load", field.name], "must be above 0")
    if sizes.stall_s >= sizes.stall_run_s:
        raise error_at(path, [name, "load", "stall_s"], "must be below stall_run_s")


def _check_capacity(path: Path, name: str, sizes: CapacitySizes) -> None:
    """A ConfigError for a size that no load can have."""
    for field in msgspec.structs.fields(CapacitySizes):
        value = getattr(sizes, field.name)
        steps = [name, "capacity", field.name]
        if isinstance(value, list):
            if not value or min(value) < 1 or sorted(set(value)) != value:
                raise error_at(path, steps, "must be whole numbers from 1 on that ascend")
        elif not value > 0:
            raise error_at(path, steps, "must be above 0")


def load_profile(name: str) -> Profile:
    """The profile called ``name``; a ParameterError lists the known ones."""
    profiles = load_profiles()
    if name not in profiles:
        raise ParameterError(f"profile={name!r} is unknown; choose one of {', '.join(profiles)}")
    return profiles[name]

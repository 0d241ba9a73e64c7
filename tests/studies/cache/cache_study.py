"""What the tests of the cache study share: sizes, workloads, a server that is not the lab's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from perflab.parameters import CacheParameters
from perflab.profiles import CacheSizes, load_profiles
from perflab.studies.cache.workload import Workload, choose_workload

PROFILES = Path(__file__).parents[2] / "fixtures" / "profiles.toml"


def some_sizes(**changes: Any) -> CacheSizes:
    """The smallest profile's sizes, with some of them changed."""
    return msgspec.structs.replace(load_profiles(PROFILES)["smoke"].cache, **changes)


def traced(path: Path, keys: Sequence[object]) -> Workload:
    """The workload of a file with one access a line."""
    path.write_text("".join(f"{key}\n" for key in keys))
    return choose_workload(CacheParameters(trace=str(path)), some_sizes())

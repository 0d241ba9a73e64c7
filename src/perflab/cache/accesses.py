"""Streams of accesses: what traces are read into and what simulated caches are fed with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Keys: TypeAlias = NDArray[np.uint64]
Times: TypeAlias = NDArray[np.float64]
Sizes: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive accesses as columns of equal length."""

    keys: Keys
    """A 64-bit hash of each key."""
    times: Times | None = None
    """Seconds, not falling, where the source knows them."""
    sizes: Sizes | None = None
    """Bytes of each object, where the source knows them."""

    def __len__(self) -> int:
        return len(self.keys)


class Accesses(Protocol):
    """Accesses that can be read again and again, a chunk at a time."""

    def chunks(self) -> Iterator[Chunk]:
        """All accesses in order, from the first on."""
        ...

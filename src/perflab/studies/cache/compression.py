"""From which size on compressing an entry pays, and over which network."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import pandas as pd
import psycopg

from perflab.cache import Codec, Entry
from perflab.measure.statistics import mean_of_repetitions
from perflab.studies.frames import triple

SIZES: Final = (256, 512, 1_024, 2_048, 4_096, 8_192, 16_384, 65_536)
"""Bytes of an entry before compression, roughly."""
NETWORKS: Final = {"100 Mbit/s": 100e6, "1 Gbit/s": 1e9, "10 Gbit/s": 10e9}
METHODS: Final = ("zstd", "gzip")
_ROWS: Final = "SELECT * FROM tasks ORDER BY id LIMIT 2000"
_REPETITIONS: Final = 5
_CALLS: Final = 40


def sample_rows(conninfo: str) -> list[Any]:
    """Rows of the lab's tasks: what entries of a real cache are made of."""
    with psycopg.connect(conninfo) as conn:
        return conn.execute(_ROWS).fetchall()


def measure_compression(rows: Sequence[Any], repetitions: int = _REPETITIONS) -> pd.DataFrame:
    """One row a size and method, on entries made of ``rows`` of the database.

    ``us`` is the time for compressing and decompressing beyond what the plain entry takes;
    ``pays_below_mbit_s`` is the network on which the bytes saved take as long to send, once.
    """
    entries = {size: _entry(rows, size) for size in SIZES}
    plain = Codec(compression=None)
    codecs = {m: Codec(compression=m, threshold_bytes=1) for m in METHODS}
    found = []
    for entry in entries.values():
        data = plain.encode(entry)
        costs: dict[str, list[float]] = {method: [] for method in METHODS}
        for _ in range(repetitions):
            base_s = median_s(partial(_there_and_back, plain, entry))
            for method, codec in codecs.items():
                both_s = median_s(partial(_there_and_back, codec, entry))
                costs[method].append(1e6 * (both_s - base_s))
        for method, codec in codecs.items():
            packed = len(codec.encode(entry))
            saved_bits = 8 * (len(data) - packed)
            cost_s = max(1e-9, 1e-6 * float(np.mean(costs[method])))
            found.append(
                {
                    "bytes": len(data),
                    "method": method,
                    "packed": packed,
                    "saved_percent": 100 * (1 - packed / len(data)),
                    **triple("us", mean_of_repetitions(costs[method])),
                    "pays_below_mbit_s": max(0.0, saved_bits / cost_s / 1e6),
                }
            )
    return pd.DataFrame(found)


def break_even(compression: pd.DataFrame, methods: Sequence[str] = METHODS) -> pd.DataFrame:
    """One row a network: the smallest measured size from which on each method pays there."""
    rows = []
    for network, bits_per_s in NETWORKS.items():
        row: dict[str, object] = {"network": network}
        for method in methods:
            part = compression[compression["method"] == method].sort_values("bytes")
            pays = (part["pays_below_mbit_s"] * 1e6 >= bits_per_s).to_numpy()
            first = len(pays) - int(np.argmin(pays[::-1])) if not pays.all() else 0
            row[method] = int(part["bytes"].iloc[first]) if first < len(part) else None
        rows.append(row)
    return pd.DataFrame(rows)


def _there_and_back(codec: Codec, entry: Entry) -> Entry:
    return codec.decode(codec.encode(entry))


def _entry(rows: Sequence[Any], size: int) -> Entry:
    """An entry of about ``size`` bytes: as many rows as fit, at least one."""
    plain, held = Codec(compression=None), [rows[0]]
    now = time.time()
    number = 1
    while True:
        more = Entry([*held, rows[number % len(rows)]], now, now + 60, now + 60)
        if len(plain.encode(more)) > size:
            return Entry(held, now, now + 60, now + 60)
        held = more.value
        number += 1


def median_s(call: Callable[[], object]) -> float:
    """Of one call, the median of several: what a busy machine adds to some is left out."""
    took = []
    for _ in range(_CALLS):
        started = time.perf_counter()
        call()
        took.append(time.perf_counter() - started)
    return float(np.median(took))

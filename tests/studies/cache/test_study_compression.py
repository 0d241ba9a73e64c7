"""From which size on compressing an entry pays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import pytest

from perflab.cache import Codec
from perflab.studies.cache import compression
from perflab.studies.cache.compression import (
    METHODS,
    NETWORKS,
    SIZES,
    _entry,
    break_even,
    measure_compression,
)

ROWS = [(n, f"task {n % 7}", "open" if n % 3 else "done", n * 1.5) for n in range(50)]


@pytest.fixture(scope="module")
def measured() -> Iterator[pd.DataFrame]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compression, "_CALLS", 5)
        yield measure_compression(ROWS, repetitions=3)


def paying(**mbit_s: Sequence[float]) -> pd.DataFrame:
    """A measurement of entries of 100, 200, … bytes that pay below these Mbit/s."""
    return pd.DataFrame(
        [
            {"bytes": 100 * n, "method": method, "pays_below_mbit_s": value}
            for method, values in mbit_s.items()
            for n, value in enumerate(values, 1)
        ]
    )


def found(frame: pd.DataFrame, method: str = "zstd") -> list[object]:
    """By network, the slowest first; None where it never pays."""
    return [None if pd.isna(value) else value for value in break_even(frame)[method]]


def test_it_pays_from_the_smallest_entry_on_that_pays_and_all_larger_ones_too() -> None:
    assert found(paying(zstd=[50, 150, 1_500, 20_000], gzip=[0] * 4)) == [200, 300, 400]


def test_an_entry_that_pays_below_a_larger_one_that_does_not_is_no_break_even() -> None:
    assert found(paying(zstd=[20_000, 500, 20_000, 20_000], gzip=[0] * 4)) == [100, 300, 300]


def test_where_the_largest_entry_does_not_pay_there_is_no_break_even() -> None:
    assert found(paying(zstd=[150, 150, 150, 99], gzip=[0] * 4)) == [None, None, None]


def test_where_all_entries_pay_the_smallest_measured_one_is_named() -> None:
    frame = paying(zstd=[20_000, 20_000], gzip=[100, 1_000])
    assert found(frame) == [100, 100, 100]
    assert found(frame, "gzip") == [100, 200, None], "as fast as the network is enough"


def test_the_order_of_the_rows_does_not_matter() -> None:
    frame = paying(zstd=[50, 150, 1_500, 20_000], gzip=[20_000, 10, 150, 150])
    shuffled = frame.sample(frac=1.0, random_state=1)
    pd.testing.assert_frame_equal(break_even(shuffled), break_even(frame))
    assert list(break_even(frame)["network"]) == list(NETWORKS)


def test_each_size_and_method_is_measured_and_its_columns_agree(measured: pd.DataFrame) -> None:
    assert list(measured.columns) == [
        "bytes", "method", "packed", "saved_percent", "us", "us_lo", "us_hi", "pays_below_mbit_s"
    ]  # fmt: skip
    assert list(measured["method"]) == list(METHODS) * len(SIZES)
    saved = measured["bytes"] - measured["packed"]
    assert (saved >= 0).all(), "what would grow is left as it is"
    assert np.allclose(measured["saved_percent"], 100 * saved / measured["bytes"])
    assert (measured["us_lo"] <= measured["us"]).all()
    # the bytes saved take as long to send as compressing takes
    costly = measured[measured["us"] > 0]
    assert len(costly) > len(SIZES)
    assert np.allclose(costly["pays_below_mbit_s"], 8 * saved[costly.index] / costly["us"])


def test_large_entries_of_like_rows_shrink_to_a_fraction(measured: pd.DataFrame) -> None:
    largest = measured[measured["bytes"] == measured["bytes"].max()]
    assert (largest["saved_percent"] > 80).all()


def test_what_cannot_be_compressed_pays_on_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "_CALLS", 3)
    noise = np.random.default_rng(1)
    frame = measure_compression([noise.bytes(70_000)], repetitions=1)
    assert (frame["packed"] == frame["bytes"]).all()
    assert (frame["pays_below_mbit_s"] == 0).all()
    assert break_even(frame).drop(columns="network").isna().all(axis=None)
    assert frame["us"].isna().all(), "one repetition has no interval"


@pytest.mark.parametrize("size", SIZES)
def test_an_entry_has_as_many_rows_as_fit(size: int) -> None:
    codec = Codec(compression=None)
    one = len(codec.encode(_entry(ROWS[:1], 1)))
    bytes_ = len(codec.encode(_entry(ROWS, size)))
    assert size - one <= bytes_ <= size
    assert len(_entry(ROWS, 1).value) == 1, "at least one"

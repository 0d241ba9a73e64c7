"""The binary COPY format: what is encoded is what the server stores."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import psycopg
from hypothesis import given
from hypothesis import strategies as st

from perflab.schema.encode import (
    HEADER,
    TRAILER,
    Texts,
    boolean,
    encode,
    fixed,
    json_texts,
    text_array,
)

WORDS = ("", "a", "Grüße", "日本語 text", "tab\tand\nnewline", '"quoted" \\N {braces}')


def test_a_row_of_fixed_fields_is_laid_out_as_documented() -> None:
    data = encode([fixed(np.array([1, -1]), ">i8"), fixed(np.array([7, 8]), ">i2")])
    first = bytes.fromhex("0002 00000008 0000000000000001 00000002 0007")
    second = bytes.fromhex("0002 00000008 ffffffffffffffff 00000002 0008")
    assert data == first + second


def test_null_is_a_length_of_minus_one_without_bytes() -> None:
    data = encode([fixed(np.array([5, 6]), ">i4", np.array([True, False]))])
    assert data == bytes.fromhex("0001 ffffffff") + bytes.fromhex("0001 00000004 00000006")


@given(st.lists(st.sampled_from(range(len(WORDS))), min_size=1, max_size=20))
def test_texts_take_the_room_of_their_bytes(index: list[int]) -> None:
    data = encode([Texts(WORDS).take(np.array(index))])
    expected = b""
    for number in index:
        text = WORDS[number].encode()
        expected += b"\x00\x01" + len(text).to_bytes(4, "big") + text
    assert data == expected


def test_the_server_reads_back_every_type(database: str) -> None:
    rng = np.random.default_rng(5)
    size = 200
    ids = rng.integers(-(2**60), 2**60, size)
    null = rng.random(size) < 0.3
    word = rng.integers(0, len(WORDS), size)
    tags = rng.integers(0, len(WORDS), (size, 3))
    present = rng.random((size, 3)) < 0.5
    yes = rng.random(size) < 0.5
    days = rng.integers(0, 9_000, size)
    micros = rng.integers(0, 10**15, size)
    data = encode(
        [
            fixed(ids, ">i8"),
            fixed(micros, ">i8", null),
            fixed(days, ">i4"),
            boolean(yes),
            Texts(WORDS).take(word),
            json_texts(['{"a": 1}', '{"b": [true]}']).take(word % 2),
            text_array(Texts(WORDS), tags, present),
        ]
    )
    with psycopg.connect(database) as conn:
        conn.execute(
            "CREATE TABLE t "
            "(i bigint, at timestamptz, d date, yes bool, w text, j jsonb, tags text[])"
        )
        conn.execute("SET TimeZone = 'UTC'")
        with conn.cursor().copy("COPY t FROM STDIN (FORMAT binary)") as copy:
            copy.write(HEADER + data + TRAILER)
        rows = conn.execute("SELECT * FROM t").fetchall()
    epoch = datetime(2000, 1, 1, tzinfo=UTC)
    assert rows == [
        (
            ids[n],
            None if null[n] else epoch + timedelta(microseconds=int(micros[n])),
            date(2000, 1, 1) + timedelta(days=int(days[n])),
            yes[n],
            WORDS[word[n]],
            {"a": 1} if word[n] % 2 == 0 else {"b": [True]},
            [WORDS[tags[n, k]] for k in range(3) if present[n, k]],
        )
        for n in range(size)
    ]

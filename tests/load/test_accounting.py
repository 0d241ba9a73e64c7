"""Whatever a server does, every scheduled request has exactly one outcome, and the right one."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perflab.load import OUTCOMES, LoadError, Request, Target, run_open

from .server import OK, Asked, serving

BEHAVIOURS = {
    "answer": "answered",
    "refuse": "answered",
    "close": "answered",
    "slow": "answered",
    "hang": "timeout",
    "garbage": "protocol",
    "cut": "reset",
    "silent": "reset",
}


TIMEOUT_S = 0.3


async def behave(asked: Asked, writer: asyncio.StreamWriter) -> None:
    match asked.target[1:]:
        case "answer":
            writer.write(OK)
        case "refuse":
            writer.write(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
        case "close":
            writer.write(OK.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
            writer.close()
        case "slow":
            await asyncio.sleep(0.01)
            writer.write(OK)
        case "hang":
            await asyncio.Event().wait()
        case "garbage":
            writer.write(b"what?\r\n\r\n")
        case "cut":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort")
            writer.close()
        case "silent":
            writer.close()


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.sampled_from(sorted(BEHAVIOURS)), min_size=1, max_size=25),
    st.integers(1, 4),
    st.integers(0, 6),
    st.integers(0, 2**32),
)
def test_every_scheduled_request_is_accounted_for_once(
    behaviours: list[str], connections: int, waiting: int, seed: int
) -> None:
    requests = [Request("GET", f"/{name}") for name in behaviours]
    due_s = np.sort(np.random.default_rng(seed).uniform(0, 0.05, len(requests)))
    with serving(behave) as server:
        samples = run_open(
            server.target, requests, due_s, connections=connections, waiting=waiting,
            timeout_s=TIMEOUT_S,
        )  # fmt: skip
    counts = Counter(OUTCOMES[code] for code in samples.outcome)
    assert sum(counts.values()) == len(requests) == samples.scheduled
    assert counts["dropped"] == samples.dropped
    assert {kind: counts[kind] for kind in samples.errors} == samples.errors
    for row, name in enumerate(behaviours):
        outcome = OUTCOMES[samples.outcome[row]]
        if outcome == "timeout":  # a busy machine may turn anything into one
            assert samples.service_s[row] >= TIMEOUT_S
        else:
            assert outcome in (BEHAVIOURS[name], "dropped"), name
        assert (samples.status[row] > 0) == (outcome == "answered")
    np.testing.assert_allclose(samples.scheduled_s, due_s, atol=1e-9)
    never_sent = samples.outcome == OUTCOMES.index("dropped")
    assert np.isnan(samples.started_s[never_sent]).all()
    assert not np.isnan(samples.ended_s[~never_sent]).any()


@pytest.mark.parametrize(
    ("argument", "value"),
    [("due_s", []), ("due_s", [1.0, 0.5]), ("due_s", [-1.0]), ("due_s", [float("nan")]),
     ("due_s", [[0.0]]), ("due_s", "now"), ("connections", 0), ("connections", 1.0),
     ("waiting", -1), ("timeout_s", float("inf")), ("keep_header", "bad name"),
     ("keep_header", ""), ("requests", []), ("requests", [Request("GET", "/")] * 2),
     ("requests", ["/"]), ("requests", lambda position: None), ("target", None)],
)  # fmt: skip
def test_argument_that_cannot_be_used_is_named(argument: str, value: Any) -> None:
    arguments: dict[str, Any] = {
        "target": Target("127.0.0.1", 9),
        "requests": Request("GET", "/"),
        "due_s": [0.0],
    }
    with pytest.raises(LoadError, match=f"^{argument}: "):
        run_open(**(arguments | {argument: value}))

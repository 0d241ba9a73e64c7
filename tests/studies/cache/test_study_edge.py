"""The edge study on a real nginx before an origin of its own."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cache_study import some_sizes as sizes

from perflab.lab import open_lab
from perflab.report.not_run import NotRun
from perflab.services import Nginx, Redis, RungUnavailable, open_services
from perflab.studies.cache import edge
from perflab.studies.cache.site import open_site, page
from perflab.studies.cache.views.behaviour import outage_plot, outage_table
from perflab.studies.cache.views.edge import edge_hits_table, edge_latency_table, joined
from perflab.studies.cache.workload import synthetic

WORKLOAD = synthetic(100, 1.2, 5)
NONE = NotRun("the edge", "no nginx here")


@pytest.fixture(scope="module")
def nginx() -> Iterator[Nginx]:
    try:
        opened = open_services("embedded", only=["edge"])
    except RungUnavailable as reason:
        pytest.skip(str(reason))
    with opened:
        yield opened.edge


@pytest.fixture(scope="module")
def hits(nginx: Nginx, redis_server: Redis) -> edge.EdgeRun:
    small = sizes(edge_pages=40, edge_rps=0.02, edge_driven_rps=200.0, windows=3)
    run = edge.measure_edge_hits(nginx, redis_server, WORKLOAD, small)
    assert isinstance(run, edge.EdgeRun)
    return run


def test_all_requests_are_answered_and_the_warm_ones_mostly_by_the_edge(hits: edge.EdgeRun) -> None:
    assert hits.failed == 0
    assert len(hits.hits) == 3
    assert hits.ttl_s == 2
    assert hits.factor == edge.POLICY.edge_ttl_s / 2
    assert set(hits.samples.statuses) == {200}
    # forty pages and some 430 requests a lifetime: nearly all are hits, and the cold ones fewer
    assert hits.cold < min(1.0, float(np.mean(hits.hits)) + 0.2)
    assert 0.6 < float(np.mean(hits.hits)) < 1.0
    assert 0.6 < hits.predicted < 1.0


def test_a_page_is_a_hit_only_where_the_edge_says_so() -> None:
    said = {
        b"perflab-edge; hit": True,
        b"perflab-edge; hit; detail=STALE": True,
        b"perflab-edge; fwd=uri-miss": False,
        b"perflab-edge; fwd=stale; fwd-status=304": False,
        b"": False,
        None: False,
    }
    assert {one: edge._is_hit(one) for one in said} == said


def test_the_edge_takes_the_share_of_calls_that_was_measured(
    nginx: Nginx, redis_server: Redis, hits: edge.EdgeRun
) -> None:
    small = sizes(rounds=20, calls=2)
    found = edge.measure_edge_latency(nginx, redis_server, hits, small, seed=3)
    assert isinstance(found, edge.EdgeLatencies)
    stored = found.by_state["edge"].after.n / found.overall.after.n
    assert stored == pytest.approx(found.hit_share, abs=0.2)
    assert found.overall.before.n == found.overall.after.n == 20 * 2 * edge._CALLS
    shown = edge_latency_table(found)
    assert found.frame()["where"].iloc[0] == "no edge: the origin"
    assert "as measured above" in getattr(shown, "subtitle", "")


def test_every_purge_is_seen_also_where_a_load_was_under_way(
    nginx: Nginx, redis_server: Redis
) -> None:
    rows = edge.measure_edge_purges(nginx, redis_server, 3)
    assert isinstance(rows, pd.DataFrame)
    assert list(rows["tier"]) == ["edge", "edge, a load under way"]
    assert list(rows["purges"]) == [3, edge.RACES]
    assert (rows["not_seen"] == 0).all()
    alone, raced = rows["longest"]
    assert raced > 1_000 * edge.HELD_S / 2, "the load was over before the purge"
    others = pd.DataFrame({"tier": ["Redis"], "purges": [3]})
    assert list(joined(others, rows)["tier"]) == ["Redis", *rows["tier"]]
    assert joined(others, NONE) is others


def test_clients_of_a_killed_edge_are_served_by_the_origin_and_come_back(
    nginx: Nginx, redis_server: Redis
) -> None:
    outage = edge.survive_edge_outage(nginx, redis_server)
    assert not isinstance(outage, NotRun)
    assert outage.failed == 0
    assert outage.recovered_s is not None
    start, end = outage.away
    calls = outage.calls
    assert set(calls[(calls["at_s"] > start + 0.2) & (calls["at_s"] < end - 0.3)]["kind"]) == {
        "origin"
    }
    assert calls[calls["at_s"] < start - 0.1]["kind"].value_counts().idxmax() == "edge"
    assert "the edge away for (s)" in str(outage_table(outage))
    assert outage_plot(outage) is not None


def test_without_an_edge_every_part_says_why_it_was_not_run(redis_server: Redis) -> None:
    small = sizes()
    parts = [
        edge.measure_edge_hits(NONE, redis_server, WORKLOAD, small),
        edge.measure_edge_latency(NONE, redis_server, NONE, small, 1),
        edge.measure_edge_purges(NONE, redis_server, 1),
        edge.survive_edge_outage(NONE, redis_server),
    ]
    assert parts == [NONE] * len(parts)
    assert edge_hits_table(NONE) == edge_latency_table(NONE) == outage_table(NONE) == NONE


def test_the_origin_changes_pages_and_revalidates_them(nginx: Nginx, redis_server: Redis) -> None:
    with (
        open_site(nginx, redis_server, control="max-age=60", work_s=0.0) as site,
        closing(site.at_origin()) as origin,
        closing(site.through_edge()) as client,
    ):
        body, fields = client.ask(page(7))
        assert body.startswith(b"version 1\n")
        assert fields["Cache-Control"] == "no-cache", "for browsers; the edge keeps it"
        assert "hit" in client.ask(page(7))[1]["Cache-Status"]
        origin.ask(page(7), method="PUT")
        assert client.ask(page(7))[0].startswith(b"version 1\n"), "stored, and not purged"
        body, fields = origin.ask(page(7))
        assert body.startswith(b"version 2\n")
        assert "cdn-cache-control" not in fields
        with pytest.raises(http.client.HTTPException, match="PATCH"):
            origin.ask(page(7), method="PATCH")


def test_the_lab_opens_an_edge_once_or_says_why_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERFLAB_RUNS_DIR", str(tmp_path))
    lab = open_lab("03_cache", services="embedded")
    found = lab.edge()
    assert isinstance(found, Nginx)
    assert lab.edge() is found
    lab.close()
    lab = open_lab("03_cache", services="url")
    found = lab.edge()
    assert isinstance(found, NotRun)
    assert "starts nothing" in str(found)
    lab.close()

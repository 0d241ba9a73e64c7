"""The API study on real servers: what is compared is what it says, and all answers are good."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence

import msgspec
import psutil
import pytest
from api_study import USERS, SmallLab, some_sizes

from perflab.api.batch import MOST_AT_ONCE
from perflab.api.responses.respond import THRESHOLD_BYTES
from perflab.measure.claims import load_claims
from perflab.ratelimit import DEFAULT_POLICIES
from perflab.services import Services
from perflab.studies.api.caller import Caller
from perflab.studies.api.contrasts import CACHED, FRESH, MORE_CALLS, Contrast, measure_contrast
from perflab.studies.api.cores import confined, listening
from perflab.studies.api.opened import Api, open_api
from perflab.studies.api.parts import (
    BATCH,
    FIRST_VISITS,
    FULL,
    NO_CACHE,
    NOTHING,
    SERVERS,
    Part,
    Side,
    everything,
    parts,
)
from perflab.studies.api.promises import count_promises
from perflab.studies.api.rows import measure_rows
from perflab.studies.api.served import BARE_PATH
from perflab.studies.api.site import StudyError
from perflab.studies.api.steady import measure_steady
from perflab.studies.api.threshold import SIZES, measure_threshold
from perflab.studies.api.throughput import (
    BARE,
    IDENTITY,
    NOT_MODIFIED,
    SHORT_PAGE,
    measure_throughput,
)
from perflab.studies.api.traffic import PAGE, categories, signed

SIZES_HERE = some_sizes(load_s=0.1, probe_s=0.05, probes=1, steady_s=0.3, rounds=20, calls=1)


@pytest.fixture(scope="module")
def api(services: Services) -> Iterator[Api]:
    lab = SmallLab(services)
    with lab.closing:
        yield open_api(lab, SIZES_HERE)


def the_part(found: Sequence[Part], label: str) -> Part:
    return next(part for part in found if part.label == label)


def measured(api: Api, label: str) -> Contrast:
    return measure_contrast(
        the_part(parts(api.served), label), api.served, api.people, SIZES_HERE, 1
    )


def test_users_are_signed_in_and_each_server_lacks_just_its_part(api: Api) -> None:
    assert len(api.people) > USERS / 2
    assert set(api.served) == {*SERVERS, BARE}
    for name, without in SERVERS.items():
        for person in (api.people[0], api.people[-1]):
            with Caller(api.served[name].port) as caller:
                answer = caller.ask(signed(person, "GET", PAGE))
            assert answer.status == 200
            assert answer.etag
            head = answer.head.lower()
            assert (b"content-encoding: gzip" in head) == ("compression" not in without)
            assert (b"ratelimit-policy:" in head) == ("limiter" not in without)


def test_the_same_requests_get_the_same_answers_with_and_without_a_cache(api: Api) -> None:
    found = measured(api, "cache")
    assert found.samples.unequal_operations() == ()
    assert found.samples.selectivities == (CACHED,)
    assert len(found.samples) == 3 * SIZES_HERE.rounds * len(found.samples.operations)


def test_compression_and_revalidation_save_bytes(api: Api) -> None:
    for label in ("compression", "ETag and 304"):
        found = measured(api, label)
        for operation in found.samples.operations:
            before, after = found.wire_bytes(operation)
            assert after < before, (label, operation)


def test_a_batch_holds_the_answers_of_the_single_requests(api: Api) -> None:
    part = the_part(parts(api.served), "batching")
    ((name, singly),) = part.before.makes.items()
    with Caller(api.served[FULL].port) as caller:
        (request,) = part.after.makes[name](api.people[2])
        together = signed(
            api.people[2], "POST", "/batch", msgspec.json.decode(request.body), IDENTITY
        )
        batch = msgspec.json.decode(caller.ask(together).body)["responses"]
        plain = [
            caller.ask(signed(api.people[2], "GET", one.target, None, IDENTITY))
            for one in singly(api.people[2])
        ]
    assert [one["status"] for one in batch] == [200] * BATCH
    assert [one["body"] for one in batch] == [msgspec.json.decode(one.body) for one in plain]


def test_everything_has_its_share_of_first_visits_which_no_cache_had_seen(api: Api) -> None:
    found = measure_contrast(everything(), api.served, api.people, SIZES_HERE, 1)
    calls = SIZES_HERE.calls * MORE_CALLS
    draws = SIZES_HERE.rounds * calls * len(found.samples.operations)
    first = found.samples.select(selectivities=[FRESH])
    assert len(first) == 3 * int(draws * FIRST_VISITS)
    assert set(SERVERS[NOTHING]) == {"cache", "compression", "limiter", "pool"}


def test_an_answer_that_is_not_as_it_should_be_ends_a_comparison(api: Api) -> None:
    bad = {"nothing": lambda person: [signed(person, "GET", "/nowhere")]}
    part = Part(label="bad", before=Side(FULL, bad), after=Side(FULL, bad), control=FULL)
    with pytest.raises(StudyError, match=r"GET /nowhere was answered 404 where 200"):
        measure_contrast(part, api.served, api.people, SIZES_HERE, 1)


def test_what_is_counted_is_what_the_api_is_set_to(api: Api) -> None:
    counts = count_promises(api.site, api.full, api.served[NO_CACHE])
    assert counts.by_claim["api.compression.threshold"] == THRESHOLD_BYTES
    assert counts.by_claim["api.batch.concurrency"] == MOST_AT_ONCE
    worst = {policy.name: policy.worst_case for policy in DEFAULT_POLICIES}
    assert counts.granted == worst
    claims = load_claims()
    assert all(id_ in claims for id_ in counts.by_claim)


def test_every_category_is_answered_at_the_plans_rate(api: Api) -> None:
    rows = measure_rows(api.full, categories(api.site), load_claims(), SIZES_HERE, 1)
    assert [row.traffic.name for row in rows] == ["auth", "tasks", "analytics", "realtime"]
    assert [(row.rate_rps, row.promised_ms) for row in rows] == [
        (50, 200), (200, 150), (25, 800), (100, 50),
    ]  # fmt: skip
    for row in rows:
        assert len(row.loads) == SIZES_HERE.repetitions
        assert row.n > 0
        assert row.refused == 0, row.traffic.label
        assert row.probes or row.void, "a rate that the machine spoilt is not searched below"


def test_throughput_counts_whole_answers_over_all_identities_with_the_limiter_on(api: Api) -> None:
    once = msgspec.structs.replace(SIZES_HERE, repetitions=1)
    found = measure_throughput(api.served, api.people, once, 1)
    assert found.identities == len(api.people)
    for crowd in (*found.closed, *found.opened):
        assert crowd.answers > 0
        assert crowd.others == 0, crowd.label
    assert {one.samples.statuses.keys() == {304} for one in found.of(NOT_MODIFIED).readings} == {
        True
    }
    with Caller(api.served[BARE].port) as bare, Caller(api.served[FULL].port) as full:
        page = full.ask(signed(api.people[0], "GET", SHORT_PAGE, None, IDENTITY))
        same = bare.ask(signed(api.people[0], "GET", BARE_PATH))
    assert field_names(page.head) == field_names(same.head)
    assert msgspec.json.decode(page.body).keys() == msgspec.json.decode(same.body).keys()
    steady = measure_steady(api.full, api.people, SIZES_HERE, 1)
    assert steady.good > 0
    assert steady.others == 0


def test_bodies_of_growing_size_are_compressed_by_every_coding(api: Api) -> None:
    frame = measure_threshold(api.full, api.people)
    sizes = frame["bytes"].drop_duplicates()
    assert (sizes.to_numpy() <= SIZES).all() if len(sizes) == len(SIZES) else len(sizes) > 3
    assert set(frame["method"]) >= {"zstd", "gzip"}
    assert (frame["packets"] <= frame["packets_plain"]).all()
    assert (
        frame.groupby("method")["packed"].apply(lambda packed: packed.is_monotonic_increasing).all()
    )


def test_a_server_ends_with_its_block_and_cores_are_given_back(api: Api) -> None:
    other = subprocess.Popen(["sleep", "60"])
    try:
        watched = psutil.Process(other.pid)
        before = watched.cpu_affinity()
        with (
            confined([watched], api.site.cores.served),
            api.site.serving({"one": api.site.orders()}) as served,
        ):
            (process,) = listening(served["one"].port)[:1]
            if api.site.cores.served is not None:
                assert watched.cpu_affinity() == [api.site.cores.served]
                assert process.cpu_affinity() == [api.site.cores.served]
        assert watched.cpu_affinity() == before
        assert not process.is_running()
        assert psutil.Process().cpu_affinity() == sorted(os.sched_getaffinity(0))
    finally:
        other.kill()
        other.wait()


def field_names(head: bytes) -> set[bytes]:
    names = {line.partition(b":")[0].lower() for line in head.split(b"\r\n")[1:-2]}
    return names - {b"date", b"server"}

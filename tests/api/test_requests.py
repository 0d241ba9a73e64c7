"""What a request gets: statuses, problems, limits, validators."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
import msgspec
import pytest

from monitor.catalogue import families, full_name
from perflab.api import problems
from perflab.cache.entry import Invalidation
from perflab.ratelimit import DEFAULT_POLICIES

from .conftest import World
from .support import execute, run, running, signed_in

JSON = {"content-type": "application/json"}


def check_problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == problems.PROBLEM_JSON
    assert answer.headers["cache-control"] == "no-store"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert "Traceback" not in answer.text
    return body


def test_every_kind_of_bad_request_has_its_status_and_a_problem(world: World) -> None:
    async def scenario() -> None:
        async with running(world.settings) as client:
            ada = await signed_in(client, world.ada_email)
            deep = b'{"title":' + b"[" * 20_000 + b"]" * 20_000 + b"}"
            bodies: list[tuple[bytes | dict[str, object], int]] = [
                (b'{"title": "x"', 400),
                (b"", 400),
                (b'{"title": "\xff"}', 400),
                (b'{"title": "\\ud800"}', 400),
                (deep, 422),
                (b"[]", 422),
                ({"title": "x", "color": "red"}, 422),
                ({"title": ""}, 422),
                ({"title": "a\x00b"}, 422),
                ({"title": 5}, 422),
                ({}, 422),
                ({"title": "x", "status": "lost"}, 422),
                ({"title": "x", "priority": 9}, 422),
                ({"title": "x", "project_id": 2**63}, 422),
                ({"title": "x", "project_id": 2**62}, 422),
                ({"title": "x", "due_date": "2025-01-01T00:00:00"}, 422),
                ({"title": "x", "due_date": "9999-12-31T23:59:59-12:00"}, 422),
                ({"title": "x", "due_date": "0001-01-01T00:00:00+12:00"}, 422),
                ({"title": "x" * 70_000}, 413),
            ]
            for body, status in bodies:
                content = body if isinstance(body, bytes) else json.dumps(body).encode()
                answer = await client.post("/tasks", content=content, headers=ada | JSON)
                assert answer.status_code == status, (content[:60], answer.text)
                check_problem(answer, status)

            async def endless() -> Any:
                while True:
                    yield b" " * 10_000

            answer = await client.post("/tasks", content=endless(), headers=ada | JSON)
            check_problem(answer, 413)
            answer = await client.post("/tasks", content=b"title=x", headers=ada)
            check_problem(answer, 415)
            for key in ("", "a b", "x" * 256):
                headers = ada | {"idempotency-key": key}
                answer = await client.post("/tasks", json={"title": "x"}, headers=headers)
                check_problem(answer, 400)
            for query in (
                "limit=0", "limit=101", "limit=x", "limit=1&limit=2", "colour=red", "sort=title",
                "status=lost", "cursor=", "cursor=AAAA", "cursor=%C3%A9", f"cursor={'A' * 4000}",
                "due_before=tomorrow", "project_id=-1",
            ):  # fmt: skip
                check_problem(await client.get(f"/tasks?{query}", headers=ada), 400)
            for path in ("/tasks/0", "/tasks/x", "/tasks/99999999999999999999", "/nothing"):
                check_problem(await client.get(path, headers=ada), 404)
            answer = await client.patch("/tasks/1", json={}, headers=ada)
            check_problem(answer, 422)

    run(scenario())


def test_wrong_methods_are_405_and_name_the_right_ones(world: World) -> None:
    async def scenario() -> None:
        async with running(world.settings) as client:
            for path, allowed in (
                ("/tasks", {"GET", "HEAD", "POST"}),
                ("/tasks/1", {"GET", "HEAD", "PATCH", "DELETE"}),
                ("/auth/login", {"POST"}),
                ("/public/stats", {"GET", "HEAD"}),
            ):
                answer = await client.put(path)
                check_problem(answer, 405)
                assert set(answer.headers["allow"].split(", ")) == allowed

    run(scenario())


def test_without_a_good_token_there_is_401_and_a_challenge(world: World) -> None:
    async def scenario() -> None:
        async with running(world.settings) as client:
            good = (await signed_in(client, world.ada_email))["authorization"]
            last = "A" if good[-1] != "A" else "B"
            for value in (None, "Bearer", "Bearer x", "Basic abc", good[:-1], good[:-1] + last):
                headers = {} if value is None else {"authorization": value}
                for path in ("/tasks", "/tasks/1", "/users/me", "/analytics/dashboard"):
                    answer = await client.get(path, headers=headers)
                    check_problem(answer, 401)
                    assert answer.headers["www-authenticate"].startswith("Bearer")

    run(scenario())


def test_a_user_sees_and_changes_nothing_of_another(world: World) -> None:
    async def scenario() -> None:
        async with running(world.settings) as client:
            ada = await signed_in(client, world.ada_email)
            bob = await signed_in(client, world.bob_email)
            made = await client.post("/tasks", json={"title": "ada's"}, headers=ada)
            path = made.headers["location"]
            assert (await client.get(path, headers=ada)).status_code == 200
            for answer in (
                await client.get(path, headers=bob),
                await client.patch(path, json={"title": "bob's"}, headers=bob),
                await client.delete(path, headers=bob),
            ):
                check_problem(answer, 404)
            project = execute(
                world.conninfo, "SELECT id FROM projects WHERE user_id = %s LIMIT 1", [world.ada]
            )[0][0]
            body = {"title": "mine", "project_id": project}
            check_problem(await client.post("/tasks", json=body, headers=bob), 422)
            assert (await client.post("/tasks", json=body, headers=ada)).status_code == 201
            assert (await client.get("/users/me", headers=bob)).json()["id"] == world.bob

    run(scenario())


def test_reads_have_validators_and_an_unchanged_one_is_304(world: World) -> None:
    async def scenario() -> None:
        async with running(world.settings) as client:
            ada = await signed_in(client, world.ada_email)
            for path in ("/tasks", "/users/me", "/analytics/dashboard", "/public/stats"):
                first = await client.get(path, headers=ada)
                assert first.status_code == 200, first.text
                assert "accept-encoding" in first.headers["vary"].lower()
                headers = ada | {"if-none-match": first.headers["etag"]}
                again = await client.get(path, headers=headers)
                assert (again.status_code, again.content) == (304, b"")
                assert again.headers["etag"] == first.headers["etag"]
            head = await client.head("/tasks", headers=ada)
            assert (head.status_code, head.content) == (200, b"")
            headers = ada | {
                "if-none-match": (await client.get("/tasks", headers=ada)).headers["etag"]
            }
            assert (
                await client.post("/tasks", json={"title": "new"}, headers=ada)
            ).status_code == 201
            assert (await client.get("/tasks", headers=headers)).status_code == 200
            zipped = await client.get("/tasks?limit=100", headers=ada | {"accept-encoding": "gzip"})
            assert zipped.headers["content-encoding"] == "gzip"

    run(scenario())


def test_beyond_the_quota_there_is_429_with_fields_for_that_client_alone(world: World) -> None:
    small = tuple(
        msgspec.structs.replace(one, limit=12 if one.name == "api" else 3)
        for one in DEFAULT_POLICIES
    )
    settings = msgspec.structs.replace(world.settings, policies=small)

    async def scenario() -> None:
        async with running(settings) as client:
            ada = await signed_in(client, world.ada_email)
            bob = await signed_in(client, world.bob_email)
            first = await client.get("/analytics/dashboard", headers=ada)
            assert first.headers["ratelimit-policy"] == '"api";q=12;w=900, "heavy";q=3;w=60'
            assert '"heavy";r=2' in first.headers["ratelimit"]
            for _ in range(2):
                assert (await client.get("/analytics/dashboard", headers=ada)).status_code == 200
            denied = await client.get("/analytics/dashboard", headers=ada)
            assert check_problem(denied, 429)["violated-policies"] == ["heavy"]
            assert int(denied.headers["retry-after"]) > 0
            assert (await client.get("/analytics/dashboard", headers=bob)).status_code == 200
            # a refusal of the application's own says what is left, too
            unknown = await client.get("/tasks/0", headers=ada)
            assert unknown.status_code == 404
            assert '"api";r=' in unknown.headers["ratelimit"]
            # two logins were made above; a session buys no further guesses
            guess = {"email": world.ada_email, "password": "wrong"}
            answers = [await client.post("/auth/login", json=guess, headers=ada) for _ in range(3)]
            assert [one.status_code for one in answers] == [401, 429, 429]
            for _ in range(20):
                assert (await client.get("/public/stats")).status_code == 200
                assert (await client.get("/healthz")).status_code == 200

    run(scenario())


def test_the_public_figures_may_be_kept_by_edges_and_are_purged_there(world: World) -> None:
    heard: list[Invalidation] = []

    class Edge:
        async def purge(self, invalidation: Invalidation) -> None:
            heard.append(invalidation)

    async def scenario() -> None:
        async with running(world.settings, beyond=[Edge()]) as client:
            answer = await client.get("/public/stats")
            assert answer.headers["cache-control"] == "public, max-age=60"
            assert answer.headers["cdn-cache-control"].startswith("max-age=21600, stale-while-")
            assert answer.headers["cache-tag"] == "habit_entries,public:stats,users"
            assert "ratelimit" not in answer.headers
            assert "set-cookie" not in answer.headers
            assert answer.json()["users"] > 0
            assert len(answer.json()["checkins"]) > 0
            busted = await client.get("/public/stats?x=1")
            assert busted.headers["cache-control"] == "no-store"
            assert "cache-tag" not in busted.headers
            ada = await signed_in(client, world.ada_email)
            await client.post("/tasks", json={"title": "x"}, headers=ada)
            tags = {tag for one in heard for tag in one.tags}
            assert tags == {f"tasks:{world.ada}", f"dashboard:{world.ada}"}

    run(scenario())


def test_health_readiness_and_metrics(world: World) -> None:
    async def scenario() -> None:
        async with running(world.settings) as client:
            assert (await client.get("/healthz")).json() == {"alive": True}
            assert (await client.get("/readyz")).json() == {"postgres": True, "redis": True}
            await signed_in(client, world.ada_email)
            await client.get("/tasks/1")
            await client.get("/nowhere")
            text = (await client.get("/metrics")).text
            for name in (
                "perflab_cache_", "perflab_cache_memory_hits_total", "perflab_pool_requests_total",
                'perflab_ratelimit_allowed_total{policy="auth"} 1.0', "perflab_responses_",
            ):  # fmt: skip
                assert name in text, name
            assert world.settings.secret not in text
            told = set(re.findall(r"^# TYPE (perflab_(?!monitor_)\w+) ", text, re.MULTILINE))
            assert told == {full_name(family) for family in families("API")}
            for operation, status in (
                ("POST /auth/login", 200), ("GET /tasks/{id}", 401), ("GET unknown", 404)
            ):  # fmt: skip
                labels = f'{{operation="{operation}",status="{status}"}}'
                assert f"perflab_http_requests_total{labels} 1.0" in text

    run(scenario())


def test_a_defect_is_logged_and_told_as_500_without_its_reason(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with running(world.settings) as client:
            ada = await signed_in(client, world.ada_email)
            execute(world.conninfo, "ALTER TABLE tasks RENAME COLUMN title TO heading")
            body = check_problem(await client.get("/tasks", headers=ada), 500)
            assert "heading" not in json.dumps(body)
            assert "title" not in body["detail"]

    run(scenario())
    assert "GET /tasks failed" in caplog.text
    assert "Bearer" not in caplog.text

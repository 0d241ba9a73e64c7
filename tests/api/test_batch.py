"""Batches: each item as if it had come alone, whatever becomes of the others."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import msgspec
import pytest

from perflab.api import task_store
from perflab.ratelimit import DEFAULT_POLICIES

from .conftest import World
from .support import execute, run, running, signed_in


async def batch(
    client: httpx.AsyncClient, headers: dict[str, str], *requests: Any
) -> list[dict[str, Any]]:
    answer = await client.post("/batch", json={"requests": list(requests)}, headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    responses: list[dict[str, Any]] = answer.json()["responses"]
    assert len(responses) == len(requests)
    return responses


def test_each_item_is_answered_as_if_it_had_come_alone(world: World) -> None:
    async def scenario() -> None:
        async with running(world.settings) as client:
            ada = await signed_in(client, world.ada_email)
            paths = ["/tasks?limit=3", "/users/me", "/habits", "/public/stats", "/tasks/0", "/no"]
            alone = [
                await client.get(path, headers=ada | {"accept-encoding": "identity"})
                for path in paths
            ]
            together = await batch(client, ada, *({"path": path} for path in paths))
            for one, other in zip(alone, together, strict=True):
                assert other["status"] == one.status_code
                assert other["body"] == one.json()
                for name in ("content-type", "etag", "cache-control", "vary", "ratelimit-policy"):
                    assert other["headers"].get(name) == one.headers.get(name), name
            tag = together[0]["headers"]["etag"]
            again, head, text, deleted = await batch(
                client,
                ada,
                {"path": paths[0], "headers": {"If-None-Match": tag}},
                {"path": paths[0], "method": "HEAD"},
                {"path": "/metrics"},
                {"path": "/tasks", "method": "DELETE"},
            )
            assert (again["status"], again["body"]) == (304, None)
            assert (head["status"], head["body"]) == (200, None)
            assert "perflab_pool_requests_total" in text["body"]
            assert deleted["status"] == 405

    run(scenario())


def test_a_bad_item_harms_no_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def breaks(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(task_store, "get_task", breaks)
    bad: list[tuple[Any, int]] = [
        ({"path": "/tasks/1"}, 500),
        ({"path": "/tasks", "method": "POST", "body": {"title": 5}}, 422),
        ({"path": "/tasks", "method": "POST"}, 415),
        ({"path": "/tasks", "method": "BREW"}, 422),
        ({"path": "tasks"}, 422),
        ({"path": "http://elsewhere.test/"}, 422),
        ({"path": "/tasks#x"}, 422),
        ({"path": "/tasks\n"}, 422),
        ({"method": "GET"}, 422),
        ({"path": "/users/me", "headers": {"authorization": "Bearer x"}}, 422),
        ({"path": "/users/me", "headers": {"accept": "a\r\nb"}}, 422),
        ({"path": "/users/me", "more": 1}, 422),
        (None, 422),
        ([[]], 422),
        ({"path": "/batch", "method": "POST", "body": {"requests": [{"path": "/habits"}]}}, 400),
        ({"path": "/%62atch", "method": "POST", "body": {"requests": [{"path": "/x"}]}}, 400),
        ({"path": "/%ff%00"}, 404),
    ]

    async def scenario() -> None:
        async with running(world.settings) as client:
            ada = await signed_in(client, world.ada_email)
            good = {"path": "/users/me"}
            found = await batch(client, ada, good, *(item for item, _ in bad), good)
            assert [one["status"] for one in found[1:-1]] == [status for _, status in bad]
            for one in found[1:-1]:
                assert one["headers"]["content-type"] == "application/problem+json"
                assert one["body"]["status"] == one["status"]
                assert "ZeroDivision" not in json.dumps(one)
            for one in (found[0], found[-1]):
                assert one["body"]["email"] == world.ada_email

    run(scenario())


def test_a_bad_envelope_is_one_problem_and_nothing_is_done(world: World) -> None:
    new = {"path": "/tasks", "method": "POST", "body": {"title": "never"}}
    envelopes: list[tuple[bytes, int]] = [
        (b"", 400),
        (b"[]", 422),
        (b"{}", 422),
        (b'{"requests": []}', 422),
        (b'{"requests": {}}', 422),
        (json.dumps({"requests": [new] * 21}).encode(), 422),
        (json.dumps({"requests": [new], "parallel": 9}).encode(), 422),
        (b'{"requests": [' + json.dumps(new).encode() + b",}]}", 400),
        (b'{"requests": ["' + b"x" * 70_000 + b'"]}', 413),
        (b'{"requests": [' + b"[" * 30_000 + b"]" * 30_000 + b"]}", 400),
    ]

    async def scenario() -> None:
        async with running(world.settings) as client:
            ada = await signed_in(client, world.ada_email)
            sent = ada | {"content-type": "application/json"}
            for content, status in envelopes:
                answer = await client.post("/batch", content=content, headers=sent)
                assert answer.status_code == status, (content[:80], answer.text)
                assert answer.headers["content-type"] == "application/problem+json"
            anonymous = {"content-type": "application/json"}
            good = json.dumps({"requests": [{"path": "/public/stats"}]}).encode()
            answer = await client.post("/batch", content=good, headers=anonymous)
            assert answer.status_code == 401

    run(scenario())
    found = execute(world.conninfo, "SELECT count(*) FROM tasks WHERE title = 'never'")
    assert found == [(0,)]


def test_items_write_once_under_their_keys_and_purge_what_they_change(world: World) -> None:
    async def scenario() -> None:
        async with running(world.settings) as client:
            ada = await signed_in(client, world.ada_email)
            before = (await client.get("/tasks", headers=ada)).json()
            new = {
                "path": "/tasks",
                "method": "POST",
                "headers": {"Idempotency-Key": "in-a-batch"},
                "body": {"title": "Écrire"},
            }
            found = await batch(client, ada, *[new] * 6)
            assert {one["status"] for one in found} == {201}
            assert len({one["body"]["id"] for one in found}) == 1
            listed = (await client.get("/tasks", headers=ada)).json()
            assert listed["tasks"][0]["title"] == "Écrire"
            assert listed["tasks"][1] == before["tasks"][0]

    run(scenario())


def test_five_items_are_under_way_at_once_and_no_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = under_way = 0
    five = asyncio.Barrier(5)
    inner = task_store.list_tasks

    async def slow(*arguments: Any) -> Any:
        nonlocal most, under_way
        under_way += 1
        most = max(most, under_way)
        try:
            await five.wait()  # which fewer than five would never get past
            return await inner(*arguments)
        finally:
            under_way -= 1

    monkeypatch.setattr(task_store, "list_tasks", slow)

    async def scenario() -> None:
        async with running(world.settings) as client:
            ada = await signed_in(client, world.ada_email)
            items = [{"path": f"/tasks?limit={n}"} for n in range(1, 21)]
            found = await batch(client, ada, *items)
            assert [len(one["body"]["tasks"]) for one in found] == list(range(1, 21))

    run(scenario())
    assert most == 5


def test_each_item_is_charged_to_the_callers_quota(world: World) -> None:
    small = {"api": 12, "auth": 3, "heavy": 2, "realtime": 50}
    policies = tuple(
        msgspec.structs.replace(one, limit=small[one.name]) for one in DEFAULT_POLICIES
    )
    settings = msgspec.structs.replace(world.settings, policies=policies)

    async def scenario() -> None:
        async with running(settings) as client:
            ada = await signed_in(client, world.ada_email)
            bob = await signed_in(client, world.bob_email)
            # one unit for the batch itself; the dashboard is charged to two quotas
            items = [{"path": "/analytics/dashboard"}] * 3 + [{"path": "/public/stats"}] * 3
            found = await batch(client, ada, *items)
            statuses = sorted(one["status"] for one in found[:3])
            assert statuses == [200, 200, 429]
            [denied] = [one for one in found if one["status"] == 429]
            assert denied["body"]["violated-policies"] == ["heavy"]
            assert int(denied["headers"]["retry-after"]) > 0
            assert {one["status"] for one in found[3:]} == {200}
            # 12 - 1 - 2 are left: one for this batch, eight of its items
            found = await batch(client, ada, *[{"path": "/users/me"}] * 11)
            assert sorted(one["status"] for one in found) == [200] * 8 + [429] * 3
            answer = await client.post("/batch", json={"requests": items}, headers=ada)
            assert answer.status_code == 429
            # guesses are charged to the address, through a batch too: two logins were made
            guess = {"email": world.ada_email, "password": "wrong"}
            login = {"path": "/auth/login", "method": "POST", "body": guess}
            found = await batch(client, bob, *[login] * 4)
            assert sorted(one["status"] for one in found) == [401, 429, 429, 429]

    run(scenario())

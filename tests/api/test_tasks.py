"""Lists, writes, and which cached reads a write reaches."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .conftest import World
from .support import execute, run, running, signed_in

SORTS = ("created_at", "updated_at", "priority", "due_date")


async def pages(
    client: httpx.AsyncClient, headers: dict[str, str], query: str, limit: int
) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        answer = await client.get(f"/tasks?{query}&limit={limit}{cursor}", headers=headers)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert len(page["tasks"]) <= limit
        found += page["tasks"]
        if page["next"] is None:
            return found
        assert len(page["tasks"]) == limit
        cursor = f"&cursor={page['next']}"


def test_pages_of_any_size_join_to_the_whole_list_in_order(world: World) -> None:
    # ties wherever there can be some
    execute(
        world.conninfo,
        "UPDATE tasks SET created_at = date_trunc('month', created_at),"
        " updated_at = date_trunc('year', updated_at), due_date = date_trunc('month', due_date)"
        " WHERE user_id = %s",
        [world.ada],
    )
    with asyncio.Runner() as runner:
        context = running(world.settings)
        client = runner.run(context.__aenter__())
        try:
            ada = runner.run(signed_in(client, world.ada_email))

            @settings(
                max_examples=25,
                deadline=None,
                derandomize=True,
                suppress_health_check=list(HealthCheck),
            )
            @given(
                column=st.sampled_from(SORTS),
                down=st.booleans(),
                status=st.sampled_from([None, "todo", "done"]),
                priority=st.sampled_from([None, 1, 2]),
                limit=st.integers(5, 100),
            )
            def pages_join(
                column: str, down: bool, status: str | None, priority: int | None, limit: int
            ) -> None:
                query = f"sort={'-' if down else ''}{column}"
                query += f"&status={status}" if status else ""
                query += f"&priority={priority}" if priority else ""
                found = runner.run(pages(client, ada, query, limit))
                way = "DESC" if down else "ASC"
                nulls = "NULLS FIRST" if down else "NULLS LAST"
                expected = execute(
                    world.conninfo,
                    "SELECT id FROM tasks WHERE user_id = %s AND (%s::text IS NULL OR status = %s)"
                    " AND (%s::int IS NULL OR priority = %s)"
                    f" ORDER BY {column} {way} {nulls}, id {way}",
                    [world.ada, status, status, priority, priority],
                )
                assert [one["id"] for one in found] == [row[0] for row in expected]

            pages_join()
        finally:
            runner.run(context.__aexit__(None, None, None))


def test_a_cursor_is_good_for_its_own_list_alone(world: World) -> None:
    async def scenario() -> None:
        async with running(world.settings) as client:
            ada = await signed_in(client, world.ada_email)
            bob = await signed_in(client, world.bob_email)
            cursor = (await client.get("/tasks?limit=2", headers=ada)).json()["next"]
            assert cursor is not None
            for headers, query, status in (
                (ada, "limit=3", 200),
                (bob, "limit=2", 400),
                (ada, "limit=2&sort=created_at", 400),
                (ada, "limit=2&status=todo", 400),
            ):
                answer = await client.get(f"/tasks?{query}&cursor={cursor}", headers=headers)
                assert answer.status_code == status, query
            for at in range(0, len(cursor), 7):
                bad = cursor[:at] + ("A" if cursor[at] != "A" else "B") + cursor[at + 1 :]
                answer = await client.get(f"/tasks?limit=2&cursor={bad}", headers=ada)
                assert answer.status_code == 400, at

    run(scenario())


def test_rows_added_between_pages_neither_repeat_nor_hide_others(world: World) -> None:
    async def scenario() -> None:
        async with running(world.settings) as client:
            bob = await signed_in(client, world.bob_email)
            before = [one["id"] for one in await pages(client, bob, "sort=-created_at", 100)]
            first = (await client.get("/tasks?limit=3", headers=bob)).json()
            await client.post("/tasks", json={"title": "meanwhile"}, headers=bob)
            rest = await client.get(f"/tasks?limit=100&cursor={first['next']}", headers=bob)
            seen = [one["id"] for one in first["tasks"] + rest.json()["tasks"]]
            assert seen == before[: len(seen)]
            assert len(seen) == min(len(before), 103)

    run(scenario())


def test_a_task_lives_through_create_change_and_delete(world: World) -> None:
    async def scenario() -> None:
        async with running(world.settings) as client:
            ada = await signed_in(client, world.ada_email)
            due = "2025-10-01T12:00:00+02:00"
            made = await client.post(
                "/tasks", json={"title": "Écrire", "due_date": due, "priority": 4}, headers=ada
            )
            assert made.status_code == 201
            path, task = made.headers["location"], made.json()
            assert task["title"] == "Écrire"
            assert task["due_date"] == "2025-10-01T10:00:00Z"
            assert (await client.get(path, headers=ada)).json() == task
            done = await client.patch(path, json={"status": "done", "due_date": None}, headers=ada)
            assert done.json()["completed_at"] == done.json()["updated_at"]
            assert done.json()["due_date"] is None
            assert done.json()["title"] == "Écrire"
            open_again = await client.patch(path, json={"status": "todo"}, headers=ada)
            assert open_again.json()["completed_at"] is None
            assert (await client.delete(path, headers=ada)).status_code == 204
            assert (await client.delete(path, headers=ada)).status_code == 404
            assert (await client.get(path, headers=ada)).status_code == 404

    run(scenario())


def test_twenty_concurrent_posts_under_one_key_make_one_row(world: World) -> None:
    async def scenario() -> None:
        async with running(world.settings) as client:
            ada = await signed_in(client, world.ada_email)
            bob = await signed_in(client, world.bob_email)
            key = {"idempotency-key": "order-17"}
            body = {"title": "only once"}
            answers = await asyncio.gather(
                *(client.post("/tasks", json=body, headers=ada | key) for _ in range(20))
            )
            assert {one.status_code for one in answers} == {201}
            assert len({one.text for one in answers}) == 1
            assert sum("idempotency-replayed" in one.headers for one in answers) == 19
            other = await client.post("/tasks", json={"title": "another"}, headers=ada | key)
            assert other.status_code == 422
            theirs = await client.post("/tasks", json=body, headers=bob | key)
            assert theirs.status_code == 201
            assert theirs.json()["id"] != answers[0].json()["id"]
            # a refused request does not use its key up
            bad = {"title": "x", "project_id": 2**62}
            fresh = {"idempotency-key": "order-18"}
            assert (await client.post("/tasks", json=bad, headers=ada | fresh)).status_code == 422
            good = await client.post("/tasks", json=body, headers=ada | fresh)
            assert good.status_code == 201

    run(scenario())
    found = execute(
        world.conninfo, "SELECT count(*) FROM tasks WHERE title = 'only once' GROUP BY user_id"
    )
    assert sorted(row[0] for row in found) == [1, 2]


READS = ("/tasks", "/tasks?status=todo", "/users/me", "/analytics/dashboard")


@pytest.mark.parametrize(
    ("what", "reached"),
    [
        ("create", {"/tasks", "/tasks?status=todo", "/analytics/dashboard"}),
        ("rename", {"/tasks", "/tasks?status=todo", "task"}),
        ("finish", {"/tasks", "/tasks?status=todo", "/analytics/dashboard", "task"}),
        ("delete", {"/tasks", "/tasks?status=todo", "/analytics/dashboard", "task"}),
        ("nothing", set()),
    ],
)
def test_a_write_reaches_exactly_the_cached_reads_it_affects(
    what: str, reached: set[str], world: World
) -> None:
    async def scenario() -> None:
        async with running(world.settings) as client:
            ada = await signed_in(client, world.ada_email)
            bob = await signed_in(client, world.bob_email)
            made = [
                (await client.post("/tasks", json={"title": f"{n}"}, headers=ada)).headers
                for n in range(2)
            ]
            task, other = (one["location"] for one in made)

            async def read_all() -> dict[str, tuple[int, bytes]]:
                asked = [(path, path, ada) for path in READS]
                asked += [("task", task, ada), ("other task", other, ada)]
                asked += [("public", "/public/stats", ada)]
                asked += [(f"bob's {path}", path, bob) for path in READS]
                found = {}
                for name, path, headers in asked:
                    answer = await client.get(path, headers=headers)
                    found[name] = (answer.status_code, answer.content)
                return found

            before = await read_all()
            # behind the API's back: whatever is read anew from now on is seen to be new
            execute(world.conninfo, "UPDATE tasks SET title = title || '!'")
            execute(world.conninfo, "UPDATE users SET name = name || '!'")
            execute(world.conninfo, "UPDATE notifications SET read_at = NULL")
            execute(world.conninfo, "UPDATE habit_entries SET amount = amount + 1")
            execute(world.conninfo, "DELETE FROM goals")
            assert await read_all() == before
            if what == "create":
                await client.post("/tasks", json={"title": "new"}, headers=ada)
            elif what == "rename":
                await client.patch(task, json={"title": "renamed"}, headers=ada)
            elif what == "finish":
                await client.patch(task, json={"status": "done"}, headers=ada)
            elif what == "delete":
                await client.delete(task, headers=ada)
            else:
                bad = await client.patch(task, json={"project_id": 2**62}, headers=ada)
                assert bad.status_code == 422
            after = await read_all()
            assert {name for name in after if after[name] != before[name]} == reached

    run(scenario())


def test_another_process_sees_a_write_when_it_is_answered(world: World) -> None:
    async def scenario() -> None:
        async with running(world.settings) as one, running(world.settings) as two:
            ada = await signed_in(one, world.ada_email)
            made = await one.post("/tasks", json={"title": "before"}, headers=ada)
            path = made.headers["location"]
            assert (await two.get(path, headers=ada)).json()["title"] == "before"
            await one.patch(path, json={"title": "after"}, headers=ada)
            async with asyncio.timeout(5):
                while (await two.get(path, headers=ada)).json()["title"] != "after":
                    await asyncio.sleep(0.01)

    run(scenario())

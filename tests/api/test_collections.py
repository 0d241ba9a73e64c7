"""Habits, entries and notes: lists, writes, and which cached reads a write reaches."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from perflab.api.invalidation import CHECK_INS, PUBLIC_DAYS, check_in_tags
from perflab.api.public import PUBLIC
from perflab.schema.population import NOW

from .conftest import World
from .support import execute, run, running, signed_in

TODAY = NOW.date()
RECENT = (TODAY - timedelta(days=2)).isoformat()
OLD = (TODAY - timedelta(days=60)).isoformat()


def busiest_habit(world: World) -> int:
    """Ada's habit with the most entries."""
    found = execute(
        world.conninfo,
        "SELECT habit_id FROM habit_entries JOIN habits ON habits.id = habit_id"
        " WHERE user_id = %s GROUP BY habit_id ORDER BY count(*) DESC, habit_id LIMIT 1",
        [world.ada],
    )
    return int(found[0][0])


async def pages(
    client: httpx.AsyncClient, headers: dict[str, str], path: str, kind: str, query: dict[str, Any]
) -> list[dict[str, Any]]:
    """All rows of a list, page by page."""
    found: list[dict[str, Any]] = []
    asked = dict(query)
    while True:
        answer = await client.get(f"{path}?{urlencode(asked, doseq=True)}", headers=headers)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += page[kind]
        if page["next"] is None:
            return found
        assert len(page[kind]) == query["limit"]
        asked["cursor"] = page["next"]


@pytest.mark.parametrize("down", [False, True])
def test_pages_join_to_the_whole_list_in_order(down: bool, world: World) -> None:
    habit = busiest_habit(world)
    # ties wherever there can be some
    execute(
        world.conninfo,
        "UPDATE notes SET updated_at = date_trunc('month', updated_at) WHERE user_id = %s",
        [world.ada],
    )
    execute(
        world.conninfo,
        "UPDATE habits SET created_at = date_trunc('year', created_at),"
        " archived_at = NULL WHERE user_id = %s",
        [world.ada],
    )
    execute(
        world.conninfo,
        "INSERT INTO habit_entries (habit_id, entry_date, amount)"
        " SELECT habit_id, entry_date, amount FROM habit_entries WHERE habit_id = %s",
        [habit],
    )
    sign, way = ("-", "DESC") if down else ("", "ASC")
    since = (TODAY - timedelta(days=90)).isoformat()
    lists: list[tuple[str, str, dict[str, Any], str, list[object]]] = [
        ("/habits", "habits", {"sort": f"{sign}created_at", "limit": 1},
         f"habits WHERE user_id = %s ORDER BY created_at {way}, id {way}", [world.ada]),
        (f"/habits/{habit}/entries", "entries",
         {"sort": f"{sign}entry_date", "limit": 3, "since": since, "until": RECENT},
         "habit_entries WHERE habit_id = %s AND entry_date BETWEEN %s AND %s"
         f" ORDER BY entry_date {way}, id {way}", [habit, since, RECENT]),
        ("/notes", "notes", {"sort": f"{sign}updated_at", "limit": 5},
         f"notes WHERE user_id = %s ORDER BY updated_at {way}, id {way}", [world.ada]),
    ]  # fmt: skip

    async def scenario() -> None:
        async with running(world.settings) as client:
            ada = await signed_in(client, world.ada_email)
            for path, kind, query, rest, parameters in lists:
                found = [one["id"] for one in await pages(client, ada, path, kind, query)]
                expected = execute(world.conninfo, f"SELECT id FROM {rest}", parameters)
                assert found == [row[0] for row in expected], path
                assert len(found) > query["limit"], path

    run(scenario())


def test_notes_are_found_by_every_tag_that_is_asked_for(world: World) -> None:
    async def scenario() -> None:
        async with running(world.settings) as client:
            ada = await signed_in(client, world.ada_email)
            bob = await signed_in(client, world.bob_email)
            for title, tags in (
                ("both", ["red", "round", "red"]),
                ("one", ["red"]),
                ("odd", ["a,b&c=d", "Ünicode tag"]),
            ):
                body = {"title": title, "tags": tags, "body": "text"}
                made = await client.post("/notes", json=body, headers=ada)
                assert made.status_code == 201, made.text
                assert made.json()["tags"] == list(dict.fromkeys(tags))
            for tags, titles in (
                (["red"], {"both", "one"}),
                (["red", "round"], {"both"}),
                (["round", "red", "round"], {"both"}),
                (["a,b&c=d"], {"odd"}),
                (["Ünicode tag"], {"odd"}),
                (["red", "nobody's"], set()),
            ):
                query = urlencode({"tag": tags}, doseq=True)
                answer = await client.get(f"/notes?{query}", headers=ada)
                found = answer.json()["notes"]
                assert {one["title"] for one in found} == titles, tags
                assert all("body" not in one for one in found)
                assert (await client.get(f"/notes?{query}", headers=bob)).json()["notes"] == []
            for query in ("tag=", "tag=" + "x" * 61, "tag=a&tag=b&tag=c&tag=d&tag=e&tag=f",
                          "tag=%00", "limit=1&limit=1", "pinned=perhaps"):  # fmt: skip
                answer = await client.get(f"/notes?{query}", headers=ada)
                assert answer.status_code == 400, query
            # the cursor belongs to the tags, too
            first = (await client.get("/notes?tag=red&limit=1", headers=ada)).json()["next"]
            again = await client.get(f"/notes?tag=red&limit=1&cursor={first}", headers=ada)
            assert again.status_code == 200
            other = await client.get(f"/notes?tag=round&limit=1&cursor={first}", headers=ada)
            assert other.status_code == 400

    run(scenario())


def test_each_kind_lives_through_create_change_and_delete(world: World) -> None:
    kinds: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
        ("/habits", {"name": "Écrire", "cadence": "weekly", "reminder_minute": 480},
         {"reminder_minute": None, "name": "Lire"}, {"archived_at": None, "cadence": "weekly"}),
        ("/habits/{habit}/entries", {"entry_date": "2031-05-01"}, {"amount": 7},
         {"entry_date": "2031-05-01"}),
        ("/notes", {"title": "T", "body": "long", "tags": ["x"]}, {"tags": [], "pinned": True},
         {"title": "T", "body": "long"}),
    ]  # fmt: skip
    habit = busiest_habit(world)

    async def scenario() -> None:
        async with running(world.settings) as client:
            ada = await signed_in(client, world.ada_email)
            bob = await signed_in(client, world.bob_email)
            for template, new, change, kept in kinds:
                path = template.format(habit=habit)
                answer = await client.post(path, json=new, headers=ada)
                assert answer.status_code == 201, answer.text
                made, one = answer.json(), answer.headers["location"]
                assert new.items() <= made.items()
                assert (await client.get(one, headers=ada)).json() == made
                changed = await client.patch(one, json=change, headers=ada)
                assert (change | kept).items() <= changed.json().items()
                assert (await client.get(one, headers=ada)).json() == changed.json()
                assert (await client.patch(one, json={}, headers=ada)).status_code == 422
                for theirs in (
                    await client.get(one, headers=bob),
                    await client.patch(one, json=change, headers=bob),
                    await client.delete(one, headers=bob),
                ):
                    assert theirs.status_code == 404, path
                assert (await client.delete(one, headers=ada)).status_code == 204
                assert (await client.delete(one, headers=ada)).status_code == 404
                assert (await client.get(one, headers=ada)).status_code == 404
            for method in ("GET", "POST"):
                entries = f"/habits/{habit}/entries"
                body = {"entry_date": "2031-05-01"}
                answer = await client.request(method, entries, json=body, headers=bob)
                assert answer.status_code == 404, method

    run(scenario())


def test_an_archived_habit_is_listed_apart_and_stays_archived_since_then(world: World) -> None:
    async def scenario() -> None:
        async with running(world.settings) as client:
            ada = await signed_in(client, world.ada_email)
            made = await client.post("/habits", json={"name": "Rest"}, headers=ada)
            path = made.headers["location"]
            first = await client.patch(path, json={"archived": True}, headers=ada)
            assert first.json()["archived_at"] > made.json()["created_at"]
            again = await client.patch(path, json={"archived": True, "name": "R"}, headers=ada)
            assert again.json()["archived_at"] == first.json()["archived_at"]

            async def listed(query: str) -> bool:
                found = (await client.get(f"/habits?limit=100{query}", headers=ada)).json()
                return made.json()["id"] in {one["id"] for one in found["habits"]}

            assert (await listed(""), await listed("&archived=true")) == (False, True)
            back = await client.patch(path, json={"archived": False}, headers=ada)
            assert back.json()["archived_at"] is None
            assert (await listed(""), await listed("&archived=true")) == (True, False)

    run(scenario())


def test_a_day_gets_one_entry_however_many_ask_at_once(world: World) -> None:
    path = f"/habits/{busiest_habit(world)}/entries"
    body = {"entry_date": "2031-02-03", "amount": 2}

    async def scenario() -> None:
        async with running(world.settings) as client:
            ada = await signed_in(client, world.ada_email)
            answers = await asyncio.gather(
                *(client.post(path, json=body, headers=ada) for _ in range(12))
            )
            assert sorted(one.status_code for one in answers) == [201] + [409] * 11
            key = ada | {"idempotency-key": "tick"}
            later = body | {"entry_date": "2031-02-04"}
            repeated = await asyncio.gather(
                *(client.post(path, json=later, headers=key) for _ in range(6))
            )
            assert {one.status_code for one in repeated} == {201}
            assert len({one.text for one in repeated}) == 1
            # the same key for another resource is another request
            other = await client.post("/habits", json={"name": "x"}, headers=ada)
            elsewhere = f"{other.headers['location']}/entries"
            assert (await client.post(elsewhere, json=later, headers=key)).status_code == 422

    run(scenario())
    days = "SELECT count(*) FROM habit_entries WHERE entry_date BETWEEN %s AND %s"
    assert execute(world.conninfo, days, ["2031-02-03", "2031-02-04"]) == [(2,)]


READS = (
    "/habits", "{habit}", "{habit}/entries", "{recent}", "{old}", "{other}", "{other}/entries",
    "{other_entry}", "/notes", "/notes?tag=x", "{note}", "{other_note}", "/public/stats", "/tasks",
    "/users/me", "/analytics/dashboard",
)  # fmt: skip
BEHIND = (
    "UPDATE habits SET name = name || '!' WHERE user_id = ANY(%(who)s)",
    "UPDATE habit_entries SET amount = amount + 1 WHERE habit_id IN"
    " (SELECT id FROM habits WHERE user_id = ANY(%(who)s))",
    "UPDATE notes SET title = title || '!' WHERE user_id = ANY(%(who)s)",
    "UPDATE tasks SET title = title || '!' WHERE user_id = ANY(%(who)s)",
    "UPDATE users SET name = name || '!' WHERE id = ANY(%(who)s)",
    "UPDATE goals SET title = title || '!' WHERE user_id = ANY(%(who)s)",
)


async def made(client: httpx.AsyncClient, headers: dict[str, str]) -> dict[str, str]:
    """The paths of new rows of each kind."""
    names: dict[str, str] = {}
    yesterday, long_ago = TODAY - timedelta(days=1), TODAY - timedelta(days=61)
    for name, path, new in (
        ("habit", "/habits", {"name": "h"}),
        ("other", "/habits", {"name": "other"}),
        ("recent", "{habit}/entries", {"entry_date": yesterday.isoformat()}),
        ("old", "{habit}/entries", {"entry_date": long_ago.isoformat()}),
        ("other_entry", "{other}/entries", {"entry_date": yesterday.isoformat()}),
        ("note", "/notes", {"title": "n", "tags": ["x"]}),
        ("other_note", "/notes", {"title": "n"}),
    ):
        answer = await client.post(path.format(**names), json=new, headers=headers)
        assert answer.status_code == 201, answer.text
        names[name] = answer.headers["location"]
    return names


async def read_all(
    client: httpx.AsyncClient, names: dict[str, str], ada: dict[str, str], bob: dict[str, str]
) -> dict[str, tuple[int, bytes]]:
    asked = [(name, name, ada) for name in READS]
    asked += [(f"bob's {path}", path, bob) for path in ("/habits", "/notes")]
    found = {}
    for name, path, headers in asked:
        answer = await client.get(path.format(**names), headers=headers)
        found[name] = (answer.status_code, answer.content)
    return found


WRITES: list[tuple[str, str, dict[str, Any] | None, set[str]]] = [
    ("POST", "/habits", {"name": "new"}, {"/habits"}),
    ("PATCH", "{habit}", {"name": "renamed"}, {"/habits", "{habit}"}),
    ("POST", "{habit}/entries", {"entry_date": RECENT}, {"{habit}/entries", "/public/stats"}),
    ("POST", "{habit}/entries", {"entry_date": OLD}, {"{habit}/entries"}),
    ("PATCH", "{recent}", {"amount": 9}, {"{habit}/entries", "{recent}", "/public/stats"}),
    ("PATCH", "{old}", {"amount": 9}, {"{habit}/entries", "{old}"}),
    ("DELETE", "{recent}", None, {"{habit}/entries", "{recent}", "/public/stats"}),
    (
        "DELETE",
        "{habit}",
        None,
        {"/habits", "{habit}", "{habit}/entries", "{recent}", "{old}", "/public/stats"},
    ),
    ("POST", "/notes", {"title": "new"}, {"/notes", "/notes?tag=x"}),
    ("PATCH", "{note}", {"pinned": True}, {"/notes", "/notes?tag=x", "{note}"}),
    ("DELETE", "{note}", None, {"/notes", "/notes?tag=x", "{note}"}),
    ("POST", "{habit}/entries", {"entry_date": "x"}, set()),
]
"""Method, target, body, and the reads that must change."""


def test_a_write_reaches_exactly_the_cached_reads_it_affects(world: World) -> None:
    async def scenario() -> None:
        async with running(world.settings) as client:
            ada = await signed_in(client, world.ada_email)
            bob = await signed_in(client, world.bob_email)
            for method, what, body, reached in WRITES:
                names = await made(client, ada)
                before = await read_all(client, names, ada, bob)
                # behind the API's back: whatever is read anew from now on is seen to be new
                for change in BEHIND:
                    execute(world.conninfo, change, {"who": [world.ada, world.bob]})
                assert await read_all(client, names, ada, bob) == before
                await client.request(method, what.format(**names), json=body, headers=ada)
                after = await read_all(client, names, ada, bob)
                found = {name for name in after if after[name] != before[name]}
                assert found == reached, (method, what, body)

    run(scenario())


def test_entries_reach_every_copy_of_the_public_figures_that_may_be_kept() -> None:
    kept = timedelta(
        seconds=PUBLIC.ttl_s + PUBLIC.longest_stale_s + PUBLIC.edge_ttl_s + PUBLIC.longest_stale_s
    )
    for hours in range(0, 24 * 4):
        loaded = NOW - timedelta(hours=hours)
        first_day = (loaded - timedelta(days=PUBLIC_DAYS)).date()
        if loaded >= NOW - kept:
            assert check_in_tags(first_day, NOW) == [CHECK_INS], hours
    assert check_in_tags(first_day, NOW) == []
    assert check_in_tags(None, NOW) == [CHECK_INS]

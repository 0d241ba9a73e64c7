"""Logging in: what it gives, and that a failure tells nothing."""

from __future__ import annotations

from typing import Any

import argon2
import msgspec
import pytest

from perflab.api import account, passwords
from perflab.api.problems import Problem
from perflab.api.settings import ApiSettings, from_environment
from perflab.errors import ParameterError

from .conftest import World
from .support import PASSWORD, SECRET, Clock, execute, run, running, signed_in


def test_the_token_of_a_login_is_good_until_it_expires(world: World) -> None:
    clock = Clock()
    settings = msgspec.structs.replace(world.settings, session_s=600.0)

    async def scenario() -> None:
        async with running(settings, clock) as client:
            body = {"email": world.ada_email.upper(), "password": PASSWORD}
            answer = await client.post("/auth/login", json=body)
            assert answer.status_code == 200
            assert answer.headers["cache-control"] == "no-store"
            assert answer.json()["token_type"] == "Bearer"
            headers = {"authorization": f"bearer {answer.json()['token']}"}
            me = await client.get("/users/me", headers=headers)
            assert me.json()["email"] == world.ada_email
            assert PASSWORD not in me.text
            clock.now += 599
            assert (await client.get("/users/me", headers=headers)).status_code == 200
            clock.now += 2
            assert (await client.get("/users/me", headers=headers)).status_code == 401
            token = answer.json()["token"]
            stored = execute(world.conninfo, "SELECT token_hash FROM sessions ORDER BY id DESC")
            assert all(token not in row[0] for row in stored[:3])

    run(scenario())


def test_every_failed_login_costs_one_query_and_one_verification_and_says_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = execute(
        world.conninfo,
        "SELECT email FROM users WHERE id NOT IN (SELECT user_id FROM api_credentials) LIMIT 1",
    )[0][0]
    verified: list[argon2.Parameters] = []
    asked: list[str] = []
    matches, by_email = passwords.matches, account._by_email

    def counted_matches(stored: str, password: str) -> bool:
        verified.append(argon2.extract_parameters(stored))
        return matches(stored, password)

    async def counted_query(conn: Any, email: str) -> Any:
        asked.append(email)
        return await by_email(conn, email)

    monkeypatch.setattr(passwords, "matches", counted_matches)
    monkeypatch.setattr(account, "_by_email", counted_query)

    async def scenario() -> None:
        async with running(world.settings) as client:
            said = set()
            for email, password in (
                (world.ada_email, "wrong"),
                ("nobody@example.com", PASSWORD),
                (without, PASSWORD),
                (without, "\x00"),
                ("nobody@example.com", "\x00"),
            ):
                verified.clear()
                asked.clear()
                answer = await client.post(
                    "/auth/login", json={"email": email, "password": password}
                )
                assert answer.status_code == 401
                said.add(answer.content)
                assert asked == [email]
                assert len(verified) == 1
                (used,) = verified
                assert used.type is argon2.Type.ID
                assert (used.memory_cost, used.time_cost, used.parallelism) == (19 * 1024, 2, 1)
            assert len(said) == 1

    run(scenario())


def test_a_made_up_token_asks_nobody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with running(world.settings) as client:
            good = await signed_in(client, world.ada_email)
            before = (await client.get("/metrics")).text
            for n in range(5):
                made_up = {"authorization": good["authorization"][:-6] + f"{n:06}"}
                assert (await client.get("/users/me", headers=made_up)).status_code == 401
            after = (await client.get("/metrics")).text

            def requests(text: str) -> list[str]:
                return [x for x in text.splitlines() if x.startswith("perflab_pool_requests_total")]

            assert requests(before) == requests(after) != []

    run(scenario())


def test_too_many_logins_at_once_are_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "MOST_WAITING", 0)

    async def scenario() -> None:
        verifier = passwords.Passwords(1)
        try:
            with pytest.raises(Problem) as caught:
                await verifier.verify(None, "x")
            assert caught.value.status == 503
            assert caught.value.headers["retry-after"]
        finally:
            verifier.close()

    run(scenario())


def test_settings_name_what_is_wrong_and_never_show_a_secret() -> None:
    given: dict[str, Any] = {
        "PERFLAB_API_POSTGRES": "host=db password=hunter2",
        "PERFLAB_API_REDIS": "redis://:hunter2@cache",
        "PERFLAB_API_SECRET": SECRET,
    }
    settings = from_environment(given)
    assert settings.secret == SECRET
    assert "hunter2" not in repr(settings)
    assert SECRET not in repr(settings)
    with pytest.raises(ParameterError, match="PERFLAB_API_SECRET not set"):
        from_environment({**given, "PERFLAB_API_SECRET": ""})
    for changes, named in (
        ({"secret": "short"}, "secret must have at least"),
        ({"pool_size": 11}, "pool_size=11"),
        ({"deadline_s": 0}, "deadline_s=0"),
        ({"policies": ()}, "api, auth, heavy, realtime is missing"),
        ({"postgres": ""}, "postgres is empty"),
    ):
        fields: dict[str, Any] = {"postgres": "x", "redis": "y", "secret": SECRET}
        with pytest.raises(ParameterError, match=named):
            ApiSettings(**(fields | changes))

"""What a server lacks is found by version, setting and command, and said in sentences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import psycopg
import pytest

from perflab.services import Postgres, PostgresSettings, Redis, Services, features, lacks
from perflab.services import open_services as opening
from perflab.services.addresses import ServiceName
from perflab.services.external.leftovers import connect_redis
from perflab.services.features import NGINX, POSTGRES, REDIS, nginx_lacks, postgres_lacks


def test_the_newest_postgres_lacks_nothing_and_every_older_one_more() -> None:
    counts = [len(postgres_lacks(major * 10_000)) for major in (18, 17, 16, 15, 14)]
    assert counts[0] == 0
    assert counts == sorted(counts)
    assert counts[-1] == len(POSTGRES)


def test_a_version_has_what_came_with_it() -> None:
    assert any("C.UTF-8 (since 17)" in sentence for sentence in postgres_lacks(160_009))
    assert not any("C.UTF-8" in sentence for sentence in postgres_lacks(170_000))
    assert all(s.startswith("PostgreSQL 15 lacks ") for s in postgres_lacks(150_014))


def test_an_old_nginx_is_told_from_a_new_one_by_number_and_not_by_text() -> None:
    assert len(nginx_lacks("1.22.1")) == len(nginx_lacks("1.9.15")) == len(NGINX)
    assert all(s.startswith("nginx 1.22.1 lacks ") for s in nginx_lacks("1.22.1"))
    for version in ("1.23.0", "1.31.3", "1.27.1.2", "1.100rc1", "2.0"):
        assert nginx_lacks(version) == ()


@pytest.fixture(scope="module")
def loose() -> Iterator[Postgres]:
    """A server that keeps none of a server's usual promises."""
    extra = {
        "fsync": "off",
        "synchronous_commit": "off",
        "track_io_timing": "off",
        "shared_preload_libraries": "",
    }
    only: list[ServiceName] = ["postgres"]
    with opening("embedded", settings=PostgresSettings(32, extra), only=only) as services:
        yield services.postgres


def test_settings_that_change_what_figures_mean_are_named(loose: Postgres) -> None:
    said = " | ".join(lacks(loose))
    assert "fsync and synchronous_commit off: writes are faster" in said
    assert "track_io_timing is off" in said
    assert "has not preloaded pg_stat_statements and auto_explain" in said


def test_a_server_with_everything_lacks_nothing(postgres: Postgres) -> None:
    with psycopg.connect(postgres.conninfo()) as conn:
        row = conn.execute("SHOW shared_preload_libraries").fetchone()
    assert row is not None
    missing = [name for name in ("pg_stat_statements", "auto_explain") if name not in row[0]]
    found = [s for s in lacks(postgres) if "preloaded" not in s]
    assert found == list(postgres_lacks(postgres.version_num))
    assert len(lacks(postgres)) == len(found) + bool(missing)


def test_on_a_server_of_the_users_own_the_limits_are_named(
    own_services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = own_services.postgres.address
    monkeypatch.setenv(
        "PERFLAB_POSTGRES_URL",
        f"postgresql://perflab:{address.password}@127.0.0.1:{address.port}/postgres",
    )
    monkeypatch.setenv("PERFLAB_REDIS_URL", own_services.redis.url())
    with opening("url") as services:
        assert any(
            "not the lab's: outages are made by a proxy" in s for s in lacks(services.postgres)
        )
        assert any("never restarted, flushed" in s for s in lacks(services.redis))
    assert not any("not the lab's" in s for s in lacks(own_services.postgres))
    assert not any("not the lab's" in s for s in lacks(own_services.redis))


def test_commands_of_a_redis_are_asked_for_by_name(
    redis_server: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert features._known(connect_redis(redis_server.url())) <= {f.command for f in REDIS}
    unknown = features.Needs("NOSUCHCOMMAND", "time travel", "yesterday stays as it was")
    known = features.Needs("GET", "reading", "nothing can be read")
    monkeypatch.setattr(features, "REDIS", (unknown, known))
    (sentence,) = lacks(redis_server)
    assert sentence.endswith(" lacks time travel: yesterday stays as it was")
    assert redis_server.version in sentence


def test_a_user_who_may_not_ask_for_commands_is_told_apart(own_services: Services) -> None:
    server = own_services.redis
    with connect_redis(server.url()) as client:
        client.acl_setuser(
            "quiet", enabled=True, passwords=["+pw"], categories=["+@all"], commands=["-command"]
        )

        class Quiet:
            flavour, version, owned = server.flavour, server.version, True

            def url(self) -> str:
                return f"redis://quiet:pw@{server.host}:{server.port}/0"

        (sentence,) = features._redis_lacks(cast(Any, Quiet()))
        assert "does not tell this user" in sentence
        client.acl_deluser("quiet")

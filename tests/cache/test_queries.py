"""The query cache: keys by statement and parameters, tables seen, writes that purge."""

from __future__ import annotations

import asyncio
import datetime
import decimal
import enum
import uuid
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.orm import DeclarativeBase, Mapped, aliased, mapped_column

from perflab.cache.entry import CacheError
from perflab.cache.policy import QUERY, CachePolicy
from perflab.cache.queries import QueryCache
from perflab.cache.statements import digest, normalised, tables_of

from .stand_ins import SharedStandIn, run, tiered

METADATA = sa.MetaData()
TASKS = sa.Table(
    "tasks",
    METADATA,
    sa.Column("id", sa.Integer),
    sa.Column("user_id", sa.Integer),
    sa.Column("title", sa.Text),
)
USERS = sa.Table("users", METADATA, sa.Column("id", sa.Integer), schema="app")


TASKS_AS_T: Any = TASKS.alias("t")
NAMELESS: Any = TASKS.alias()


class Base(DeclarativeBase):
    """Of the mapped classes."""


class Note(Base):
    """A mapped class."""

    __tablename__ = "notes"
    id: Mapped[int] = mapped_column(primary_key=True)


class Database:
    """Counts what it is asked; a read returns how many writes there were."""

    def __init__(self) -> None:
        self.reads: list[tuple[Any, Any]] = []
        self.writes = 0
        self.error: Exception | None = None

    async def read(self, statement: Any, parameters: Any) -> list[int]:
        self.reads.append((statement, parameters))
        await asyncio.sleep(0.01)
        return [self.writes]

    async def write(self, statement: Any, parameters: Any) -> str:
        self.writes += 1
        if self.error is not None:
            raise self.error
        return "done"


def over(database: Database, shared: SharedStandIn | None = None) -> tuple[QueryCache, Any]:
    cache = tiered(shared or SharedStandIn())
    return QueryCache(cache, read=database.read, write=database.write), cache


READ = "SELECT count(*) FROM tasks WHERE user_id = %s"


def test_a_read_is_cached_until_something_writes_to_its_table() -> None:
    async def scenario() -> None:
        database = Database()
        queries, cache = over(database)
        async with cache:
            assert await queries.read(READ, [1]) == [0]
            assert await queries.read(f"  {READ};  -- again", [1]) == [0]
            assert database.reads == [(READ, [1])]
            assert await queries.write("INSERT INTO notes VALUES (1)") == "done"
            assert await queries.read(READ, [1]) == [0]
            await queries.write("UPDATE tasks SET title = 'x' WHERE id = %s", [3])
            assert await queries.read(READ, [1]) == [2]
            assert cache.stats().ledger.policy("query").requests == 4

    run(scenario)


def test_a_write_purges_the_reads_of_other_processes() -> None:
    async def scenario() -> None:
        database, shared = Database(), SharedStandIn()
        (one, first), (other, second) = over(database, shared), over(database, shared)
        async with first, second:
            assert await one.read(READ, [1]) == await other.read(READ, [1]) == [0]
            assert len(database.reads) == 1
            await one.write("DELETE FROM tasks")
            await asyncio.sleep(0.01)
            assert await other.read(READ, [1]) == [1]

    run(scenario)


def test_a_write_that_failed_purges_too_because_it_may_have_been_committed() -> None:
    async def scenario() -> None:
        database = Database()
        queries, cache = over(database)
        async with cache:
            await queries.read(READ, [1])
            database.error = ConnectionError("lost during COMMIT")
            with pytest.raises(ConnectionError, match="lost during COMMIT"):
                await queries.write("DELETE FROM tasks")
            assert await queries.read(READ, [1]) == [1]

    run(scenario)


def test_a_read_that_began_before_the_commit_is_not_kept_after_the_purge() -> None:
    async def scenario() -> None:
        database = Database()
        queries, cache = over(database)
        async with cache:
            early = asyncio.ensure_future(queries.read(READ, [1]))
            await asyncio.sleep(0.005)
            await queries.write("DELETE FROM tasks")
            await early
            assert await queries.read(READ, [1]) == [1]

    run(scenario)


def test_a_transaction_of_ones_own_purges_the_tables_it_names() -> None:
    async def scenario() -> None:
        database = Database()
        queries, cache = over(database)
        async with cache:
            await queries.read(READ, [1])
            async with queries.writing("tasks", "users"):
                database.writes = 7
            assert await queries.read(READ, [1]) == [7]

    run(scenario)


def test_sqlalchemy_statements_are_cached_by_what_they_say() -> None:
    async def scenario() -> None:
        database = Database()
        queries, cache = over(database)
        async with cache:
            for user_id in (1, 2, 1):
                await queries.read(sa.select(TASKS.c.title).where(TASKS.c.user_id == user_id))
            assert len(database.reads) == 2
            await queries.write(sa.insert(TASKS).values(id=1))
            await queries.read(sa.select(TASKS.c.title).where(TASKS.c.user_id == 1))
            assert len(database.reads) == 3
            by_name = sa.select(TASKS.c.title).where(TASKS.c.user_id == sa.bindparam("u"))
            for user_id in (1, 2, 1):
                await queries.read(by_name, {"u": user_id})
            assert len(database.reads) == 5

    run(scenario)


@pytest.mark.parametrize(
    "write",
    [
        sa.update(TASKS_AS_T).values(title="x"),
        sa.delete(TASKS_AS_T),
        sa.delete(TASKS_AS_T.alias("again")),
        sa.update(NAMELESS).values(title="x"),
    ],
    ids=["update", "delete", "an alias of an alias", "a nameless alias"],
)
def test_a_write_through_an_alias_purges_the_reads_of_the_table_behind_it(write: Any) -> None:
    async def scenario() -> None:
        database = Database()
        queries, cache = over(database)
        async with cache:
            assert await queries.read(READ, [1]) == [0]
            await queries.write(write)
            assert await queries.read(READ, [1]) == [1]

    run(scenario)


def test_a_table_in_a_fragment_of_text_is_seen_too() -> None:
    async def scenario() -> None:
        database = Database()
        queries, cache = over(database)
        statement = sa.select(TASKS.c.id).select_from(sa.text("notes"))
        async with cache:
            await queries.read(statement)
            await queries.write("DELETE FROM notes")
            assert await queries.read(statement) == [1]

    run(scenario)


def test_policies_do_not_share_entries() -> None:
    async def scenario() -> None:
        database = Database()
        queries, cache = over(database)
        slower = CachePolicy(name="slower", ttl_s=600.0)
        async with cache:
            await queries.read(READ, [1], policy=QUERY)
            await queries.read(READ, [1], policy=slower)
            assert len(database.reads) == 2

    run(scenario)


def test_tables_that_cannot_be_seen_must_be_named() -> None:
    async def scenario() -> None:
        database = Database()
        queries, cache = over(database)
        async with cache:
            with pytest.raises(CacheError, match=r"no table is seen in 'SELECT now\(\)'; name"):
                await queries.read("SELECT  now()")
            with pytest.raises(CacheError, match="no table is seen in 'CALL archive"):
                await queries.write("CALL archive()")
            with pytest.raises(CacheError, match="must be a collection of names, not the string"):
                await queries.read("SELECT 1", tables="tasks")
            assert (database.reads, database.writes) == ([], 0)
            await queries.read("SELECT * FROM open_tasks_view", tables=["tasks"])
            await queries.write("CALL archive()", tables=["tasks"])
            await queries.read("SELECT * FROM open_tasks_view", tables=["tasks"])
            assert len(database.reads) == 2

    run(scenario)


@pytest.mark.parametrize(
    ("sql", "named", "written"),
    [
        ("SELECT 1", "", ""),
        ("select * from Tasks t where t.id = 1", "tasks", ""),
        ('SELECT * FROM app."Weird ""one""" AS w', 'Weird "one"', ""),
        ("SELECT * FROM a, b x, app.c AS y WHERE z IN (1, 2)", "a b c", ""),
        ("SELECT * FROM a JOIN b USING (id, day) LEFT JOIN c ON c.x = a.x, d", "a b c d", ""),
        ("SELECT * FROM (SELECT * FROM a) x, b", "a b", ""),
        ("SELECT * FROM (a JOIN b ON true), LATERAL (SELECT 1 FROM c) l, d", "a b c d", ""),
        ("SELECT * FROM generate_series(1, 3) g, a", "a", ""),
        ("SELECT 'x FROM b' , e'it\\'s FROM b', $q$ FROM b $q$ FROM a -- FROM c", "a", ""),
        ("SELECT /* FROM b */ * FROM ONLY a FOR UPDATE OF a", "a", ""),
        ("SELECT a.x IS DISTINCT FROM y FROM a FOR NO KEY UPDATE", "a", ""),
        ("WITH w AS (SELECT * FROM a) SELECT * FROM w", "a w", ""),
        ("INSERT INTO app.a (x, y) SELECT x, y FROM b", "a b", "a"),
        ("INSERT INTO a VALUES (1) ON CONFLICT (id) DO UPDATE SET x = 1", "a", "a"),
        ("UPDATE ONLY a SET x = b.x FROM b WHERE b.id = a.id", "a b", "a"),
        ("DELETE FROM a USING b WHERE a.id = b.id", "a b", "a"),
        ("TRUNCATE TABLE a, b", "a b", "a b"),
        ("MERGE INTO a USING b ON a.id = b.id WHEN MATCHED THEN UPDATE SET x = 1", "a b", "a"),
        ("WITH gone AS (DELETE FROM a RETURNING *) INSERT INTO b SELECT * FROM gone",
         "a b gone", "a b"),
        ("ALTER TABLE IF EXISTS a ADD COLUMN x int", "a", "a"),
        ("COPY a FROM stdin", "a stdin", "a"),
    ],
)  # fmt: skip
def test_tables_of_text(sql: str, named: str, written: str) -> None:
    expected = {named} if '"' in named else set(named.split())
    assert tables_of(sql, written=False) == expected
    assert tables_of(sql, written=True) == set(written.split())


def test_tables_of_sqlalchemy_statements() -> None:
    of_users = sa.select(USERS.c.id)
    cases = [
        (sa.select(TASKS), {"tasks"}, set()),
        (sa.select(TASKS.alias("t").c.id), {"tasks"}, set()),
        (sa.select(TASKS).where(TASKS.c.user_id == USERS.c.id), {"tasks", "users"}, set()),
        (sa.select(of_users.cte("u")), {"users"}, set()),
        (sa.select(of_users.subquery()), {"users"}, set()),
        (sa.select(TASKS).where(TASKS.c.user_id.in_(of_users)), {"tasks", "users"}, set()),
        (sa.select(sa.column("x")).select_from(sa.table("notes")), {"notes"}, set()),
        (sa.text("SELECT * FROM notes"), {"notes"}, set()),
        (sa.insert(TASKS).from_select(["id"], of_users), {"tasks", "users"}, {"tasks"}),
        (sa.update(TASKS).values(user_id=USERS.c.id), {"tasks", "users"}, {"tasks"}),
        (sa.delete(TASKS).where(TASKS.c.user_id.in_(of_users)), {"tasks", "users"}, {"tasks"}),
        (sa.select(sa.delete(TASKS).returning(TASKS.c.id).cte("d")), {"tasks"}, {"tasks"}),
        (sa.insert(TASKS_AS_T).from_select(["id"], of_users), {"tasks", "users"}, {"tasks"}),
        (sa.update(TASKS_AS_T).values(user_id=USERS.c.id), {"tasks", "users"}, {"tasks"}),
        (sa.delete(TASKS_AS_T).where(USERS.c.id == 1), {"tasks", "users"}, {"tasks"}),
        (sa.update(aliased(Note)).values(id=1), {"notes"}, {"notes"}),
        (sa.delete(aliased(Note, name="n")), {"notes"}, {"notes"}),
        (sa.insert(Note).values(id=1), {"notes"}, {"notes"}),
        (sa.update(TASKS.join(USERS, sa.true())), {"tasks", "users"}, {"tasks", "users"}),
    ]
    for statement, named, written in cases:
        assert tables_of(statement, written=False) == named, str(statement)
        assert tables_of(statement, written=True) == written, str(statement)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("SELECT  1\n FROM a", "SELECT 1 FROM a;", True),
        ("SELECT 1 -- one\nFROM a", "SELECT 1 /* two */ FROM a", True),
        ("SELECT 'x  y'", "SELECT 'x y'", False),
        ('SELECT "A"', 'SELECT "a"', False),
        ("SELECT '--' , 1", "SELECT '--' , 2", False),
        ("SELECT $$a  b$$", "SELECT $$a b$$", False),
    ],
)
def test_normalising_changes_no_meaning(one: str, other: str, same: bool) -> None:
    assert (normalised(one) == normalised(other)) is same


DAY = datetime.date(2026, 1, 2)
DISTINCT: list[Any] = [
    None, [], {}, [None], [1], [True], [1.0], ["1"], [b"1"], [decimal.Decimal(1)], [DAY],
    [str(DAY)], [datetime.datetime(2026, 1, 2)], [datetime.timedelta(1)], [uuid.UUID(int=1)],
    [[1, 2]], [1, 2], [(1, 2)], {"a": 1}, {"a": "1"}, {"a": 1, "b": 2}, ["a", "b"], ["a,b"],
    [{"a": 1}], [float("nan")],
]  # fmt: skip


def test_parameters_that_differ_in_value_or_type_have_keys_of_their_own() -> None:
    names = [digest("SELECT 1", parameters) for parameters in DISTINCT]
    assert len(set(names)) == len(names)


@given(
    parameters=st.dictionaries(
        st.text(), st.none() | st.integers() | st.floats(allow_nan=False) | st.text(), max_size=5
    )
)
def test_the_order_of_named_parameters_does_not_matter(parameters: dict[str, Any]) -> None:
    turned = dict(reversed(parameters.items()))
    assert digest("q", parameters) == digest("q", turned)


@given(
    one=st.lists(st.text() | st.integers(), max_size=3),
    other=st.lists(st.text() | st.integers(), max_size=3),
)
def test_keys_are_equal_only_for_equal_parameters(one: list[Any], other: list[Any]) -> None:
    assert (digest("q", one) == digest("q", other)) == (one == other)


def test_a_member_of_an_enum_is_neither_its_value_nor_another_enums_member() -> None:
    def called(name: str, kind: type, value: object, module: str = "here") -> Any:
        made: Any = kind("State", {name: value}, module=module, qualname="State")
        return made[name]

    members = [
        called("OPEN", enum.Enum, 1),
        called("OPEN", enum.Enum, 2),  # the same one of a newer version
        called("OPEN", enum.Enum, "1"),
        called("OPEN", enum.Enum, 1, module="elsewhere"),
        called("ABERTO", enum.Enum, 1),
        called("OPEN", enum.StrEnum, "open"),
        called("OPEN", enum.IntEnum, 3),
        called("OPEN", enum.Enum, (1, 2)),
        called("OPEN", enum.Enum, object()),
    ]
    plain = [1, 2, "1", "open", 3, "OPEN", "State.OPEN", "enum:here.State.'OPEN'=int:1"]
    names = [digest("q", [value]) for value in (*members, *plain)]
    assert len(set(names)) == len(names)
    assert digest("q", [members[0]]) == digest("q", [called("OPEN", enum.Enum, 1)])


def test_a_parameter_that_cannot_be_told_apart_is_refused_without_showing_it() -> None:
    class Secret:
        def __repr__(self) -> str:
            return "hunter2"

    with pytest.raises(CacheError, match="parameter of type Secret cannot be part") as refused:
        digest("q", [Secret()])
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("cache", None), ("read", None), ("write", "INSERT"), ("policy", "query")],
)
def test_what_a_query_cache_cannot_be_made_of_is_named(name: str, value: Any) -> None:
    database = Database()
    given: dict[str, Any] = {"cache": tiered(), "read": database.read, "write": database.write}
    with pytest.raises(CacheError, match=f"{name}="):
        QueryCache(**(given | {name: value}))

"""docs/cache.md and docs/edge.md: every example runs and gives what the page says that it gives.

A comment ``# -> value`` after an expression is what the expression is, by its ``repr``; after a
``print``, what is printed; after something that raises, ``Kind: message``. A block of text after
a line that ends with "print:" or "prints:" is all that the example before it prints.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import importlib
import inspect
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, NamedTuple, Self

import msgspec
import pytest
import redis

import perflab.cache
from event_loop import own_prefix, run
from perflab.cache import CacheError, CachePolicy, MemoryTier, RedisTier, TieredCache
from perflab.cache.codec import MAX_BYTES, Codec
from perflab.cache.entry import MAX_NAME_BYTES
from perflab.cache.memory import ENTRY_OVERHEAD_BYTES
from perflab.cache.owed import OwedPurges
from perflab.cache.pauses import RETRY_S
from perflab.cache.policies.shards import MAX_ACCESSES, MAX_KEYS
from perflab.cache.policies.simulate import POLICIES as SIMULATED
from perflab.cache.policy import LEASE_MARGIN_S, POLICIES
from perflab.cache.redis.leasing import FIRST_POLL_S, LONGEST_POLL_S
from perflab.cache.trace_formats import FORMATS
from perflab.services import Redis

from .redis_support import entry, store

DOCS = Path(__file__).parents[2] / "docs"
CACHE, EDGE = DOCS / "cache.md", DOCS / "edge.md"
OWN_DATABASE: Final = 9
"""Of the session's Redis: the page's prefix is nobody else's there."""
_FENCE: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ARROW: Final = re.compile(r"# -> (.+)")


class Block(NamedTuple):
    line: int
    """Of its first line of code, in the page."""
    code: str
    prints: str | None
    """All that it prints, where the page says it."""


def blocks(page: Path) -> list[Block]:
    """The Python blocks of a page in order."""
    text = page.read_text(encoding="utf-8")
    fences = list(_FENCE.finditer(text))
    found = []
    for fence, after in zip(fences, [*fences[1:], None], strict=True):
        if fence[1] != "python":
            continue
        prints = None
        if after is not None and after[1] == "text":
            between = text[fence.end() : after.start()].rstrip()
            prints = after[2] if between.endswith(("print:", "prints:")) else None
        line = text.count("\n", 0, fence.start(2)) + 1
        found.append(Block(line, fence[2], prints))
    return found


def arrows(block: Block) -> dict[int, str]:
    """What the page says after ``# ->``, by line."""
    tokens = tokenize.generate_tokens(io.StringIO(block.code).readline)
    comments = [token for token in tokens if token.type == tokenize.COMMENT]
    return {
        block.line + token.start[0] - 1: said[1]
        for token in comments
        if (said := _ARROW.fullmatch(token.string))
    }


class Told(ast.NodeTransformer):
    """Hands what an expression with an arrow gives to ``told_``, or raises to ``raised_``."""

    def __init__(self, lines: set[int]) -> None:
        self.left = lines

    def visit_Expr(self, node: ast.Expr) -> ast.stmt:
        line = node.end_lineno
        if line not in self.left:
            return node
        self.left.discard(line)
        call = node.value
        printed = (
            isinstance(call, ast.Call)
            and isinstance(call.func, ast.Name)
            and call.func.id == "print"
        )
        arguments = call.args if printed and isinstance(call, ast.Call) else [call]
        outline = ast.parse(
            f"try:\n    told_({line}, {printed})\nexcept Exception as error:\n"
            f"    raised_({line}, error)"
        ).body[0]
        assert isinstance(outline, ast.Try)
        telling = outline.body[0]
        assert isinstance(telling, ast.Expr)
        assert isinstance(telling.value, ast.Call)
        telling.value.args += arguments
        for made in ast.walk(outline):
            ast.copy_location(made, node) if made not in arguments else None
        return outline


class Reader:
    """Runs the blocks of a page one after the other, as somebody does who types them in."""

    def __init__(self, page: Path, replaced: dict[str, str], **names: Any) -> None:
        self._page = page
        self._replaced = replaced
        self.unused = set(replaced)
        self.names = names | {"told_": self._told, "raised_": self._raised}
        self._said: dict[int, str] = {}
        self._heard: set[int] = set()
        self._runner = asyncio.Runner()
        self._complaints: list[str] = []

    def read(self, block: Block) -> None:
        code = self.compile(block)
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            if "asyncio.run(" in block.code:
                exec(code, self.names)  # noqa: S102 - our own page
            else:
                self._runner.run(asyncio.wait_for(self._typed_in(code), 120))
        assert self._heard == set(self._said), "some lines with an arrow were never reached"
        if block.prints is not None:
            assert self._same(block.prints, out.getvalue()), out.getvalue()

    def compile(self, block: Block) -> Any:
        source = block.code
        for text, instead in self._replaced.items():
            if text in source:
                self.unused.discard(text)
                source = source.replace(text, instead)
        self._said, self._heard = arrows(block), set()
        tree = ast.increment_lineno(ast.parse(source), block.line - 1)
        telling = Told(set(self._said))
        tree = ast.fix_missing_locations(telling.visit(tree))
        assert not telling.left, f"an arrow after no expression: lines {sorted(telling.left)}"
        return compile(tree, str(self._page), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """End the loop; fails where the page leaves something open."""

        async def left() -> list[str]:
            await asyncio.sleep(0.01)
            return [str(task) for task in asyncio.all_tasks() - {asyncio.current_task()}]

        tasks = self._runner.run(left())
        self._runner.close()
        if error is None:
            assert tasks == []
            assert self._complaints == []

    async def _typed_in(self, code: Any) -> None:
        asyncio.get_running_loop().set_exception_handler(
            lambda _, said: self._complaints.append(str(said))
        )
        running = eval(code, self.names)  # noqa: S307 - our own page
        if inspect.isawaitable(running):
            await running

    def _told(self, line: int, printed: bool, *values: object) -> None:
        given = " ".join(map(str, values)) if printed else repr(values[0])
        self._hear(line, given)

    def _raised(self, line: int, error: Exception) -> None:
        if isinstance(error, AssertionError):
            raise error
        try:
            self._hear(line, f"{type(error).__name__}: {error}")
        except AssertionError:
            raise error from None

    def _hear(self, line: int, given: str) -> None:
        self._heard.add(line)
        said = self._said[line]
        assert self._same(said, given), f"line {line} of {self._page.name}: {given}, not {said}"

    @staticmethod
    def _same(said: str, given: str) -> bool:
        """Whether both say the same, but for seconds that have passed meanwhile."""
        said, given = (re.sub(r"ttl=\d+", "ttl=…", text.strip()) for text in (said, given))
        return said == given


@pytest.fixture
def url(redis_server: Redis) -> Iterator[str]:
    """A database of the session's Redis that only this test uses; its limits are put back."""
    address = redis_server.url()
    assert address.endswith("/0")
    with redis.Redis.from_url(address) as server:
        limits: Any = server.config_get("maxmemory*")
        yield f"{address[:-1]}{OWN_DATABASE}"
        for name in ("maxmemory", "maxmemory-policy"):
            server.config_set(name, limits[name])
        server.execute_command("SELECT", OWN_DATABASE)
        server.flushdb()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis gets all the time that a busy machine may need."""
    defaults = RedisTier.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "budget_s", 20.0)
    monkeypatch.setitem(defaults, "timeout_s", 30.0)


@pytest.mark.usefixtures("patient")
def test_the_examples_of_the_cache_page_do_what_it_says(
    url: str,
    database: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    replaced = {'"redis://localhost"': repr(url), '"dbname=shop"': repr(database)}
    first, *others = blocks(CACHE)
    with Reader(CACHE, replaced) as reader:
        reader.read(first)
        again = first.code.replace('"redis://localhost"', repr(url))
        exec(again, {})  # noqa: S102 - "Run it again soon"
        assert capsys.readouterr().out == "{'name': 'Ada'} 0\n1\n"
        for block in others:
            reader.read(block)
    assert reader.unused == set()
    assert sum(len(arrows(block)) for block in [first, *others]) >= 40


@pytest.mark.usefixtures("patient")
def test_the_lifespan_opens_a_cache_and_closes_it(url: str) -> None:
    with Reader(CACHE, {'"redis://localhost"': repr(url)}) as reader:
        for block in blocks(CACHE)[:2]:
            reader.read(block)
    names = SimpleNamespace(**reader.names)
    app = SimpleNamespace(state=SimpleNamespace())

    async def scenario() -> None:
        async with names.lifespan(app):
            cache = app.state.cache
            user = await cache.get_or_load("k", names.load_user, names.USER_PROFILE)
            assert user == {"name": "Ada"}
        with pytest.raises(CacheError, match="closed"):
            await cache.get_or_load("k", names.load_user, names.USER_PROFILE)

    run(scenario())


@pytest.mark.usefixtures("patient")
def test_the_example_of_the_edge_page_runs(url: str, tmp_path: Path) -> None:
    replaced = {'"redis://localhost"': repr(url), '"/var/cache/edge"': repr(str(tmp_path))}
    (block,) = blocks(EDGE)
    with Reader(EDGE, replaced, app=lambda *_: None) as reader:
        reader.read(block)
        assert "proxy_cache" in reader.names["text"]
        assert reader.names["nginx"].stats().purges == 1
        closing = "for one in (nginx, cache, redis, index):\n    await one.close()\n"
        reader.read(Block(1, closing, None))
    assert reader.unused == set()


@pytest.mark.parametrize(
    ("code", "prints", "complaint"),
    [
        ("1 + 1  # -> 3", None, "2, not 3"),
        ("print('a', 1)  # -> a 2", None, "a 1, not a 2"),
        ("1 / 0  # -> KeyError: 0", None, "division by zero"),
        ("x = 1  # -> 1", None, "an arrow after no expression"),
        ("y = 2\n# -> 2", None, "an arrow after no expression"),
        ("if False:\n    1  # -> 1", None, "an arrow were never reached"),
        ("print('a')", "b\n", "a"),
    ],
)
def test_a_page_that_says_something_wrong_is_caught(
    code: str, prints: str | None, complaint: str
) -> None:
    with (
        pytest.raises((AssertionError, ZeroDivisionError), match=complaint),
        Reader(CACHE, {}) as reader,
    ):
        reader.read(Block(1, code, prints))


def test_a_page_that_leaves_something_open_is_caught() -> None:
    code = "import asyncio\ntask = asyncio.ensure_future(asyncio.sleep(60))"
    with pytest.raises(AssertionError, match="sleep"), Reader(CACHE, {}) as reader:
        reader.read(Block(1, code, None))


def test_a_page_that_is_right_is_not() -> None:
    with Reader(CACHE, {}) as reader:
        reader.read(
            Block(
                1, "import asyncio\nprint('ttl=4')\nawait asyncio.sleep(0, [1])  # -> [1]", "ttl=5"
            )
        )
        reader.read(Block(1, "1 / 0  # -> ZeroDivisionError: division by zero", None))


# --- tables, links, names and figures ---


def table(header: str) -> list[list[str]]:
    """The rows under the table header that begins so."""
    text = CACHE.read_text(encoding="utf-8")
    assert text.count(f"\n| {header}") == 1, header
    lines = text[text.index(f"\n| {header}") + 1 :].split("\n")
    ends = lines.index("")
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[:ends]]


def test_the_table_of_fields_has_every_field_with_its_default() -> None:
    said = {row[0].strip("`"): row[1] for row in table("field | default")[2:]}
    fields = msgspec.structs.fields(CachePolicy)
    assert set(said) == {field.name for field in fields}
    for field in fields:
        is_required = field.default is msgspec.NODEFAULT
        assert said[field.name] == ("required" if is_required else repr(field.default))


def test_the_table_of_options_has_their_defaults() -> None:
    options = inspect.signature(RedisTier).parameters
    rows = table("option | default")[2:]
    assert rows
    for name, default, *_ in rows:
        assert default == repr(options[name.strip("`")].default), name


def test_the_table_of_policies_says_how_they_differ_from_the_defaults() -> None:
    header, _, *rows = table("policy | `ttl_s`")
    shown = [cell.strip("`") for cell in header[1:]]
    assert [row[0].strip("`").lower() for row in rows] == [policy.name for policy in POLICIES]
    for row, policy in zip(rows, POLICIES, strict=True):
        assert getattr(perflab.cache, row[0].strip("`")) is policy
        for name, cell in zip(shown, row[1:], strict=True):
            value = getattr(policy, name)
            said = ("yes" if value else "no") if isinstance(value, bool) else f"{value:g}"
            assert cell == said, (policy.name, name)
        for field in msgspec.structs.fields(CachePolicy):
            if field.name not in (*shown, "name", "codec"):
                assert getattr(policy, field.name) == field.default, (policy.name, field.name)


def test_simulated_policies_and_formats_are_all_there() -> None:
    simulated = [row[0].strip("`") for row in table("policy | what it evicts")[2:]]
    assert sorted(simulated) == sorted(SIMULATED)
    assert [row[0].strip("`") for row in table("format | one access")[2:]] == list(FORMATS)


def test_figures_in_the_text_are_those_of_the_code() -> None:
    codec = inspect.signature(Codec).parameters
    memory = inspect.signature(MemoryTier).parameters
    owed = inspect.signature(OwedPurges).parameters["max_names"].default
    text = " ".join(CACHE.read_text(encoding="utf-8").split())
    assert LEASE_MARGIN_S == 0.5
    for phrase in (
        f"at most {MAX_NAME_BYTES} bytes",
        "`hard_timeout_s` and half a second",
        f"look every {FIRST_POLL_S * 1000:g} to {LONGEST_POLL_S * 1000:g} ms",
        f"not tried again for {RETRY_S:g} s",
        f"more than {owed:,} names",
        f"above {MAX_BYTES // 2**20} MiB",
        f"and {ENTRY_OVERHEAD_BYTES} bytes an entry",
        f"threshold_bytes={codec['threshold_bytes'].default}",
        f'compression="{codec["compression"].default}"',
        f"max_entries={memory['max_entries'].default}, max_bytes={memory['max_bytes'].default}",
        f"{MAX_KEYS:,} keys and {MAX_ACCESSES:,} accesses",
    ):
        assert phrase in text, phrase


@pytest.mark.parametrize("page", [CACHE, EDGE], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    for link in links:
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in map(_anchor, headings), link


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_names_in_the_text_exist() -> None:
    text = CACHE.read_text(encoding="utf-8") + EDGE.read_text(encoding="utf-8")
    paths = set(re.findall(r"`(perflab\.[a-zA-Z_.]+)`", text))
    assert len(paths) >= 4
    for path in paths:
        assert _exists(path), path
    stats = {field.name for field in msgspec.structs.fields(perflab.cache.redis.RedisStats)}
    watched = re.search(r"of `redis.stats\(\)`: ([^.]+)\.", text)
    assert watched is not None
    assert set(re.findall(r"`(\w+)`", watched[1])) <= stats


def _exists(path: str) -> bool:
    module, _, name = path.rpartition(".")
    try:
        importlib.import_module(path)
    except ModuleNotFoundError:
        return hasattr(importlib.import_module(module), name)
    return True


# --- what is not an example ---


@pytest.mark.usefixtures("patient")
def test_the_user_of_the_page_may_do_all_that_the_cache_asks_for(url: str) -> None:
    text = CACHE.read_text(encoding="utf-8")
    said = re.search(r"^ACL SETUSER shop on >secret (.+)$", text, re.MULTILINE)
    assert said is not None
    name, word = own_prefix().strip(":"), own_prefix().strip(":")
    policy = CachePolicy(name="p", ttl_s=60, memory_ttl_s=0.001)
    loads = 0

    async def load() -> int:
        nonlocal loads
        loads += 1
        await asyncio.sleep(0.01)
        return loads

    async def scenario(address: str) -> None:
        tiers = [RedisTier(address, prefix="shop:") for _ in range(2)]
        caches = [TieredCache(MemoryTier(), tier) for tier in tiers]
        async with tiers[0], tiers[1], caches[0], caches[1]:
            await tiers[0].ping()
            both = await asyncio.gather(*(one.get_or_load("k", load, policy) for one in caches))
            assert both == [1, 1]
            await asyncio.sleep(0.01)
            assert await caches[1].get_or_load("k", load, policy) == 1
            assert await caches[0].invalidate(keys=["k"], tags=["t"], everything=True)
            assert await caches[1].get_or_load("k", load, policy) == 2
            async with asyncio.timeout(60):
                while not all(tier.connected for tier in tiers):
                    await asyncio.sleep(0.01)
            assert [tier.stats().errors for tier in tiers] == [0, 0]

    with redis.Redis.from_url(url) as server:
        server.execute_command("ACL", "LOG", "RESET")
        server.execute_command("ACL", "SETUSER", name, "on", f">{word}", *said[1].split())
        try:
            run(scenario(re.sub(r"//.*@", f"//{name}:{word}@", url)))
            assert server.execute_command("ACL", "LOG") == []
        finally:
            server.execute_command("ACL", "DELUSER", name)


def test_an_old_state_of_redis_brings_purged_values_back_as_the_page_warns(url: str) -> None:
    prefix = own_prefix()

    async def scenario() -> None:
        async with RedisTier(url, prefix=prefix, budget_s=20.0) as tier:
            await store(tier, "k", "old", ["t"])
            with redis.Redis.from_url(url) as server:
                snapshot: Any = {key: server.dump(key) for key in server.keys(f"{prefix}*")}
                assert await tier.invalidate(tags=["t"])
                assert (await tier.get("k", ("t",))).state == "miss"
                for key, dump in snapshot.items():
                    server.restore(key, 60_000, dump, replace=True)
            found = (await tier.get("k", ("t",))).entry
            assert found is not None
            assert found.value == entry("old").value

    run(scenario())

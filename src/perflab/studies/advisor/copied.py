"""Advice for a database in use, measured: its tables copied to a server of the lab's, and back out.

On the target run catalog reads and the SELECTs that copy, read-only and under a timeout. The
statements of the workload run on the copy alone, which is gone when the lab's server is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass, replace

import msgspec
import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from perflab.advisor.catalog import Catalog, read_catalog
from perflab.advisor.copying.making import make_tables
from perflab.advisor.copying.needed import explained, left_out, read_needed
from perflab.advisor.copying.sampling import Part, plan_parts
from perflab.advisor.copying.shape import Shape
from perflab.advisor.copying.transfer import Extent, fill
from perflab.advisor.copying.witness import Verdict, Witness, compared, observe
from perflab.advisor.drawn import Drawer
from perflab.advisor.errors import AdvisorError, said
from perflab.advisor.existing import Idle, idle_indexes
from perflab.advisor.guest import guest_on
from perflab.advisor.own_workload import own_workload
from perflab.advisor.returns import Return, judged, measure_returns
from perflab.advisor.selection import Limits
from perflab.advisor.settings import with_settings
from perflab.advisor.statement_stats import take_snapshot
from perflab.advisor.target import VARIABLE, looking_at
from perflab.advisor.timed import timed_statement
from perflab.advisor.views import read_views, written_out
from perflab.advisor.workload import Statement
from perflab.database.own import Databases
from perflab.profiles import AdvisorSizes
from perflab.progress import Step
from perflab.services import Postgres
from perflab.studies.advisor.files import STATEMENT_S, Measured, measure_as_guest
from perflab.studies.advisor.maintenance import Upkeep, look_after

_BEFORE, _ADVISED, _LEFT_OUT = "advise_copy", "advise_copy_advised", "advise_copy_left_out"
_MENDED = "advise_copy_mended"


class CopyLimits(msgspec.Struct, frozen=True):
    """What copying may cost the target."""

    mib: float = 256.0
    """Of tables; above it large ones are sampled."""
    seconds: float = 60.0
    """Longer no statement may take there."""

    @property
    def size_bytes(self) -> int:
        """The limit on size."""
        return round(self.mib * 2**20)


@dataclass(frozen=True)
class Copied:
    """Advice measured on a copy, and what became of the target."""

    measured: Measured
    drawn: tuple[str, ...]
    """Statements without values of their own, measured with values of rows that were copied."""
    passed_over: int
    """Entries of the target's statistics that are no statement an index could help."""
    returns: tuple[Return, ...]
    """Of the indexes that are there, one by one."""
    idle: tuple[Idle, ...]
    """Those that could go by their definitions and the target's own counters."""
    upkeep: Upkeep
    """Statistics that the workload's plans want, without the advice: they may do instead of it."""
    extent: Extent
    verdict: Verdict | None
    """None where the target could not be looked at again;"""
    unseen: str
    """and why."""
    target_version: str
    copy_version: str


def advise_on_copy(
    url: str,
    statements: Sequence[Statement] | None,
    limits: Limits,
    copying: CopyLimits,
    open_server: Callable[[], AbstractContextManager[Postgres]],
    sizes: AdvisorSizes,
    seed: int,
    step: Step,
) -> Copied:
    """Copy what ``statements`` (else: the target's own) name, and measure advice on the copy.

    Raises AdvisorError where the target cannot be reached, does not keep the connection read-only,
    or where the role may not read a table or reading takes too long.
    """
    with ExitStack() as stack:
        with _watched(url, copying) as target:
            version = target.info.parameter_status("server_version") or "?"
            catalog = read_catalog(target)
            views, passed_over = read_views(target), 0
            if statements is None:
                own = own_workload(take_snapshot(target, plans=0), catalog, views)
                asked, passed_over = own.statements, own.passed_over
            else:
                asked = written_out(statements, views)
            needed = read_needed(target, asked, catalog)
            server = stack.enter_context(open_server())
            databases = stack.enter_context(closing(Databases(server)))
            shape, parts, extent, witness = _copy(target, databases, needed, copying, seed, step)
        # nothing is open on the target while the copy is measured
        tables = {table.name for table in shape.tables}
        tables |= {part.name for table in shape.tables for part in table.partitions}
        idle = idle_indexes(Catalog(tuple(t for t in catalog.tables if t.qualified in tables)))
        copies = _with_path(databases, shape, _BEFORE, _ADVISED)
        asked, drawn = _drawn(copies[0], asked, sizes, seed)
        measured = _measure(copies, asked, sizes, seed, limits, step)
        returns = _returns(databases, shape, measured, idle, sizes, seed, step)
        upkeep = _look_after(databases, measured, sizes, seed, step)
    verdict, unseen = _after(url, copying, parts, witness, seed)
    measured = replace(measured, unplanned=explained(measured.unplanned, shape.absent))
    return Copied(
        measured=measured,
        drawn=drawn,
        passed_over=passed_over,
        returns=returns,
        idle=idle,
        upkeep=upkeep,
        extent=extent,
        verdict=verdict,
        unseen=unseen,
        target_version=version.partition(" ")[0],
        copy_version=server.version,
    )


@contextmanager
def _watched(url: str, copying: CopyLimits) -> Iterator[psycopg.Connection]:
    """The target in one read-only snapshot at a time; its errors in one line."""
    reason = ""
    try:
        with looking_at(url) as conn:
            conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            conn.execute("SELECT set_config('statement_timeout', %s, false)", [_ms(copying)])
            # a role that would see some of the rows is refused instead of shown those
            conn.execute("SET row_security = off")
            conn.execute("SET idle_in_transaction_session_timeout = '10min'")
            yield conn
    except psycopg.errors.QueryCanceled:
        reason = (
            f"a SELECT took longer than {copying.seconds:g} s; raise --copy-seconds, or lower"
            " --copy-mib to sample"
        )
    except psycopg.Error as error:
        reason = f"the server gave up ({said(error)})"
    if reason:
        raise AdvisorError(f"{VARIABLE}: {reason}")


def _copy(
    target: psycopg.Connection,
    databases: Databases,
    needed: Shape,
    copying: CopyLimits,
    seed: int,
    step: Step,
) -> tuple[Shape, tuple[Part, ...], Extent, Witness]:
    """Make the two copies, and look at the target in the snapshot that they are made of."""
    with psycopg.connect(databases.create(_BEFORE), autocommit=True) as copy, target.transaction():
        target.execute("SET TRANSACTION READ ONLY")
        shape = make_tables(copy, needed)
        parts = plan_parts(shape.tables, copying.size_bytes)
        extent = fill(target, copy, shape, parts, seed, copying.size_bytes, step)
        witness = observe(target, parts, seed)
    lines = (*left_out(needed, shape), *extent.left_out)
    extent = msgspec.structs.replace(extent, left_out=lines)
    databases.clone(_BEFORE, _ADVISED)
    return shape, parts, extent, witness


def _with_path(databases: Databases, shape: Shape, *labels: str) -> tuple[str, str]:
    """conninfos of two databases in which names mean what they mean on the target."""
    path = ",".join(shape.path)
    first, second = (with_settings(databases.conninfo(label), search_path=path) for label in labels)
    return first, second


def _drawn(
    copy: str, statements: Sequence[Statement], sizes: AdvisorSizes, seed: int
) -> tuple[tuple[Statement, ...], tuple[str, ...]]:
    """The statements with values where rows of the copy have some, and the names of those."""
    with psycopg.connect(copy, autocommit=True) as conn:
        drawer = Drawer(conn, read_catalog(conn), seed)
        found = tuple(drawer.with_values(s, sizes.examples) for s in statements)
    names = (
        now.name for was, now in zip(statements, found, strict=True) if now.examples != was.examples
    )
    return found, tuple(names)


def _measure(
    copies: tuple[str, str],
    statements: Sequence[Statement],
    sizes: AdvisorSizes,
    seed: int,
    limits: Limits,
    step: Step,
) -> Measured:
    with psycopg.connect(copies[0], autocommit=True) as conn:
        catalog = read_catalog(conn)
    return measure_as_guest(copies, catalog, statements, sizes, seed, limits, step)


def _returns(
    databases: Databases,
    shape: Shape,
    measured: Measured,
    idle: Sequence[Idle],
    sizes: AdvisorSizes,
    seed: int,
    step: Step,
) -> tuple[Return, ...]:
    """Each index that is there left out, for the statements that were measured."""
    statements = measured.runnable
    catalog = measured.advice.catalog
    if not (statements and judged(catalog)):
        return ()
    databases.clone(_BEFORE, _LEFT_OUT)
    copies = _with_path(databases, shape, _BEFORE, _LEFT_OUT)
    schemas = sorted({table.schema for table in catalog.tables})
    timed = [one for statement in statements if (one := timed_statement(statement))]
    with guest_on(copies, schemas, STATEMENT_S) as (full, without):
        return measure_returns(
            *copies, timed, statements, catalog, idle, sizes, seed, step, (full, without)
        )


def _look_after(
    databases: Databases, measured: Measured, sizes: AdvisorSizes, seed: int, step: Step
) -> Upkeep:
    def copy(conninfo: str) -> str:  # with the target's search path, as the others
        cloned = conninfo_to_dict(databases.clone(databases.label(conninfo), _MENDED))
        return make_conninfo(conninfo, dbname=cloned["dbname"])

    return look_after(
        measured.before, copy, measured.runnable, sizes, seed, step,
        guest_s=STATEMENT_S, state=False,
    )  # fmt: skip


def _after(
    url: str, copying: CopyLimits, parts: Sequence[Part], witness: Witness, seed: int
) -> tuple[Verdict | None, str]:
    try:
        with _watched(url, copying) as target, target.transaction():
            return compared(witness, observe(target, parts, seed)), ""
    except AdvisorError as error:
        return None, str(error)


def _ms(copying: CopyLimits) -> str:
    return f"{round(copying.seconds * 1000)}ms"

"""The notebooks' parameters: typed, range-checked, refused by name before anything starts."""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import msgspec

from perflab.capacity.cost import load_pricing
from perflab.errors import ParameterError
from perflab.measure.claims import load_claims
from perflab.profiles import load_profile
from perflab.schema.indexes import select_indexes
from perflab.workload import check_claims, load_workload

RIVALS = {
    "aiohttp": "aiohttp",
    "cachetools": "cachetools",
    "cashews": "cashews",
    "limits": "limits",
    "locust": "locust",
    "theine": "theine",
    "throttled-py": "throttled",
}
"""Libraries of the extra ``peers`` that 08_peers compares with, and the modules they are."""

RungChoice = Literal["auto", "url", "docker", "embedded"]
PlanCacheMode = Literal["auto", "force_custom_plan", "force_generic_plan"]


def _check_file(name: str, value: str) -> None:
    """A ParameterError where a parameter names no file, or one that may not be looked at."""
    try:
        there = Path(value).is_file()
    except OSError as error:
        raise ParameterError(f"parameter {name}={value!r}: {error.strerror}") from None
    if not there:
        raise ParameterError(f"parameter {name}={value!r}: no such file")


class Common(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every notebook takes."""

    servers: ClassVar[bool] = True
    """Whether the notebook needs servers and seeded data."""
    by_default: ClassVar[bool] = True
    """Whether ``perflab run`` runs it without being asked for it by name."""

    profile: str = "quick"
    """How big: a table of ``data/profiles.toml``."""
    services: RungChoice = "auto"
    """Where the servers come from."""
    seed: Annotated[int, msgspec.Meta(ge=0, lt=2**32)] = 42
    """Seeds the data, the parameters drawn and the order of the blocks."""
    claims: str = ""
    """A claims file of one's own; empty for the plan's."""

    @property
    def lab_data(self) -> bool:
        """Whether the notebook needs the lab's own seeded data."""
        return self.servers

    def verify(self) -> None:
        """Check what the types cannot: a ParameterError for a name that means nothing."""
        load_profile(self.profile)
        if self.claims:
            _check_file("claims", self.claims)


class DatabaseParameters(Common, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """01_database."""

    without_indexes: list[str] = []
    """Catalogue indexes to leave out of the after arm, by name."""
    plan_cache_mode: PlanCacheMode = "force_custom_plan"
    """How prepared statements are planned in both arms."""
    cold_buffers: bool = False
    """Empty the server's buffers before each call of the main experiment (PostgreSQL 18+)."""
    workload: str = ""
    """A workload file of one's own; empty for the lab's application."""

    @property
    def lab_data(self) -> bool:
        """A workload brings its own data."""
        return not self.workload

    def verify(self) -> None:
        """Indexes to leave out must be in the catalogue, a workload and its claims must fit."""
        super().verify()
        select_indexes(self.without_indexes)
        if not self.workload:
            return
        if self.without_indexes:
            raise ParameterError(
                "parameter without_indexes: names indexes of the lab's own catalogue; with a "
                "workload, leave the statement out under its [after]"
            )
        ids = {claim.id for claim in load_claims(Path(self.claims))} if self.claims else set[str]()
        check_claims(load_workload(Path(self.workload)), ids, self.claims)


class AdvisorParameters(Common, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """02_index_advisor."""

    by_default: ClassVar[bool] = find_spec("pglast") is not None

    slow_ms: Annotated[float, msgspec.Meta(ge=0)] = 2.0
    """Mean execution time from which on a statement is shown as slow."""
    indexes_per_table: Annotated[int, msgspec.Meta(ge=1)] = 10
    """The most indexes that the advice may leave on one table, those there included."""

    def verify(self) -> None:
        """The parser must be installed."""
        super().verify()
        if find_spec("pglast") is None:
            raise ParameterError(
                "02_index_advisor reads statements with PostgreSQL's parser, which is not"
                " installed here: pip install 'perflab[advisor]'"
            )


class CacheParameters(Common, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """03_cache."""

    alpha: Annotated[float, msgspec.Meta(ge=0, le=5)] = 1.21
    """Zipf's exponent of the generated requests; the median of Twitter's caches."""
    trace: str = ""
    """A file of requests of one's own; empty for generated ones."""

    def verify(self) -> None:
        """A trace must be there, and its beginning must be that of one."""
        super().verify()
        if not self.trace:
            return
        _check_file("trace", self.trace)
        # imported here: only a trace is worth waiting for the cache's imports
        from perflab.cache.traces import open_trace

        open_trace(self.trace)


class ApiParameters(Common, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """04_api."""


class LoadParameters(Common, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """06_load."""


class CapacityParameters(Common, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """07_capacity."""

    daily_users: Annotated[int, msgspec.Meta(ge=1)] = 240_000
    """Who come in a day."""
    sessions_per_user: Annotated[float, msgspec.Meta(gt=0)] = 2.0
    """Sessions of each of them."""
    session_s: Annotated[float, msgspec.Meta(gt=0, le=86_400)] = 600.0
    """How long a session lasts."""
    busiest: Annotated[float, msgspec.Meta(ge=1)] = 3.0
    """How much more are there in the busiest hour than on average."""
    think_s: Annotated[float, msgspec.Meta(gt=0)] = 10.0
    """A user's pause between two requests."""
    p95_ms: Annotated[float, msgspec.Meta(gt=0)] = 150.0
    """What the 95th percentile may be; the plan's average of task operations."""
    crowd: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Users who are really put on beside the profile's; 0 for these alone."""
    pricing: str = ""
    """A file of prices of one's own; empty for the shipped examples."""

    def verify(self) -> None:
        """Prices must be readable."""
        super().verify()
        if self.pricing:
            load_pricing(Path(self.pricing))


class RealtimeParameters(Common, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """05_realtime."""

    @property
    def lab_data(self) -> bool:
        """Nothing here reads the lab's database."""
        return False


class PeersParameters(Common, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """08_peers."""

    by_default: ClassVar[bool] = False

    @property
    def lab_data(self) -> bool:
        """Nothing here reads the lab's database."""
        return False

    def verify(self) -> None:
        """The other libraries must be installed."""
        super().verify()
        if missing := [name for name, module in RIVALS.items() if find_spec(module) is None]:
            raise ParameterError(
                f"08_peers compares with libraries that are not installed here:"
                f" {', '.join(missing)}; `make peers` installs them and runs it"
            )


class ScorecardParameters(Common, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """09_scorecard."""

    servers: ClassVar[bool] = False

    run: str = "newest"
    """A run's id or folder; ``newest`` takes the newest result of each claim."""


NOTEBOOKS: Mapping[str, type[Common]] = {
    "01_database": DatabaseParameters,
    "02_index_advisor": AdvisorParameters,
    "03_cache": CacheParameters,
    "04_api": ApiParameters,
    "05_realtime": RealtimeParameters,
    "06_load": LoadParameters,
    "07_capacity": CapacityParameters,
    "08_peers": PeersParameters,
    "09_scorecard": ScorecardParameters,
}
DEFAULT_NOTEBOOKS = tuple(name for name, type_ in NOTEBOOKS.items() if type_.by_default)
"""What ``perflab run`` runs where none is named."""

PATHS = ("claims", "workload", "trace", "pricing")
"""Parameters that are paths, relative to where the command is called."""

P = TypeVar("P", bound=Common)


def notebook_name(text: str) -> str:
    """The notebook that ``text`` (a name or a path) means; a ParameterError lists the known."""
    name = Path(text).name.removesuffix(".ipynb")
    if name not in NOTEBOOKS:
        raise ParameterError(f"notebook {text!r} is unknown; choose from {', '.join(NOTEBOOKS)}")
    return name


def check(type_: type[P], values: Mapping[str, object]) -> P:
    """``values`` as checked parameters; a ParameterError names the first one that is wrong."""
    known = {field.name: field.type for field in msgspec.structs.fields(type_)}
    for name in values:
        if name not in known:
            raise ParameterError(
                f"unknown parameter {name!r}; this notebook takes {', '.join(known)}"
            )
    for name, value in values.items():
        try:
            msgspec.convert(value, known[name])
        except msgspec.ValidationError as error:
            reason = str(error).split(" - at `$")[0]
            raise ParameterError(f"parameter {name}={value!r}: {reason}") from None
        if isinstance(value, float) and not math.isfinite(value):
            raise ParameterError(f"parameter {name}={value!r}: must be finite")
    parameters = msgspec.convert(dict(values), type_)
    parameters.verify()
    return parameters


def parse_assignments(
    assignments: Sequence[str], notebooks: Sequence[str]
) -> dict[str, dict[str, object]]:
    """``name=value`` strings of a command line as values for each of ``notebooks``.

    A value is JSON (``7``, ``true``, ``["a"]``) or else text; a list may be written ``a,b``.
    A name that none of the notebooks knows raises a ParameterError.
    """
    given: dict[str, dict[str, object]] = {name: {} for name in notebooks}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or not name.isidentifier():
            raise ParameterError(f"-p {assignment!r}: write it as name=value")
        takers = [n for n in notebooks if name in NOTEBOOKS[n].__struct_fields__]
        if not takers:
            known = sorted({f for n in notebooks for f in NOTEBOOKS[n].__struct_fields__})
            raise ParameterError(
                f"unknown parameter {name!r}; {', '.join(notebooks)}"
                f" {'take' if len(notebooks) > 1 else 'takes'} {', '.join(known)}"
            )
        for notebook in takers:
            given[notebook][name] = (
                str(Path(text).resolve())  # a kernel runs in another folder
                if name in PATHS and text
                else _value(NOTEBOOKS[notebook], name, text)
            )
    return given


def take_common(given: Mapping[str, dict[str, object]]) -> dict[str, object]:
    """What of the notebooks' values is the whole run's; it is taken out of theirs."""
    return {
        name: values.pop(name)
        for values in given.values()
        for name in Common.__struct_fields__
        if name in values
    }


def _value(type_: type[Common], name: str, text: str) -> object:
    wanted = next(f.type for f in msgspec.structs.fields(type_) if f.name == name)
    if wanted is str:
        return text
    try:
        value: object = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        value = text
    if isinstance(value, str):
        try:
            msgspec.convert(value, wanted)
        except msgspec.ValidationError:
            if str(wanted).startswith("list["):
                return [part.strip() for part in value.split(",") if part.strip()]
    return value


def injected(history: Sequence[str]) -> dict[str, object]:
    """What papermill injected, read from a kernel's input history.

    papermill only warns about a name that the notebook does not know; the cell it inserts
    begins with ``# Parameters``, so the names stand in the history for us to check.
    """
    found: dict[str, object] = {}
    for source in history:
        if source.startswith("# Parameters\n"):
            found |= _assigned(source)
    return found


def _assigned(source: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            values[node.targets[0].id] = ast.literal_eval(node.value)
    return values

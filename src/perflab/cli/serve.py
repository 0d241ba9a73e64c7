"""``perflab serve``."""

from __future__ import annotations

import errno
import os
import secrets
import socket
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer
from rich.markup import escape

from perflab.cli.console import console, progress_bars
from perflab.cli.outputs import check_output
from perflab.errors import ParameterError

if TYPE_CHECKING:
    from perflab.api.settings import ApiSettings
    from perflab.datasets import Datasets
    from perflab.parameters import RungChoice
    from perflab.realtime.hub.apart import HubProcess
    from perflab.services import Services

HOST = "127.0.0.1"


def serve(
    services: Annotated[
        str, typer.Option(help="Where servers come from: auto, url, docker or embedded.")
    ] = "auto",
    profile: Annotated[str, typer.Option(help="quick, standard or full: how much data.")] = "quick",
    port: Annotated[int, typer.Option(min=1, max=65_535, help="On 127.0.0.1.")] = 8000,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seeds the data.")] = 42,
    hub_port: Annotated[
        int | None,
        typer.Option(min=1, max=65_535, help="Serve WebSockets too, by a hub on this port."),
    ] = None,
    accounts: Annotated[
        Path | None, typer.Option(help="Write users to this CSV file, for `perflab load`.")
    ] = None,
) -> None:
    """Run the API under test on seeded data until Ctrl-C, for curl and browsers."""
    # imported here: `perflab --help` should not wait for what servers need
    from perflab.parameters import RungChoice
    from perflab.profiles import load_profile

    if services not in get_args(RungChoice):
        known = ", ".join(get_args(RungChoice))
        raise ParameterError(f"services={services!r} is unknown; choose one of {known}")
    sizes = load_profile(profile)
    ports = {"--port": port} if hub_port is None else {"--port": port, "--hub-port": hub_port}
    check_ports(ports)
    check_output("--accounts", accounts)

    from perflab.datasets import Datasets, shared_buffers_mb, template_name
    from perflab.services import PostgresSettings, open_services

    with open_services(
        cast("RungChoice", services),
        settings=PostgresSettings(shared_buffers_mb=shared_buffers_mb(sizes)),
        template=template_name(sizes, seed),
    ) as opened:
        for note in opened.notes:
            console.print(f"[dim]{escape(note)}[/]", soft_wrap=True)
        datasets = Datasets(opened.postgres, sizes, seed)
        try:
            conninfo = _database(datasets)
            check_ports(ports)  # they were free a while ago
            _run(conninfo, opened, port, hub_port, accounts)
        finally:
            datasets.close()
    console.print("stopped; the servers are down and nothing is left")


def check_ports(ports: Mapping[str, int]) -> None:
    """A ParameterError for a port that nobody could listen on now, by the option that names it."""
    for option, port in ports.items():
        _check_port(option, port)
    if len(set(ports.values())) < len(ports):
        raise ParameterError(f"{' and '.join(ports)} are the same; choose two")


def _check_port(option: str, port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # as servers do: connections in TIME_WAIT do not make a port look taken
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            reason = "is in use" if taken else f"cannot be used ({error.strerror})"
            raise ParameterError(f"{option} {port}: {reason}; choose another one") from None


def _database(datasets: Datasets) -> str:
    """A copy of the seeded data with the catalogue's indexes; returns its conninfo."""
    from perflab.database.index_builder import build_indexes

    with progress_bars() as bars:
        bar = bars.add_task("data", total=None)

        def step(what: str, done: int, total: int) -> None:
            bars.update(bar, description=f"data: {what}", completed=done, total=total)

        datasets.load(step)
        conninfo = datasets.clone("api")
        report = build_indexes(conninfo, progress=step)
    for failed in report.failed:
        console.print(f"[yellow]index {failed.name}: {escape(failed.reason)}[/]", soft_wrap=True)
    return conninfo


def _busiest_user(conninfo: str) -> int:
    """Whose pages have enough to see."""
    import psycopg

    busiest = "SELECT user_id FROM tasks GROUP BY user_id ORDER BY count(*) DESC, user_id LIMIT 1"
    with psycopg.connect(conninfo) as conn:
        row = conn.execute(busiest).fetchone()
    if row is None:
        raise ParameterError("the profile has no user with tasks; choose one with more users")
    return int(row[0])


def _run(
    conninfo: str, servers: Services, port: int, hub_port: int | None, accounts: Path | None
) -> None:
    import asyncio

    import uvloop

    from perflab.api.app import create_app
    from perflab.api.credentials import set_password
    from perflab.api.server import serve as serve_app
    from perflab.api.settings import ApiSettings, variable
    from perflab.schema.population import NOW

    user_id = _busiest_user(conninfo)
    password = secrets.token_urlsafe(12)
    email = set_password(conninfo, user_id, password)
    settings = ApiSettings(
        postgres=conninfo,
        redis=servers.redis.url(),
        secret=os.environ.get(variable("secret")) or secrets.token_urlsafe(32),
        prefix=f"{servers.redis.prefix}api:",
        # whoever loads it on this machine speaks for users behind many addresses
        trusted_proxies=() if accounts is None else (f"{HOST}/32",),
    )
    if accounts is not None:
        _write_accounts(accounts, settings)
    # the data was "taken" at a moment of its own, and goes on from there
    behind_s = time.time() - NOW.timestamp()
    app = create_app(settings, clock=lambda: time.time() - behind_s)

    def ready() -> None:
        _greet(port, user_id, email, password)
        if hub_port is not None:
            console.print(f"the hub is at {hub.url}", soft_wrap=True)

    with ExitStack() as stack:
        if hub_port is not None:
            hub = stack.enter_context(_hub(servers, settings, hub_port))
        runner = stack.enter_context(asyncio.Runner(loop_factory=uvloop.new_event_loop))
        runner.run(serve_app(app, host=HOST, port=port, ready=ready))


def _hub(servers: Services, settings: ApiSettings, port: int) -> HubProcess:
    """A hub of the API's channels, which takes the API's tokens."""
    from perflab.realtime.hub.apart import HubProcess
    from perflab.realtime.hub.process import HubOrder

    return HubProcess(
        HubOrder(
            redis=servers.redis.url(),
            secret=settings.secret,
            prefix=settings.channels_prefix,
            host=HOST,
            port=port,
        )
    )


def _write_accounts(path: Path, settings: ApiSettings) -> None:
    """As many users as the largest of the plan's scenarios has, signed in."""
    from perflab.realtime.tokens import Tokens
    from perflab.studies.api.site import signed_in
    from perflab.studies.load.accounts import write_accounts
    from perflab.studies.load.planned import USERS

    password = secrets.token_urlsafe(12)
    people = signed_in(settings.postgres, settings.secret, password, USERS)
    try:
        write_accounts(path, people, password, Tokens(settings.secret))
    except OSError as error:
        raise ParameterError(f"--accounts {path}: cannot be written ({error.strerror})") from None
    console.print(f"{len(people)} users: {path}", soft_wrap=True)


def _greet(port: int, user_id: int, email: str, password: str) -> None:
    """Print where the API is and what to type."""
    url = f"http://{HOST}:{port}"
    login = f"""-d '{{"email":"{email}","password":"{password}"}}'"""
    json = "-H 'content-type: application/json'"
    bearer = '-H "authorization: Bearer $TOKEN"'
    extract = r"""sed 's/.*"token":"\([^"]*\)".*/\1/'"""
    for line in (
        f"the API is at {url} with demo user {user_id}; Ctrl-C ends it",
        "",
        f"curl -s {url}/public/stats",
        f"TOKEN=$(curl -s {url}/auth/login {json} {login} | {extract})",
        f"curl -s '{url}/tasks?limit=3' {bearer}",
        f"curl -s {url}/tasks {json} {bearer} -H 'idempotency-key: first' "
        """-d '{"title":"Try the API"}'""",
        f"curl -s '{url}/notes?tag=work&limit=3' {bearer}",
        f"curl -s {url}/habits {bearer}",
        f"curl -s {url}/batch {json} {bearer} "
        """-d '{"requests":[{"path":"/users/me"},{"path":"/tasks?limit=1"}]}'""",
        f"curl -si --compressed {url}/analytics/dashboard {bearer}",
        f"curl -s {url}/openapi.json",
        f"curl -s {url}/metrics",
    ):
        # as it is, however long: people copy it
        console.print(line, soft_wrap=True, markup=False, emoji=False)

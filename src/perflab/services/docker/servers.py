"""PostgreSQL and Redis in containers: started, restarted, their data kept."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import socket
import threading
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from perflab.paths import cache_dir
from perflab.services.addresses import PostgresSettings
from perflab.services.docker import volumes as docker_volumes
from perflab.services.docker.containers import (
    HOST,
    Recipe,
    execute,
    find_container,
    is_running,
    run_script,
    start_server,
    wait_for,
)
from perflab.services.docker.engine import connect, reporting
from perflab.services.docker.place import ContainerSite, Place
from perflab.services.embedded.processes import wait_until
from perflab.services.errors import ServiceError
from perflab.services.home import only_one
from perflab.services.postgres_config import ROLE, lab_settings, text_options
from perflab.services.servers import RestartMode, version_num

_POSTGRES_PORT = 5432
_REDIS_PORT = 6379
_READY_S = 60.0
_RECOVERY_S = 300.0
_STOP_S = 60
_CRASH_S = 6.0
_SHM_SIZE = "1g"
_USUAL_MOUNT = "/var/lib/postgresql"
_CONFIG = "/perflab-redis.conf"
_FACTS_SCRIPT = """
postgres --version
bin=$(dirname "$(command -v postgres)")
for module in pg_stat_statements auto_explain; do
  for lib in "$bin/../lib" "$bin/../lib/postgresql"; do
    if [ -e "$lib/$module.so" ]; then echo $module; fi
  done
done
"""
_FACTS_LAYOUT = 1
"""Raise it when what was found out about an image must be asked anew."""


class ImageFacts(msgspec.Struct, frozen=True):
    """What has to be known of a PostgreSQL image before a server of it starts."""

    version: str
    preload: tuple[str, ...]
    layout: int = 0


class DockerPostgres:
    """Restarts and copies the PostgreSQL of a site."""

    def __init__(self, site: ContainerSite, password: str, holding: object = None) -> None:
        self.site = site
        self._password = password
        self._holding = holding  # the lab's folder lasts while its server is referred to
        self._lock = threading.Lock()

    def restart(self, mode: RestartMode) -> None:
        """Stop and start again, same port, same data."""
        with self._lock, only_one(self.site.home), reporting("PostgreSQL was not restarted"):
            container = find_container(self.site)
            self._halt(container, mode)
            self._launch(container)

    def keep(self, template: str) -> bool:
        """Copy the data of the cleanly stopped server into a volume, then start again."""
        site = self.site
        with self._lock, only_one(site.home), reporting("the loaded data was not kept"):
            container = find_container(site)
            self._halt(container, "fast")
            try:
                docker_volumes.keep(connect(), site.place, site.image, site.volume, template)
            finally:
                self._launch(container)
        return True

    def _halt(self, container: Any, mode: RestartMode) -> None:
        if mode == "immediate" and is_running(container):
            container.kill("SIGQUIT")
            wait_until(lambda: not is_running(container), _CRASH_S)
        container.stop(timeout=_STOP_S)  # nothing, where it is down

    def _launch(self, container: Any) -> None:
        container.start()
        site = self.site
        wait_for(
            container,
            lambda: _server_version(site.port, self._password),
            _RECOVERY_S,
            site.home,
            "PostgreSQL",
        )


class DockerRedis:
    """Restarts the Redis of a site."""

    def __init__(self, site: ContainerSite, password: str, holding: object = None) -> None:
        self.site = site
        self._password = password
        self._holding = holding  # the lab's folder lasts while its server is referred to
        self._lock = threading.Lock()

    def restart(self) -> None:
        """Stop and start again, same port, empty."""
        site = self.site
        with self._lock, only_one(site.home), reporting("Redis was not restarted"):
            container = find_container(site)
            container.restart(timeout=_STOP_S)
            wait_for(
                container,
                lambda: _redis_info(site.port, self._password),
                _READY_S,
                site.home,
                "Redis",
            )


def start_postgres(
    place: Place,
    home: Path,
    image: Any,
    wanted: PostgresSettings,
    template: str,
    password: str,
) -> tuple[ContainerSite, dict[str, str], str]:
    """A running PostgreSQL with kept data if there is some: its site, settings and version."""
    facts = _facts(place, image)
    settings = _settings(wanted, facts)
    client = connect()
    volume = docker_volumes.make_volume(client, place, "data")
    kept = docker_volumes.find_kept(client, image.id, template)
    if kept:
        docker_volumes.fill(place, image.id, kept.volume, volume)
    container, port = start_server(
        place, "postgres", _postgres_recipe(place, image, facts, settings, volume)
    )
    wait_for(container, lambda: _talks_postgres(port), _RECOVERY_S, str(home), "PostgreSQL")
    statements = [
        # so that the statement is not counted, where the module is there
        "SET pg_stat_statements.track = 'none'",
        f"ALTER ROLE {ROLE} PASSWORD '{_verifier(password)}'",
    ]
    argv = ["psql", "-X", "-U", ROLE, "-d", "postgres", "-v", "ON_ERROR_STOP=1"]
    argv += [word for statement in statements for word in ("-c", statement)]
    wait_for(
        container, lambda: execute(container, argv, "")[0], _RECOVERY_S, str(home), "PostgreSQL"
    )
    version = _server_version(port, password)
    if not version:
        raise ServiceError(
            f"PostgreSQL runs in the container {container.name} and cannot be reached on"
            f" {HOST}:{port}; see whether a firewall or a rootless Docker is in the way"
        )
    site = ContainerSite(str(home), container.id, port, image.id, volume)
    return site, settings, version


def start_redis(
    place: Place, home: Path, image: Any, password: str
) -> tuple[ContainerSite, str, str]:
    """A running, empty Redis: its site, flavour and version."""
    # a file, because a password on the command line is there for all to read
    config = {"requirepass": password, "save": '""', "appendonly": "no", "bind": "* -::*"}
    text = "".join(f"{name} {value}\n" for name, value in config.items())
    recipe = Recipe(
        image=image.id,
        command=["redis-server", _CONFIG],
        files={_CONFIG: text.encode()},
        port=_REDIS_PORT,
    )
    container, port = start_server(place, "redis", recipe)
    wait_for(container, lambda: _redis_info(port, password), _READY_S, str(home), "Redis")
    info = _redis_info(port, password)
    flavour = "valkey" if "valkey_version" in info else "redis"
    site = ContainerSite(str(home), container.id, port, image.id)
    return site, flavour, str(info.get(f"{flavour}_version", ""))


def _postgres_recipe(
    place: Place, image: Any, facts: ImageFacts, settings: dict[str, str], volume: str
) -> Recipe:
    declared = sorted((image.attrs["Config"] or {}).get("Volumes") or {})
    mount = next((path for path in declared if "postgres" in path), _USUAL_MOUNT)
    options = [*text_options(version_num(facts.version)), "--no-sync", "--auth-local=trust"]
    given = {"timezone": "UTC", "log_timezone": "UTC", "cluster_name": place.name, **settings}
    return Recipe(
        image=image.id,
        command=[
            "postgres",
            *(f"--{name}={value}" for name, value in given.items()),
        ],
        environment={
            "PGDATA": f"{mount}/{docker_volumes.FOLDER}",
            "POSTGRES_USER": ROLE,
            "POSTGRES_DB": "postgres",
            # good until the lab has set another that is in nobody's environment
            "POSTGRES_PASSWORD": secrets.token_hex(16),
            "POSTGRES_INITDB_ARGS": " ".join(options),
        },
        volumes={volume: mount},
        port=_POSTGRES_PORT,
        options={"shm_size": _SHM_SIZE, "stop_signal": "SIGINT"},
    )


def _settings(wanted: PostgresSettings, facts: ImageFacts) -> dict[str, str]:
    """The lab's settings as far as the image can have them."""
    settings = lab_settings(wanted, None)
    if "dynamic_shared_memory_type" not in wanted.extra:
        settings.pop("dynamic_shared_memory_type", None)  # the container has its own /dev/shm
    if facts.preload:
        settings = {"shared_preload_libraries": ",".join(facts.preload)} | settings
    return settings


def _facts(place: Place, image: Any) -> ImageFacts:
    """Version and modules of an image; asked once and remembered."""
    note = cache_dir() / "docker" / "images" / f"{image.id.removeprefix('sha256:')}.json"
    try:
        facts = msgspec.json.decode(note.read_bytes(), type=ImageFacts)
    except (OSError, msgspec.DecodeError):
        facts = None
    if facts is None or facts.layout != _FACTS_LAYOUT:
        recipe = Recipe(image=image.id, command=[_FACTS_SCRIPT])
        said = run_script(place, "facts", recipe, "the image holds no PostgreSQL that runs")
        first, *modules = said.splitlines() or [""]
        found = re.search(r"\d+(\.\d+|\w+)", first)
        if not found:
            raise ServiceError(f"the image holds no PostgreSQL; it said {first!r}")
        facts = ImageFacts(found[0], tuple(dict.fromkeys(modules)), _FACTS_LAYOUT)
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_bytes(msgspec.json.encode(facts))
    return facts


def _talks_postgres(port: int) -> bool:
    """Whether a PostgreSQL listens: it answers a request for TLS, which Docker's proxy does not.

    While the image makes the data folder its server listens inside only.
    """
    try:
        with socket.create_connection((HOST, port), timeout=1.0) as conn:
            conn.sendall(b"\x00\x00\x00\x08\x04\xd2\x16\x2f")
            return conn.recv(1) in (b"N", b"S")
    except OSError:
        return False


def _server_version(port: int, password: str) -> str:
    """The version that our server tells, empty while it does not answer."""
    try:
        with psycopg.connect(
            host=HOST,
            port=port,
            user=ROLE,
            password=password,
            dbname="postgres",
            sslmode="disable",
            gssencmode="disable",
            connect_timeout=2,
        ) as conn:
            return (conn.info.parameter_status("server_version") or "0").split()[0]
    except psycopg.Error:
        return ""


def _redis_info(port: int, password: str) -> dict[str, Any]:
    """What our server tells of itself, empty while it does not answer."""
    client = redis.Redis(
        host=HOST, port=port, password=password, socket_timeout=1.0, retry=Retry(NoBackoff(), 0)
    )
    try:
        with client:
            return dict(client.info("server"))
    except (redis.RedisError, OSError):
        return {}


def _verifier(password: str) -> str:
    """The salted hash of a password as PostgreSQL stores it (RFC 5802, RFC 7677).

    Only this is sent: a statement can end up in a log.
    """
    salt, rounds = secrets.token_bytes(16), 4096
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    keys = hashlib.sha256(client_key).digest(), hmac.digest(salted, b"Server Key", "sha256")
    shown = [base64.b64encode(part).decode() for part in (salt, *keys)]
    return f"SCRAM-SHA-256${rounds}:{shown[0]}${shown[1]}:{shown[2]}"

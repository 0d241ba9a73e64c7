"""Who the servers run as: oneself, or an unprivileged user where oneself is root."""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path
from typing import TypedDict

import msgspec

from perflab.services.errors import ServiceError


class RunAs(TypedDict, total=False):
    """The arguments of ``subprocess.Popen`` that switch the user."""

    user: int
    group: int
    extra_groups: list[int]


class Account(msgspec.Struct, frozen=True):
    """The user that owns the servers' processes and data."""

    name: str
    uid: int
    gid: int
    switched: bool
    """Whether it is another user than the one this process runs as."""

    def run_as(self) -> RunAs:
        """Arguments for ``subprocess.Popen``; without supplementary groups, so without root's."""
        if not self.switched:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def may_enter(self, folder: Path) -> bool:
        """Whether this account can reach files in ``folder``, by the permission bits."""
        folder = folder.resolve()
        return all(self._allows(place, 0o1) for place in (folder, *folder.parents))

    def may_read(self, file: Path, *, execute: bool = False) -> bool:
        """Whether this account can read (and run) ``file``, by the permission bits."""
        return self.may_enter(file.resolve().parent) and self._allows(file, 0o5 if execute else 0o4)

    def _allows(self, path: Path, bits: int) -> bool:
        try:
            found = path.stat()
        except OSError:
            return False
        mode = stat.S_IMODE(found.st_mode)
        if found.st_uid == self.uid:
            mode >>= 6
        elif found.st_gid == self.gid:
            mode >>= 3
        return mode & bits == bits


def server_account() -> Account:
    """The account servers run as: for root ``postgres`` if there is one, else ``nobody``.

    PostgreSQL refuses to run as root.
    """
    uid = os.geteuid()
    if uid != 0:
        try:
            name = pwd.getpwuid(uid).pw_name
        except KeyError:
            raise ServiceError(
                f"the user id {uid} has no name on this machine, and PostgreSQL refuses to start"
                " without one; add the user to /etc/passwd"
            ) from None
        return Account(name=name, uid=uid, gid=os.getegid(), switched=False)
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name=name, uid=entry.pw_uid, gid=entry.pw_gid, switched=True)
    raise ServiceError(
        "PostgreSQL refuses to run as root, and there is no user postgres or nobody to run it as;"
        " add one, or run the lab as an ordinary user"
    )

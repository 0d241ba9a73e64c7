"""Volumes of the docker rung: one for a lab's data, and the cache of loaded data.

Kept data is two volumes. The one with the data has a name of chance; the other, without content,
is called by what the data is and names the first in a label. It is made last and in one step, so
kept data is complete or not there, and of two labs that keep the same at once the first wins.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from pathlib import Path
from typing import Any

import msgspec
from docker.errors import NotFound

from perflab.paths import cache_dir
from perflab.services.docker.containers import Recipe, run_script
from perflab.services.docker.engine import DAEMON_ERRORS, NoDaemon, connect
from perflab.services.docker.place import DATA_LABEL, KEPT_LABEL, Place
from perflab.services.embedded.kept import CACHE_LIMIT_BYTES

FOLDER = "data"
"""The folder of a volume in which the data lies; a mounted volume itself has a foreign owner."""
_BYTES_LABEL = "perflab.bytes"
_COPY = f"set -eu; cp -a /from/{FOLDER} /to/{FOLDER}"
_KEEP = f"""
set -eu
cd /from/{FOLDER}
LC_ALL=C pg_controldata . > /tmp/state
grep -q 'Database cluster state: *shut down$' /tmp/state ||
  {{ echo 'the server has not been shut down' >&2; exit 1; }}
needed=$(sed -n "s/^Latest checkpoint's REDO WAL file: *//p" /tmp/state)
to=/to/{FOLDER}
mkdir $to $to/pg_wal
for entry in *; do
  case $entry in
    pg_wal|postmaster.pid|postmaster.opts) ;;
    *) cp -a "$entry" $to/ ;;
  esac
done
cp -a "pg_wal/$needed" pg_wal/archive_status $to/pg_wal/
rm -f $to/pg_stat/pg_stat_statements.stat $to/pg_stat_tmp/pgss_query_texts.stat
chown "$(stat -c %u:%g .)" $to $to/pg_wal
chmod 700 $to $to/pg_wal
sync
du -sk $to | cut -f 1
"""
"""Without the segments of WAL that a bulk load leaves behind and nobody needs, and without the
statements counted so far."""


class Kept(msgspec.Struct, frozen=True):
    """Loaded data that is kept."""

    name: str
    volume: str
    size_bytes: int
    used: float
    """When it was used last, as a POSIX time."""


def make_volume(client: Any, place: Place, name: str, labels: dict[str, str] | None = None) -> str:
    """A volume of the lab's; returns its name."""
    full = f"{place.name}-{name}"
    made = client.volumes.create(full, labels={**place.labels, **(labels or {})})
    if place.has_ended:
        made.remove(force=True)
        raise place.ended()
    return full


def fill(place: Place, image: str, source: str, dest: str) -> None:
    """Copy kept data into an empty volume."""
    recipe = Recipe(image=image, command=[_COPY], volumes={source: "/from", dest: "/to"})
    run_script(place, "copy", recipe, f"the data kept in {source} could not be copied")


def find_kept(client: Any, image: str, template: str) -> Kept | None:
    """The data kept under this name by a server of this image, marked as used just now."""
    name = _name(image, template)
    found = next((kept for kept in all_kept(client) if kept.name == name), None)
    if not template or found is None:
        return None
    note = _note(name)
    note.parent.mkdir(parents=True, exist_ok=True)
    note.touch()
    return found


def keep(client: Any, place: Place, image: str, source: str, template: str) -> None:
    """Copy the data of a server that is shut down into the cache, all of it or nothing."""
    name = _name(image, template)
    if find_kept(client, image, template):
        return
    _drop_dangling(client, name)
    volume = make_volume(client, place, f"kept-{secrets.token_hex(4)}", {KEPT_LABEL: name})
    recipe = Recipe(image=image, command=[_KEEP], volumes={source: "/from", volume: "/to"})
    try:
        said = run_script(place, "keep", recipe, "the loaded data could not be kept")
        size_bytes = int(said.strip() or 0) * 1024
        labels = {KEPT_LABEL: name, DATA_LABEL: volume, _BYTES_LABEL: str(size_bytes)}
        named = client.volumes.create(name, labels=labels)
        if named.attrs["Labels"].get(DATA_LABEL) != volume:
            _remove(client, volume)
    except BaseException:
        _remove(client, volume)
        raise
    trim(client, keep=name)


def _drop_dangling(client: Any, name: str) -> None:
    """Remove a name whose data is gone, so that it can be given again."""
    with contextlib.suppress(NotFound):
        named = client.volumes.get(name)
        try:
            client.volumes.get((named.attrs["Labels"] or {}).get(DATA_LABEL, ""))
        except NotFound:
            named.remove()


def all_kept(client: Any) -> list[Kept]:
    """Everything that is kept and complete."""
    volumes = client.volumes.list(filters={"label": KEPT_LABEL})
    there = {volume.name for volume in volumes}
    found = []
    for volume in volumes:
        labels = volume.attrs["Labels"]
        if labels.get(DATA_LABEL, "") in there:
            size = int(labels.get(_BYTES_LABEL, "0"))
            found.append(Kept(volume.name, labels[DATA_LABEL], size, _used(volume.name)))
    return found


def trim(client: Any, keep: str = "", limit_bytes: int = CACHE_LIMIT_BYTES) -> list[str]:
    """Remove the least recently used data until the rest fits; returns the names of the removed."""
    entries = sorted(all_kept(client), key=lambda kept: kept.used)
    total = sum(kept.size_bytes for kept in entries)
    removed = []
    for kept in entries:
        if total <= limit_bytes:
            break
        if kept.name != keep and drop(client, kept):
            total -= kept.size_bytes
            removed.append(kept.name)
    return removed


def kept_here() -> list[Kept]:
    """Everything that this machine's Docker keeps; nothing where there is none."""
    try:
        with contextlib.closing(connect()) as client:
            return all_kept(client)
    except (NoDaemon, *DAEMON_ERRORS):
        return []


def drop_all() -> int:
    """Remove everything that is kept and not being copied at this moment; the bytes freed."""
    try:
        with contextlib.closing(connect()) as client:
            return sum(kept.size_bytes for kept in all_kept(client) if drop(client, kept))
    except (NoDaemon, *DAEMON_ERRORS):
        return 0


def drop(client: Any, kept: Kept) -> bool:
    """Remove kept data; False where a lab is copying it at this moment."""
    # the name first: data without a name is nobody's
    if not (_remove(client, kept.name) and _remove(client, kept.volume)):
        return False
    _note(kept.name).unlink(missing_ok=True)
    return True


def _remove(client: Any, name: str) -> bool:
    try:
        client.volumes.get(name).remove(force=True)
    except NotFound:
        return True
    except DAEMON_ERRORS:
        return False
    return True


def _name(image: str, template: str) -> str:
    digest = hashlib.sha256(f"{image} {template}".encode()).hexdigest()[:20]
    return f"perflab-data-{digest}"


def _note(name: str) -> Path:
    """A file whose time is when the data was used last: a volume's labels cannot be changed."""
    return cache_dir() / "docker" / "used" / name


def _used(name: str) -> float:
    try:
        return _note(name).stat().st_mtime
    except OSError:
        return 0.0

"""The configuration that makes nginx a shared HTTP cache which can be purged for certain.

What nginx honours of its own: ``Cache-Control`` (``max-age``, ``s-maxage``, ``no-store``,
``private``, ``stale-while-revalidate``, ``stale-if-error``), ``Expires``, ``ETag`` and
``Last-Modified`` towards both sides, ``Set-Cookie`` (such a response is not stored).

What is arranged here:

- The cache key holds the content coding that was chosen for the client, and the origin is asked
  for exactly that one. So every variant of a URL lies in a file whose name is known. A response
  that varies by anything but ``Accept-Encoding`` is not stored.
- A URL is stored under one spelling only (``names.CANONICAL``); others go through to the origin.
- Requests with ``Authorization`` go through to the origin, and their responses are not stored.
- Stale responses are served only as far as the response's own ``stale-while-revalidate`` and
  ``stale-if-error`` allow. nginx takes the former as permission after errors, too.
- ``Cache-Status`` (RFC 9211) gets a member for this edge, ``CDN-Loop`` (RFC 8586) its name.
- ``open_file_cache`` stays off: with it, purged files would go on being served.

What nginx cannot say or do:

- It sends no ``Age``, and its member of ``Cache-Status`` has no ``ttl`` and no ``stored``. The
  origin's ``Date`` is passed on, so that clients can tell the age of a response by themselves
  (RFC 9111 §4.2.3).
- A 304 from the origin extends the time of a stored response; other fields of the 304 are not
  taken over (RFC 9111 §4.3.4 wants that).
- It ignores ``Cache-Control`` in requests, ``must-revalidate``, and, of its own, fields for
  caches only (RFC 9213): ``OriginMiddleware`` sees to the last two.
- ``no-cache`` in a response means that it is not stored at all.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from perflab.arguments import check_seconds
from perflab.cache.edge.names import CANONICAL
from perflab.cache.edge.protocol import EdgeError

CLIENT_FIELD: Final = "X-Edge-Client-Cache-Control"
"""What the client shall read as ``Cache-Control``, where the edge read another one."""
NO_CLIENT_FIELD: Final = "-"
"""Its value where the client shall read none."""
STATE_FIELD: Final = "X-Edge-State"
"""In which the origin reads how the edge came to ask it, in nginx's words."""
EXPIRED: Final = "EXPIRED"
"""The edge has a response whose time is over."""
FAILED_STALE: Final = 599
"""The status of an origin that failed where the edge has an expired response."""
IDENTITY: Final = "identity"
LEVELS: Final = (1, 2)
"""Of folders below the cache's: digits of the file name's end that each takes."""

_TOKEN = re.compile(r"[A-Za-z][A-Za-z0-9._-]*")
_HOST = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")
_FOLDER = re.compile(r"/[A-Za-z0-9._/+@~-]+")


class NginxSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One nginx edge. An EdgeError names a setting that cannot be."""

    port: int
    """Where it listens."""
    origin_port: int
    folder: str
    """Where it keeps responses; the purging process must be able to remove files there."""
    host: str = "127.0.0.1"
    origin_host: str = "127.0.0.1"
    name: str = "perflab-edge"
    """Of this edge, in ``Cache-Status`` and ``CDN-Loop``."""
    codings: tuple[str, ...] = ("br", "gzip")
    """Content codings that the origin can produce, the best first."""
    max_mb: int = 256
    """Of stored responses; beyond that the least recently used go."""
    keys_mb: int = 10
    """For their keys: some 8,000 a megabyte."""
    inactive_s: int = 86_400
    """Responses that nobody asked for so long go, fresh or not."""
    connect_timeout_s: float = 1.0
    longest_response_s: float = 30.0
    """What the origin may take. ``OriginMiddleware`` keeps the origin to it."""

    def __post_init__(self) -> None:
        for name in ("port", "origin_port"):
            number = getattr(self, name)
            _require(_is_whole(number) and number < 65_536, name, number, "a port number")
        for name, host in (("host", self.host), ("origin_host", self.origin_host)):
            _require(_is(_HOST, host), name, host, "a host name or address")
        _require(_is(_FOLDER, self.folder), "folder", self.folder, "an absolute, plain path")
        _require(_is(_TOKEN, self.name), "name", self.name, "a token such as perflab-edge")
        codings_are_fine = isinstance(self.codings, tuple) and (
            all(_is(_TOKEN, coding) and coding != IDENTITY for coding in self.codings)
            and len(set(self.codings)) == len(self.codings)
        )
        _require(codings_are_fine, "codings", self.codings, "a tuple of codings, each once")
        for name in ("max_mb", "keys_mb", "inactive_s"):
            number = getattr(self, name)
            _require(_is_whole(number), name, number, "a whole number, more than 0")
        for name in ("connect_timeout_s", "longest_response_s"):
            check_seconds(name, getattr(self, name), EdgeError)

    @property
    def variants(self) -> tuple[str, ...]:
        """The codings under which a URL may be stored."""
        return (*self.codings, IDENTITY)


def render(settings: NginxSettings) -> str:
    """Directives for the ``http`` block: maps, the cache, the origin and a server."""
    codings = "\n".join(f'    "~*{_accepts(coding)}" {coding};' for coding in settings.codings)
    return _TEMPLATE.format(
        s=settings,
        name=settings.name,
        codings=codings,
        canonical=CANONICAL,
        looped=rf"(?:^|,)\s*{re.escape(settings.name)}\s*(?:[;,]|$)",
        client="$upstream_http_" + CLIENT_FIELD.lower().replace("-", "_"),
        client_field=CLIENT_FIELD,
        no_client_field=NO_CLIENT_FIELD,
        identity=IDENTITY,
        state_field=STATE_FIELD,
        failed_stale=FAILED_STALE,
        levels=":".join(map(str, LEVELS)),
        connect_ms=round(settings.connect_timeout_s * 1000),
        longest_ms=round(settings.longest_response_s * 1000),
        authority=f"{settings.origin_host}:{settings.origin_port}",
    )


def _accepts(coding: str) -> str:
    """What an ``Accept-Encoding`` looks like that allows ``coding`` (RFC 9110 §12.5.3)."""
    weight = r"(?:\s*;\s*q=(?:1(?:\.0*)?|0?\.\d*[1-9]\d*))?"
    return rf"(?:^|,)\s*{re.escape(coding)}{weight}\s*(?:,|$)"


def _is(form: re.Pattern[str], text: object) -> bool:
    return isinstance(text, str) and form.fullmatch(text) is not None


def _is_whole(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and number > 0


def _require(condition: object, name: str, value: object, wanted: str) -> None:
    if not condition:
        raise EdgeError(f"{name} of an nginx edge must be {wanted}, not {value!r}")


_TEMPLATE: Final = """\
# The one coding that a client is served, and that the origin is asked for.
map $http_accept_encoding $edge_coding {{
    default {identity};
{codings}
}}
# Other spellings of a URL are not stored: its purge would not find them.
map $request_uri $edge_odd_spelling {{
    default 1;
    "~{canonical}" "";
}}
# Volatile: a refresh in the background shares the variables of the request that it serves.
map $upstream_http_vary $edge_other_vary {{
    volatile;
    default 1;
    "" "";
    "~*^[\\s,]*(?:accept-encoding[\\s,]*)*$" "";
}}
# A failure must not take the place of what stale-if-error would serve; the 4xx: RFC 6585.
map $upstream_status $edge_failed {{
    volatile;
    default "";
    "~(?:5\\d\\d|428|429|431)$" 1;
}}
map {client} $edge_client_cache_control {{
    volatile;
    default {client};
    "" $upstream_http_cache_control;
    "{no_client_field}" "";
}}
map "$upstream_cache_status $upstream_status" $edge_member {{
    volatile;
    default "{name}; fwd=method";
    "~^HIT " "{name}; hit";
    "~^STALE {failed_stale} " "{name}; fwd=stale; detail=STALE";
    "~^STALE .*?(?<edge_error>\\d+)$" "{name}; fwd=stale; fwd-status=$edge_error; detail=STALE";
    "~^STALE " "{name}; hit; detail=STALE";
    "~^UPDATING " "{name}; hit; detail=UPDATING";
    "~^REVALIDATED " "{name}; fwd=stale; fwd-status=304";
    "~^EXPIRED " "{name}; fwd=stale";
    "~^MISS " "{name}; fwd=uri-miss";
    "~^BYPASS " "{name}; fwd=bypass";
}}
map $upstream_http_cache_status $edge_cache_status {{
    volatile;
    default "$upstream_http_cache_status, $edge_member";
    "" $edge_member;
}}
map $http_cdn_loop $edge_loop {{
    default "$http_cdn_loop, {name}";
    "" {name};
}}
map $http_cdn_loop $edge_looped {{
    default "";
    "~*{looped}" 1;
}}
proxy_cache_path "{s.folder}" levels={levels} keys_zone=perflab_edge:{s.keys_mb}m
    max_size={s.max_mb}m inactive={s.inactive_s}s use_temp_path=off;
upstream perflab_edge_origin {{
    server {authority} max_fails=0;
    keepalive 32;
}}
# Nothing answers here, so that what is stored is served if its stale-if-error allows it.
upstream perflab_edge_nobody {{
    server {authority} down;
}}
proxy_cache_key "$edge_coding $host$request_uri";
proxy_cache_bypass $http_authorization $edge_odd_spelling;
proxy_no_cache $http_authorization $edge_odd_spelling $edge_other_vary $edge_failed;
proxy_ignore_headers Vary;
proxy_cache_revalidate on;
proxy_cache_background_update on;
proxy_cache_lock on;
proxy_cache_lock_age {longest_ms}ms;
proxy_cache_lock_timeout {longest_ms}ms;
# The head of a stored response with 16 KB of tags must fit.
proxy_buffer_size 32k;
proxy_buffers 8 32k;
proxy_http_version 1.1;
proxy_set_header Connection "";
proxy_set_header Host $http_host;
proxy_set_header Accept-Encoding $edge_coding;
proxy_set_header CDN-Loop $edge_loop;
proxy_set_header {state_field} $upstream_cache_status;
proxy_set_header X-Forwarded-Host $http_host;
proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
proxy_set_header X-Forwarded-Proto $scheme;
proxy_connect_timeout {connect_ms}ms;
proxy_send_timeout {longest_ms}ms;
proxy_read_timeout {longest_ms}ms;
proxy_pass_header Date;
proxy_hide_header Cache-Control;
proxy_hide_header Cache-Status;
proxy_hide_header Cache-Tag;
proxy_hide_header CDN-Cache-Control;
proxy_hide_header {client_field};
add_header Cache-Control $edge_client_cache_control always;
add_header Cache-Status $edge_cache_status always;
proxy_intercept_errors on;
server {{
    listen {s.host}:{s.port};
    error_page {failed_stale} = @stale;
    if ($edge_looped) {{
        return 508;
    }}
    location / {{
        proxy_pass http://perflab_edge_origin;
        proxy_cache perflab_edge;
    }}
    location @stale {{
        proxy_pass http://perflab_edge_nobody;
        proxy_cache perflab_edge;
    }}
}}
"""

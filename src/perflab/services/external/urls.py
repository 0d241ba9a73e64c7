"""The URLs of the user's own servers: where they are given, and how a bad one is refused.

A URL holds a password, and a mistyped one can hold it anywhere. So no message quotes the URL, and
none is raised while an error that quotes it is being handled: it would travel as the context.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable

from perflab.services.addresses import ServiceName
from perflab.services.errors import RungUnavailable

URL_ENV: dict[ServiceName, str] = {"postgres": "PERFLAB_POSTGRES_URL", "redis": "PERFLAB_REDIS_URL"}
"""The environment variables that name the user's own servers."""
EXAMPLES: dict[ServiceName, str] = {
    "postgres": "postgresql://USER:PASSWORD@HOST:5432/DATABASE",
    "redis": "redis://USER:PASSWORD@HOST:6379/0",
}
CONNECT_S = 5
"""How long a server may take to answer, where its URL does not say."""


def given(service: ServiceName) -> str:
    """The URL that the user set for a service; empty where there is none."""
    return os.environ.get(URL_ENV[service], "").strip()


def refusal(service: ServiceName, reason: str, advice: str) -> RungUnavailable:
    """The error that says why the server of a URL cannot serve and what to do."""
    return RungUnavailable(f"{URL_ENV[service]} {reason}; {advice}")


def explained(
    service: ServiceName,
    said: str,
    password: str,
    where: str,
    table: Iterable[tuple[str, str, str]],
) -> RungUnavailable:
    """The refusal for what a driver or server said, in the words of the first pattern that fits.

    ``table`` has a pattern, a reason and an advice each; ``{where}`` and ``{said}`` are filled in,
    unless what was said holds the password.
    """
    shown = "no reason that can be shown" if password and password in said else said
    for pattern, reason, advice in table:
        if re.search(pattern, said, re.IGNORECASE):
            return refusal(service, reason.format(where=where, said=shown), advice)
    return refusal(service, f"is refused by {where}: {shown}", "correct the URL or the server")


def malformed(service: ServiceName, what: str = "is not a URL that can be read") -> RungUnavailable:
    """The error for a URL that cannot be read."""
    return refusal(
        service,
        what,
        f"write {EXAMPLES[service]} with special characters of user name and password"
        " percent-encoded (@ is %40, : is %3A, / is %2F, ? is %3F, # is %23)",
    )


def after_scheme(
    service: ServiceName, url: str, schemes: Collection[str], authority_ends: str
) -> str:
    """What follows ``scheme://``, where nothing in it can be a part of the password gone astray.

    ``authority_ends`` are the characters that end ``user:password@host``. An ``@`` after the first
    or behind that end shows that the password holds a character that ought to be encoded, and that
    what looks like the host is a piece of it. A RungUnavailable otherwise.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in schemes:
        known = ", ".join(f"{name}://" for name in schemes)
        raise malformed(service, f"does not begin with one of {known}")
    if any(char.isspace() or not char.isprintable() for char in url):
        raise malformed(service, "holds a blank or a control character")
    end = min((i for char in authority_ends if (i := rest.find(char)) >= 0), default=len(rest))
    path = rest[end:].partition("?")[0] if rest[end : end + 1] == "/" else rest[end:]
    if rest[:end].count("@") > 1 or "@" in path:
        raise malformed(service, "holds a special character that is not encoded")
    return rest

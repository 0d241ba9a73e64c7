"""One component for negotiation, ETags, conditions, ``Vary`` and 304 (RFC 9110).

``respond`` is the logic alone; ``Responder`` is it for an event loop, with compressed bodies kept
in a ``VariantStore``; ``ResponsesMiddleware`` puts it around any ASGI application.
"""

from __future__ import annotations

from perflab.api.responses.codings import (
    Coding,
    brotli_coding,
    gzip_coding,
    installed_codings,
    zstd_coding,
)
from perflab.api.responses.errors import ResponseError
from perflab.api.responses.middleware import MiddlewareStats, ResponsesMiddleware
from perflab.api.responses.negotiation import acceptable
from perflab.api.responses.representation import Representation, Response
from perflab.api.responses.respond import THRESHOLD_BYTES, respond
from perflab.api.responses.responder import Responder, ResponderStats
from perflab.api.responses.validators import EntityTag, content_hash
from perflab.api.responses.variants import (
    MemoryVariants,
    VariantStats,
    VariantStore,
)

__all__ = [
    "THRESHOLD_BYTES",
    "Coding",
    "EntityTag",
    "MemoryVariants",
    "MiddlewareStats",
    "Representation",
    "Responder",
    "ResponderStats",
    "Response",
    "ResponseError",
    "ResponsesMiddleware",
    "VariantStats",
    "VariantStore",
    "acceptable",
    "brotli_coding",
    "content_hash",
    "gzip_coding",
    "installed_codings",
    "respond",
    "zstd_coding",
]

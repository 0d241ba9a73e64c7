"""``GET /openapi.json``: the API's description (OpenAPI 3.1), made of the routes themselves."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

import perflab
from perflab.api.authentication import SCHEME
from perflab.api.bodies import Query, encode, json_response
from perflab.api.problems import PROBLEM_JSON, ProblemBody
from perflab.api.routing import IDEMPOTENCY_KEY, Operation, Resource, resource
from perflab.ratelimit.headers import Problem as QuotaProblem

PATH: Final = "/openapi.json"

Document = dict[str, Any]
Charged = Callable[[str], Sequence[str]]
"""The policies that are charged for a path."""

_REFS: Final = "#/components/schemas/{name}"
_NEGOTIATED: Final = (304, 406, 412)
"""What becomes of a GET by its conditions and ``Accept-Encoding``."""
_HEADERS: Final[dict[str, str]] = {
    "ETag": "Of this representation under its content coding; for If-None-Match.",
    "Idempotency-Replayed": "`true` where this was done before, under the same key.",
    "Location": "The path of what was created.",
    "RateLimit": "What is left of each quota (draft-ietf-httpapi-ratelimit-headers).",
    "RateLimit-Policy": "The quotas that the request was charged to.",
    "Retry-After": "Seconds.",
    "WWW-Authenticate": "How to authenticate.",
}
_SAID_BY: Final = {401: "WWW-Authenticate", 429: "Retry-After", 503: "Retry-After"}


class Documentation:
    """The endpoint of the description.

    Args:
        resources: what is described, besides this endpoint.
        charged: the policies of a path.
    """

    def __init__(self, resources: Iterable[Resource], charged: Charged) -> None:
        self._own = resource(PATH, get=Operation(self.get, {200: Document}, anybody=True))
        self._body = encode(describe([*resources, self._own], charged))

    def routes(self) -> list[Resource]:
        """The routes of these endpoints."""
        return [self._own]

    async def get(self, request: Request) -> Response:
        """This description."""
        return json_response(self._body, cache_control="public, no-cache")


def describe(resources: Sequence[Resource], charged: Charged) -> Document:
    """The description of these resources."""
    schemas = _Schemas(resources)
    paths = {}
    for one in resources:
        policies = charged(one.path)
        paths[one.path] = {
            "parameters": [
                {"name": name, "in": "path", "required": True, "schema": schemas[type_]}
                for name, type_ in one.parameters.items()
            ],
            **{
                method.lower(): _Described(one, method, operation, policies, schemas).document()
                for method, operation in one.operations.items()
            },
        }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "perflab",
            "version": perflab.__version__,
            "description": (inspect.getdoc(perflab) or "").strip(),
        },
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "responses": schemas.responses,
            "headers": {
                name: {"description": text, "schema": {"type": "string"}}
                for name, text in _HEADERS.items()
            },
            "securitySchemes": {"session": {"type": "http", "scheme": SCHEME.lower()}},
        },
    }


class _Schemas:
    """The JSON schemas of all types that the resources speak of, and the responses in common."""

    def __init__(self, resources: Iterable[Resource]) -> None:
        types = [ProblemBody, QuotaProblem]
        for one in resources:
            types += one.parameters.values()
            for operation in one.operations.values():
                types += [type_ for type_ in operation.answers.values() if type_ is not None]
                if operation.takes is not None and not isinstance(operation.takes, Query):
                    types.append(operation.takes.shown)
        found, components = msgspec.json.schema_components(types, ref_template=_REFS)
        self._found = dict(zip(types, found, strict=True))
        self.components: Mapping[str, Any] = components
        self.responses: dict[str, Document] = {}

    def __getitem__(self, type_: Any) -> dict[str, Any]:
        return self._found[type_]


@dataclass(frozen=True)
class _Described:
    """One operation, and what is known around it."""

    resource: Resource
    method: str
    operation: Operation[Any]
    policies: Sequence[str]
    """That it is charged to."""
    schemas: _Schemas

    def document(self) -> Document:
        """What the description says of it."""
        path, operation = self.resource.path, self.operation
        summary, _, description = (inspect.getdoc(operation.handler) or "").partition("\n\n")
        found: Document = {
            "operationId": re.sub(r"\W+", "_", f"{self.method.lower()}{path}").strip("_"),
            "tags": [path.split("/")[1].partition(".")[0]],
            "summary": " ".join(summary.split()),
            "responses": {str(status): self._response(status) for status in self._statuses()},
        }
        if description:
            found["description"] = " ".join(description.split())
        if not operation.anybody:
            found["security"] = [{"session": []}]
        if operation.repeatable:
            key = {"type": "string", "pattern": r"^[\x21-\x7e]{1,255}$"}
            found["parameters"] = [{"name": IDEMPOTENCY_KEY, "in": "header", "schema": key}]
        if isinstance(operation.takes, Query):
            found["parameters"] = _parameters(operation.takes.shown)
        elif operation.takes is not None:
            content = {"application/json": {"schema": self.schemas[operation.takes.shown]}}
            found["requestBody"] = {"required": True, "content": content}
        return found

    def _statuses(self) -> list[int]:
        """Every status that it may be answered with, but for what a defect would be."""
        operation = self.operation
        found = {*operation.answers, *operation.problems}
        if not operation.anybody:
            found.add(401)
        if operation.takes is not None:
            found.update(operation.takes.problems)
        if operation.repeatable:
            found.update((400, 422))
        if self.resource.parameters:
            found.add(404)
        if self.method == "GET":
            found.update(_NEGOTIATED)
        if self.policies:
            found.add(429)
        # whoever asks with a token may have to wait for PostgreSQL to know them
        found.add(503)
        return sorted(found)

    def _response(self, status: int) -> Document:
        """One response; what is the same for many operations is described once."""
        if status in self.operation.answers:
            return self._own_response(status)
        name = HTTPStatus(status).name + ("" if self.policies else "_FREE")
        if name not in self.schemas.responses:
            self.schemas.responses[name] = self._own_response(status)
        return {"$ref": f"#/components/responses/{name}"}

    def _own_response(self, status: int) -> Document:
        found: Document = {"description": HTTPStatus(status).phrase}
        headers = ["RateLimit", "RateLimit-Policy"] if self.policies else []
        if status in _SAID_BY:
            headers.append(_SAID_BY[status])
        if status == 201 and self.operation.repeatable:
            headers += ["Idempotency-Replayed", "Location"]
        if status == 304 or (status == 200 and self.method == "GET"):
            headers.append("ETag")
        if headers:
            found["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in headers}
        content = self._content(status)
        if content:
            found["content"] = content
        return found

    def _content(self, status: int) -> Document:
        found: Document = {}
        answer = self.operation.answers.get(status)
        if answer is str:
            found["text/plain"] = {"schema": self.schemas[str]}
            found["application/openmetrics-text"] = {"schema": self.schemas[str]}
        elif answer is not None:
            found["application/json"] = {"schema": self.schemas[answer]}
        if status >= 400:
            problems = [] if status == 429 else [self.schemas[ProblemBody]]
            if self.policies and status in (429, 503):
                problems.append(self.schemas[QuotaProblem])
            schema = problems[0] if len(problems) == 1 else {"anyOf": problems}
            found[PROBLEM_JSON] = {"schema": schema}
        return found


def _parameters(query: Any) -> list[Document]:
    """A Struct's fields as parameters of a query string."""
    schema = msgspec.json.schema(query)
    [described] = schema["$defs"].values()
    return [
        {"name": name, "in": "query", "required": name in described["required"], "schema": of}
        for name, of in described["properties"].items()
    ]

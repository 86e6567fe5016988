"""The OpenAPI file of the server, made from the routes themselves, so that it cannot say anything else."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from penstock.access.routes import JSON_TYPE
from penstock.http.errors import ErrorBody
from penstock.http.routes import UPLOAD_TYPE, ApiRoute, Description

REF = "#/components/schemas/{name}"
PATH = "/api/v1/openapi.json"
DESCRIPTION = Description(role="viewer", summary="This file.", answer=dict[str, Any])
BYTES = {"schema": {"type": "string", "format": "binary"}}
FILE = {UPLOAD_TYPE: BYTES}
OBJECT = {"type": "object"}
ANYTHING: dict[str, dict[str, Any]] = {"text/event-stream": {}}
"""Types whose content no schema describes."""


def document(routes: Sequence[ApiRoute]) -> dict[str, Any]:
    """The OpenAPI 3.1 document of some routes."""
    kinds: list[Any] = [ErrorBody]
    for route in routes:
        described = route.description
        said = (described.query, described.body, described.answer, described.other_answer, described.error)
        kinds += [kind for kind in said if kind is not None]
    schemas, components = msgspec.json.schema_components(kinds, ref_template=REF)
    schema_of = dict(zip(map(repr, kinds), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        operation = describe(route, schema_of, components)
        paths.setdefault(route.path_format, {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "Penstock", "version": version("penstock")},
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
        "security": [{"key": []}],
    }


def describe(route: ApiRoute, schema_of: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    described = route.description
    done = str(described.status)
    error = json_content(schema_of[repr(described.error or ErrorBody)])
    operation: dict[str, Any] = {
        "operationId": operation_id(route),
        "summary": described.summary,
        "responses": {
            done: {"description": "Done."},
            "default": {"description": "What went wrong, and what to do.", "content": error},
        },
    }
    if described.role is None:
        operation["security"] = []
    else:
        operation["description"] = f"Needs the role {described.role}."
    answer = OBJECT if described.answer is None else schema_of[repr(described.answer)]
    if described.other_answer is not None:
        answer = {"anyOf": [answer, schema_of[repr(described.other_answer)]]}
    operation["responses"][done]["content"] = {
        kind: {"schema": answer} if kind == JSON_TYPE else ANYTHING.get(kind, BYTES)
        for kind in described.answer_types
    }
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in route.param_convertors
    ]
    if described.query is not None:
        parameters += query_parameters(components[described.query.__name__])
    if parameters:
        operation["parameters"] = parameters
    if described.body is not None:
        body: dict[str, Any] = {"schema": schema_of[repr(described.body)]}
        if described.example is not None:
            body["example"] = described.example
        content = {kind: FILE.get(kind, body) for kind in route.media_types}
        operation["requestBody"] = {"required": True, "content": content}
    elif described.upload:
        operation["requestBody"] = {"required": True, "content": FILE}
    return operation


def operation_id(route: ApiRoute) -> str:
    """`get_v1_models` for GET /v1/models."""
    words = route.path_format.replace("{", "").replace("}", "").split("/")
    return "_".join([route.method.lower(), *filter(None, words)])


def query_parameters(schema: dict[str, Any]) -> list[dict[str, Any]]:
    required = set(schema.get("required", ()))
    return [
        {"name": name, "in": "query", "required": name in required, "schema": each}
        for name, each in schema["properties"].items()
    ]


def json_content(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def route(routes: Sequence[ApiRoute]) -> ApiRoute:
    """The route that serves the document of `routes` and of itself."""

    async def openapi(request: Request) -> Response:
        return Response(encoded, media_type="application/json")

    own = ApiRoute("GET", PATH, openapi, DESCRIPTION)
    encoded = msgspec.json.encode(document([*routes, own]))
    return own

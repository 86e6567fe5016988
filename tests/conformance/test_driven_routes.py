"""No route under /v1 without a test that an official client drives, and none undescribed."""

from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from support.driven import declared, pattern_of
from support.real_gateway import RealGateway

ROOT = Path(__file__).parents[2]
FOR_EVERYBODY = {"/health/live", "/health/ready"}


@pytest.fixture(scope="module")
def document(keyed_gateway: RealGateway) -> dict[str, Any]:
    found: dict[str, Any] = keyed_gateway.ask("GET", "/api/v1/openapi.json", key=keyed_gateway.secrets["owner"])
    return found


def routes(document: dict[str, Any]) -> list[str]:
    return [f"{method.upper()} {path}" for path, each in document["paths"].items() for method in each]


def test_an_official_client_drives_every_route(document: dict[str, Any]) -> None:
    served = [route for route in routes(document) if " /v1/" in route]
    driven = declared(ROOT / "tests")
    assert len(served) > 25
    assert [route for route in served if route not in driven] == [], "mark a test with @pytest.mark.drives(route)"
    assert [route for route in driven if route not in served] == [], "these are not served"


def test_the_document_is_openapi(document: dict[str, Any]) -> None:
    OpenAPIV31SpecValidator(document).validate()
    ids = [each["operationId"] for operations in document["paths"].values() for each in operations.values()]
    assert len(ids) == len(set(ids))


def test_the_document_says_who_may_do_what(document: dict[str, Any]) -> None:
    assert document["components"]["securitySchemes"]["key"] == {"type": "http", "scheme": "bearer"}
    assert document["security"] == [{"key": []}]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if path in FOR_EVERYBODY:
                assert operation["security"] == []
            else:
                assert "security" not in operation
                assert operation["description"].startswith("Needs the role ")


def test_the_main_routes_have_an_example_that_is_taken(
    document: dict[str, Any], keyed_gateway: RealGateway
) -> None:
    owner, shown = keyed_gateway.secrets["owner"], 0
    for path, operations in document["paths"].items():
        content = operations.get("post", {}).get("requestBody", {}).get("content", {}).get("application/json", {})
        if "example" not in content:
            continue
        example, shown = content["example"], shown + 1
        if path.startswith("/v1/"):
            here = path in ("/v1/embeddings", "/v1/rerank")
            model = "claude" if path.startswith("/v1/messages") else "all-minilm-l6-v2" if here else "any"
            example |= {"model": model}
        target = path.replace("{name}", "docs").replace("{store_id}", "docs")
        try:
            keyed_gateway.send(target, example, owner)
        except HTTPError as error:
            pytest.fail(f"{path} {example}: {error.read()!r}")
    assert shown > 10


def test_the_docs_name_every_route(document: dict[str, Any]) -> None:
    page = (ROOT / "docs" / "api.md").read_text()
    assert [route for route in routes(document) if f"`{route}`" not in page] == []


def test_a_pattern_takes_one_part_only() -> None:
    pattern = pattern_of("GET /v1/files/{file_id}/content")
    assert pattern.fullmatch("GET /v1/files/file-1/content")
    assert not pattern.fullmatch("GET /v1/files/file-1/x/content")
    assert not pattern.fullmatch("POST /v1/files/file-1/content")

"""Asks every route of an OpenAPI document for everything and for nonsense, and says what answers are wrong.

What a body or a path names is made to exist where it is well formed (`aim`), so that more than the first check of a
route is reached.
"""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import hypothesis
import requests
import schemathesis
from hypothesis import HealthCheck, Phase
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]


@dataclass
class Fuzz:
    """`examples` are asked for of each route, well formed and ill formed. `problems` are what was wrong."""

    url: str
    document: dict[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)
    examples: int = 10
    problems: dict[str, str] = field(default_factory=dict)
    statuses: dict[str, set[int]] = field(default_factory=dict)

    def run(self, *without: str) -> None:
        """All routes, but for those named `without`: `POST /api/v1/keys`."""
        with requests.Session() as session:
            schema = schemathesis.openapi.from_dict(self.document)
            for found in schema.get_all_operations():
                operation = found.ok()
                if operation.label in without:
                    continue
                for mode in GenerationMode:
                    self._ask(operation, mode, session)

    def _ask(self, operation: APIOperation, mode: GenerationMode, session: requests.Session) -> None:
        if mode is GenerationMode.NEGATIVE and not takes_anything(operation):
            return

        def ask(case: Case) -> None:
            try:
                response = case.call(self.url, session, dict(self.headers), timeout=30)
            except requests.exceptions.InvalidHeader:
                return  # which the client does not send
            self._judge(case, response)

        examples = 1 if not takes_anything(operation) else self.examples
        settled = hypothesis.settings(
            max_examples=examples,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        try:
            settled(hypothesis.given(operation.as_strategy(generation_mode=mode))(ask))()
        except hypothesis.errors.Unsatisfiable:
            assert mode is GenerationMode.NEGATIVE, operation.label  # where every text is well formed

    def _judge(self, case: Case, response: Any) -> None:
        label = case.operation.label
        self.statuses.setdefault(label, set()).add(response.status_code)
        if response.status_code >= 500:
            self.problems.setdefault(f"{label} {response.status_code}", told(case, response))
        for check in CHECKS:
            try:
                case.validate_response(response, checks=[check])
            except (Failure, FailureGroup) as failure:
                key = f"{label} {response.status_code} {check.__name__}"
                self.problems.setdefault(key, f"{failure}\n{told(case, response)}")


def takes_anything(operation: APIOperation) -> bool:
    """Whether there is more than one request to make."""
    return bool(operation.body) or any(list(each) for each in parameters(operation))


def parameters(operation: APIOperation) -> Iterator[Any]:
    yield from (operation.path_parameters, operation.query)


def told(case: Case, response: Any) -> str:
    return f"{case.as_curl_command()[:600]}\n{response.content[:600]!r}"


def aim(document: dict[str, Any], models: list[str], names: Mapping[str, list[str]]) -> dict[str, Any]:
    """The document with values that exist for `model` of a body and for parts of paths, by the part's name."""
    aimed = copy.deepcopy(document)
    del aimed["security"]  # the right key is always shown
    for operations in aimed["paths"].values():
        for operation in operations.values():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                name = content["schema"].get("$ref", "").rpartition("/")[2]
                schema = aimed["components"]["schemas"].get(name, {})
                if "model" in schema.get("properties", {}):
                    schema["properties"]["model"] = {"enum": [*models, "no-such-model"]}
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "path" and parameter["name"] in names:
                    parameter["schema"] = {"enum": names[parameter["name"]]}
    return aimed

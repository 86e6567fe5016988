"""Every route of the server's own OpenAPI document, asked for all that it says it takes, and for nonsense."""

import pytest

pytest.importorskip("schemathesis", reason="fuzzing: pip install schemathesis")

from support.fuzzing import Fuzz, aim
from support.real_gateway import RealGateway

MODELS = ["big", "claude", "gem", "spread", "any", "docs"]
ENDS_LOCAL_MODE = "POST /api/v1/keys"


@pytest.fixture(params=["local", "keyed"])
def gateway(request: pytest.FixtureRequest) -> RealGateway:
    it: RealGateway = request.getfixturevalue(f"{request.param}_gateway")
    return it


def fuzz_of(gateway: RealGateway, examples: int) -> Fuzz:
    """What there is to find by its name: a document, a trace, a response, a project."""
    owner = gateway.secrets.get("owner")
    chat = {"model": "docs", "messages": [{"role": "user", "content": "How is the gate closed?"}]}
    trace = gateway.ask("POST", "/v1/chat/completions", chat, owner)["penstock"]["trace_id"]
    kept = gateway.ask("POST", "/v1/responses", {"model": "big", "input": "Hi"}, owner)["id"]
    documents = gateway.ask("GET", "/api/v1/knowledge/docs/documents", key=owner)["data"]
    names = {
        "name": ["docs", "big"],
        "number": ["0", "1"],
        "document_id": [documents[0]["id"]],
        "response_id": [kept],
        "trace_id": [trace],
        "project_id": ["local"],
    }
    document = gateway.ask("GET", "/api/v1/openapi.json", key=owner)
    headers = {"authorization": f"Bearer {owner}"} if owner else {}
    return Fuzz(gateway.url, aim(document, MODELS, names), headers, examples)


def check(gateway: RealGateway, fuzz: Fuzz) -> None:
    fuzz.run(*() if gateway.secrets else (ENDS_LOCAL_MODE,))
    assert not fuzz.problems, "\n\n".join(f"{what}\n{detail}" for what, detail in fuzz.problems.items())
    assert "Traceback" not in gateway.log.read_text()
    answered = {label for label, statuses in fuzz.statuses.items() if min(statuses) < 300}
    assert len(answered) > 30, sorted(set(fuzz.statuses) - answered)


def test_no_request_breaks_a_route_and_answers_are_as_documented(gateway: RealGateway) -> None:
    check(gateway, fuzz_of(gateway, 8 if gateway.secrets else 3))


@pytest.mark.slow
def test_nor_do_many_requests(gateway: RealGateway) -> None:
    check(gateway, fuzz_of(gateway, 100))

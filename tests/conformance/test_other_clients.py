"""The Vercel AI SDK and LlamaIndex in front of a whole server, each in an environment of its own."""

import json
import subprocess
from typing import Any

import pytest
from support.other_clients import llama, vercel
from support.real_gateway import RealGateway

MODELS = pytest.mark.parametrize("model", ["big", "claude"])
INSTALL = pytest.mark.parametrize(
    "install", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["as it is", "installed"]
)
EMBEDDER = "all-minilm-l6-v2"


def run(command: list[str], gateway: RealGateway, model: str) -> Any:
    arguments = [gateway.url, gateway.secrets["developer"], model, EMBEDDER]
    made = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=120)
    assert made.returncode == 0, made.stderr
    return json.loads(made.stdout)


@MODELS
def test_the_vercel_ai_sdk(keyed_gateway: RealGateway, model: str) -> None:
    found = run(vercel(install=True), keyed_gateway, model)
    assert found.pop("error")["status"] == 404
    assert found == {
        "chat": {"text": "Say three words", "reason": "stop", "tokens": 3},
        "stream": "Say three words",
        "tool": [["weather", {"city": "Bern"}]],
        "structured": {"city": "Bern"},
        "embeddings": [384, 384],
    }


@INSTALL
@MODELS
def test_llama_index(keyed_gateway: RealGateway, model: str, install: bool) -> None:
    assert run(llama(install=install), keyed_gateway, model) == {
        "chat": "Say three words",
        "stream": "Say three words",
        "complete": "Say three words",
        "tool": [["weather", {"city": "Bern"}]],
        "structured": {"city": "Bern"},
        "embeddings": [384, 384],
    }

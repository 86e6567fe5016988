"""What else on this machine could be used: named, and never used unasked."""

import json
from pathlib import Path

import pytest
from support.canned import serving

from penstock.cli.surroundings import key_offers, offers, ollama_model
from penstock.config import load


def test_an_ollama_is_found_by_its_newest_model() -> None:
    tags = {"models": [{"name": "llama3.2:latest"}, {"name": "qwen3:4b"}]}
    for body, found in (
        (json.dumps(tags).encode(), "llama3.2:latest"),
        (b'{"models": []}', None),
        (b'{"models": null}', None),
        (b"[]", None),
        (b"not JSON", None),
    ):
        with serving({"/api/tags": (200, body)}) as url:
            assert ollama_model(url) == found
    assert ollama_model(url) is None


def test_a_key_is_offered_and_not_read(documents: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MISTRAL_API_KEY", "sk-hidden")
    said = [offer for offer in key_offers() if "MISTRAL" in offer]
    assert said == ["MISTRAL_API_KEY is set; to compose answers with Mistral: --model mistral/NAME"]
    remote = load(documents, {("models", "default"): {"use": "openai/x"}})
    assert list(offers(remote)) == []

"""Vendors as data."""

import pytest

from penstock.config import Secret
from penstock.errors import ConfigError
from penstock.models.providers.vendors import remote, vendors


def test_vendors_by_name() -> None:
    assert {"openai", "ollama", "mistral", "groq", "deepseek", "together", "fireworks"} < set(vendors())
    assert {"openrouter", "xai", "vllm", "lmstudio", "llamacpp"} < set(vendors())
    found = remote("openai/gpt-4.1-mini")
    assert (found.model, found.base_url) == ("gpt-4.1-mini", "https://api.openai.com/v1")
    assert found.api_key == Secret.from_env("OPENAI_API_KEY")
    assert remote("openrouter/meta/llama-3").model == "meta/llama-3"
    assert remote("ollama/llama3.2").api_key is None
    assert remote("corp/x", "http://10.0.0.1:8000/v1/").base_url == "http://10.0.0.1:8000/v1"


def test_a_key_is_not_sent_to_another_address_unless_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert remote("openai/gpt-4.1", "http://127.0.0.1:9/v1").api_key is None


def test_a_misspelt_vendor() -> None:
    with pytest.raises(ConfigError, match=r"There is no vendor 'opnai' .*; did you mean 'openai'\?"):
        remote("opnai/gpt")
    with pytest.raises(ConfigError, match="'gpt-4' is not vendor/model"):
        remote("gpt-4")

"""Vendors as data."""

import pytest
from msgspec.structs import replace
from support.simulated import KEY, ask

from penstock.config import Secret
from penstock.errors import ConfigError, UpstreamFailed
from penstock.exchange import Parameters
from penstock.models.providers.remote import RemoteProvider
from penstock.models.providers.vendors import Account, remote, vendors
from penstock.testing import ProviderServer, Reply


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


def test_azure_by_its_two_kinds_of_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "secret")
    home = "https://my.openai.azure.com"
    for base_url in (home, f"{home}/", f"{home}/openai/v1", f"{home}/openai/v1/"):
        found = remote("azure/gpt-4.1", base_url)
        assert (found.base_url + found.path).format("/x") == f"{home}/openai/v1/x"
    account = Account(api_version="2024-10-21", deployment="my dep")
    found = remote("azure/gpt-4.1", home, account=account)
    assert found.path == "/openai/deployments/my%20dep{}?api-version=2024-10-21"
    assert found.model == "my dep"
    with pytest.raises(ConfigError, match=r"'azure/gpt-4.1' needs a base_url: Azure OpenAI gives every account"):
        remote("azure/gpt-4.1")


async def test_azure_sends_a_key_or_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENTRA", "token-1")
    monkeypatch.setenv("TEAM", "team-secret")
    async with ProviderServer() as server:
        for account, header, value in (
            (Account(api_version="2024-10-21"), "api-key", KEY),
            (Account(token=Secret.from_env("ENTRA")), "authorization", "Bearer token-1"),
        ):
            headers = (("X-Plain", "a"), ("X-Team", Secret.from_env("TEAM")))
            account = replace(account, headers=headers)
            key = None if account.token else Secret(KEY)
            settings = remote("azure/gpt-4.1", server.url, key, account)
            provider = RemoteProvider(settings)
            assert (await anext(provider.answer(ask()))).text == "Say three words"
            sent = server.received[-1]
            assert sent.headers[header] == value
            assert (sent.headers["x-plain"], sent.headers["x-team"]) == ("a", "team-secret")
            server.answers.append(Reply(status=400, body=b'{"error":{"message":"team-secret is bad"}}'))
            with pytest.raises(UpstreamFailed, match=r"\*\*\*\* is bad"):
                await anext(provider.answer(ask()))
            await provider.close()
        assert server.received[0].path == "/openai/deployments/gpt-4.1/chat/completions?api-version=2024-10-21"
        assert server.received[-1].path == "/openai/v1/chat/completions"


async def test_bedrock_signs_or_bears(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_BEARER_TOKEN_BEDROCK", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    use = "bedrock/amazon.nova-lite-v1:0"
    with pytest.raises(ConfigError, match="needs a region"):
        remote(use)
    account = Account(region="eu-central-1")
    assert remote(use, account=account).base_url == "https://bedrock-runtime.eu-central-1.amazonaws.com"
    monkeypatch.setenv("AWS_REGION", "us-west-2")
    assert remote(use).base_url == "https://bedrock-runtime.us-west-2.amazonaws.com"
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    with pytest.raises(ConfigError, match="Nothing says who asks bedrock"):
        RemoteProvider(remote(use))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEY)
    monkeypatch.setenv("AWS_SESSION_TOKEN", "session-1")
    async with ProviderServer() as server:
        provider = RemoteProvider(remote(use, server.url, account=account))
        assert (await anext(provider.answer(ask()))).text == "Say three words"
        sent = server.received[-1].headers
        assert sent["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
        assert "/eu-central-1/bedrock/aws4_request" in sent["authorization"]
        assert "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token" in sent["authorization"]
        assert sent["x-amz-security-token"] == "session-1"
        server.answers.append(Reply(status=400, body=f'{{"message":"{KEY} session-1"}}'.encode()))
        with pytest.raises(UpstreamFailed) as caught:
            await anext(provider.answer(ask()))
        assert KEY not in str(caught.value)
        assert "session-1" not in str(caught.value)
        await provider.close()


def test_a_setting_without_effect_is_refused() -> None:
    with pytest.raises(ConfigError, match="region has no effect on"):
        remote("ollama/llama3.2", account=Account(region="eu-central-1"))
    with pytest.raises(ConfigError, match="api_version has no effect on"):
        remote("ollama/llama3.2", account=Account(api_version="1"))


def test_profiles_by_pattern() -> None:
    openai, anthropic = vendors()["openai"], vendors()["anthropic"]
    assert "temperature" in openai.profile("o3").lacks
    assert "temperature" in openai.profile("gpt-5-mini").lacks
    assert "temperature" not in openai.profile("gpt-5-chat-latest").lacks
    assert "temperature" not in openai.profile("gpt-4.1-mini").lacks
    assert openai.profile("text-embedding-3-small").operations == {"embed"}
    assert not anthropic.profile("claude-haiku-4-5").adaptive
    assert anthropic.profile("claude-sonnet-4-6").adaptive
    assert anthropic.profile("claude-3-haiku-20240307").longest == 4096
    features = anthropic.profile("claude-opus-4-7").features
    assert "temperature" not in features
    assert "tools" in features


def test_every_row_names_what_exists() -> None:
    from genai_prices.data_snapshot import get_snapshot

    known = {provider.id for provider in get_snapshot().providers}
    for name, vendor in vendors().items():
        assert not vendor.prices or vendor.prices in known, name
        assert vendor.operations, name
        assert vendor.base_url or vendor.path != "{}", name


async def test_betas_of_a_caller_reach_the_vendor_and_no_other_header_does() -> None:
    options = {"headers": {"anthropic-beta": "context-1m", "x-other": "no"}}
    body = b'{"model":"big","max_tokens":9,"messages":[{"role":"user","content":"Hi"}]}'
    async with ProviderServer() as server:
        provider = RemoteProvider(remote("anthropic/claude-haiku-4-5", server.base_url, Secret(KEY)))
        for dialect, beta in (("anthropic", "context-1m"), ("openai", None)):
            exchange = ask(parameters=Parameters(), options=options)
            exchange = exchange.replace(dialect=dialect, body=body if dialect == "anthropic" else b"{}")
            await anext(provider.answer(exchange))
            sent = server.received[-1].headers
            assert sent.get("anthropic-beta") == beta
            assert (sent["anthropic-version"], sent["x-api-key"]) == ("2023-06-01", KEY)
            assert "x-other" not in sent
        await provider.close()

"""LiteLLM's config.yaml: what becomes of each setting, and that none is dropped without a word."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.terminal import piped

from penstock.config import load
from penstock.errors import ConfigError
from penstock.migrate.litellm.settings import read_config
from penstock.migrate.litellm.values import Plan
from penstock.migrate.litellm.writing import as_toml

FULL = """\
model_list:
  - model_name: gpt-4.1
    litellm_params:
      model: openai/gpt-4.1
      api_key: os.environ/OPENAI_API_KEY
      rpm: 600
      timeout: 60
  - model_name: gpt-4.1
    litellm_params:
      model: azure/prod-gpt-41
      api_base: https://example.openai.azure.com/
      api_key: sk-secret-one
      api_version: "2024-10-21"
      rpm: 200
      extra_headers: {x-team: web, authorization: "Bearer sk-secret-two"}
  - model_name: small
    litellm_params:
      model: groq/llama-3.1-8b-instant
      input_cost_per_token: 0.00000005
      output_cost_per_token: 0.00000008
  - model_name: long
    litellm_params: {model: claude-sonnet-4-5, max_parallel_requests: 8, weird: 1}
  - model_name: "openai/*"
    litellm_params: {model: "openai/*"}
  - model_name: palm
    litellm_params: {model: vertex_ai/gemini-pro}
router_settings:
  routing_strategy: least-busy
  num_retries: 3
  allowed_fails: 2
  cooldown_time: 45
  fallbacks: [{"gpt-4": ["small", "nowhere"]}]
  context_window_fallbacks: [{"small": ["long"]}]
  model_group_alias: {"gpt-4": "gpt-4.1", "ghost": "nowhere"}
  redis_host: cache.example.com
litellm_settings:
  drop_params: true
  cache: true
  cache_params: {type: redis, host: cache.example.com, password: sk-secret-three, ttl: 600}
  success_callback: [langfuse]
  max_budget: 100
  budget_duration: 30d
general_settings:
  master_key: sk-secret-four
environment_variables:
  OPENAI_API_KEY: sk-secret-five
"""


def plan_of(tmp_path: Path, text: str) -> Plan:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    plan = Plan()
    read_config(path, plan)
    return plan


def deployment(**params: Any) -> str:
    return yaml.safe_dump({"model_list": [{"model_name": "m", "litellm_params": params}]})


def test_a_whole_configuration_loads_as_one_of_penstock(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, FULL)
    text = as_toml(plan, "gateway")
    (tmp_path / "penstock.toml").write_text(text)
    settings = load(tmp_path).settings
    assert list(settings.models) == ["gpt-4.1", "small", "long", "gpt-4"]
    big = settings.models["gpt-4.1"]
    assert [(each.use, each.weight) for each in big.targets] == [
        ("openai/gpt-4.1", 600),
        ("azure/prod-gpt-41", 200),
    ]
    assert (big.strategy, big.retries, big.eject_after, big.eject_seconds) == ("least_in_flight", 3, 3, 45)
    assert (big.fallback, big.total_seconds, big.drop_unsupported) == (("small",), 60, True)
    assert big.targets[1].base_url == "https://example.openai.azure.com"
    assert settings.models["gpt-4"].targets == big.targets and settings.models["gpt-4"].fallback == ("small",)
    assert settings.models["small"].longer == "long"
    assert settings.models["long"].max_in_flight == 8
    assert settings.prices["groq/llama-3.1-8b-instant"].input == 0.05
    (limit,) = settings.limits
    assert (limit.per, limit.usd, limit.window) == ("all", 100, "month")
    assert (settings.cache.store, settings.cache.ttl_seconds) == ("redis", 600)
    assert settings.keys["master"].role == "owner" and settings.knowledge == {}


def test_no_secret_is_copied_and_every_setting_that_is_left_out_is_named(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, FULL)
    text = as_toml(plan, "gateway")
    assert "sk-secret" not in text + repr(plan.notes) + repr(plan.variables)
    assert set(plan.variables) == {
        "GPT_4_1_API_KEY",
        "GPT_4_1_AUTHORIZATION",
        "LITELLM_MASTER_KEY",
        "REDIS_URL",
    }
    left = {note.where for note in plan.notes if note.outcome == "left out"}
    assert left == {
        "config.yaml:22 model_list.3.litellm_params.weird",
        "config.yaml:24 model_list.4.litellm_params.model",
        "config.yaml:26 model_list.5.litellm_params.model",
        "config.yaml:32 router_settings.fallbacks.0",
        "config.yaml:34 router_settings.model_group_alias.ghost",
        "config.yaml:35 router_settings.redis_host",
        "config.yaml:40 litellm_settings.success_callback",
        "config.yaml:45 environment_variables",
    }
    for where in left:
        assert f"#   {where}: " in text


def test_two_keys_in_the_file_get_two_variables(tmp_path: Path) -> None:
    each = {"model_name": "m", "litellm_params": {"model": "openai/x", "api_key": "sk-a"}}
    plan = plan_of(tmp_path, yaml.safe_dump({"model_list": [each, each]}))
    assert list(plan.variables) == ["M_API_KEY", "M_API_KEY_2"]


@pytest.mark.parametrize(
    ("params", "use"),
    [
        ({"model": "gpt-4o"}, "openai/gpt-4o"),
        ({"model": "claude-3-5-haiku-latest"}, "anthropic/claude-3-5-haiku-latest"),
        ({"model": "together_ai/meta-llama/Llama-3-8b"}, "together/meta-llama/Llama-3-8b"),
        ({"model": "bedrock/converse/amazon.nova", "aws_region_name": "eu-west-1"}, "bedrock/amazon.nova"),
        ({"model": "hosted_vllm/qwen", "api_base": "http://10.0.0.7:8000/v1"}, "vllm/qwen"),
        ({"model": "mine", "custom_llm_provider": "openai", "api_base": "http://10.0.0.7/v1"}, "openai/mine"),
        ({"model": "org/model", "api_base": "http://10.0.0.7/v1"}, "openai/org/model"),
    ],
)
def test_providers(tmp_path: Path, params: dict[str, Any], use: str) -> None:
    plan = plan_of(tmp_path, deployment(**params))
    assert plan.models["m"]["use"] == use and not plan.notes
    assert tomllib.loads(as_toml(plan, "app"))["models"]["m"]["use"] == use


def test_text_of_the_configuration_cannot_leave_its_place(tmp_path: Path) -> None:
    hostile = 'x"\n[keys.evil]\nrole = "owner" #'
    plan = plan_of(tmp_path, deployment(model="openai/x", api_base="https://h/v1", weird=1, **{hostile: 1}))
    made = tomllib.loads(as_toml(plan, hostile))
    assert set(made) == {"app", "knowledge", "models"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model_list: [", "not valid YAML"),
        ("- a", "holds no table"),
        ("a: *nothing", "not valid YAML"),
    ],
)
def test_files_that_are_none(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan_of(tmp_path, text)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_config(tmp_path / "nowhere.yaml", Plan())


def test_nothing_is_written_in_a_dry_run_and_nothing_overwritten_without_force(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(deployment(model="openai/x"))
    to = tmp_path / "gateway"
    command = ["migrate", "litellm", str(config), "--to", str(to)]
    dry = piped([*command, "--dry-run"])
    assert dry.returncode == 0 and "model\tm\topenai/x" in dry.stdout and not to.exists()
    assert piped(command).returncode == 0
    (to / "penstock.toml").write_text("mine")
    again = piped(command)
    assert again.returncode == 2 and "is there already" in again.stderr
    assert (to / "penstock.toml").read_text() == "mine"
    assert piped([*command, "--force"]).returncode == 0
    assert load(to).settings.models["m"].use == "openai/x"

"""`model_list`: each deployment becomes a target, and all of one name a model."""

from __future__ import annotations

import re
from typing import Any

from penstock.config.endpoints import SECRET_HEADERS
from penstock.config.secret import Secret
from penstock.migrate.litellm.values import Plan, Say

VENDORS = {
    "openai": "openai",
    "text-completion-openai": "openai",
    "azure": "azure",
    "azure_text": "azure",
    "anthropic": "anthropic",
    "gemini": "gemini",
    "bedrock": "bedrock",
    "mistral": "mistral",
    "groq": "groq",
    "deepseek": "deepseek",
    "together_ai": "together",
    "fireworks_ai": "fireworks",
    "openrouter": "openrouter",
    "xai": "xai",
    "cohere": "cohere",
    "cohere_chat": "cohere",
    "jina_ai": "jina",
    "ollama": "ollama",
    "ollama_chat": "ollama",
    "hosted_vllm": "vllm",
    "vllm": "vllm",
    "lm_studio": "lmstudio",
    "llamafile": "llamacpp",
}
"""LiteLLM's providers by its names for them, and Penstock's."""
STRATEGY_WEIGHTS = ("weight", "rpm", "tpm")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/@+-]{0,127}")
MILLION = 1_000_000


class Parameters:
    """`litellm_params` of one deployment. What is not taken is listed by `left`."""

    def __init__(self, name: str, values: dict[str, Any], plan: Plan, say: Say) -> None:
        self.name, self._plan, self.say = name, plan, say
        self._left = {key: value for key, value in values.items() if value is not None}

    def take(self, key: str) -> Any:
        return self._left.pop(key, None)

    def secret(self, key: str) -> Secret | None:
        """A reference to the environment; for a key that stands in the file itself, a variable to put it into."""
        value = self.take(key)
        return None if value is None else secret_of(str(value), (self.name, key), self._plan, self.say)

    def header(self, name: str, text: str) -> Secret | str:
        if text.startswith("os.environ/") or name.lower() in SECRET_HEADERS:
            return secret_of(text, (self.name, name), self._plan, self.say)
        return text

    @property
    def left(self) -> tuple[str, ...]:
        return tuple(self._left)


def secret_of(value: str, owner: tuple[str, str], plan: Plan, say: Say) -> Secret:
    """The secret as a variable of the environment. One that stands in the file is never copied.

    `owner` is what it belongs to, and the setting that holds it; the variable is called after both.
    """
    if value.startswith("os.environ/"):
        return Secret.from_env(value.removeprefix("os.environ/"))
    of, key = owner
    plain = re.sub(r"\W+", "_", f"{of}_{key}").upper().strip("_")
    plain = f"KEY_{plain}" if plain[:1].isdigit() else plain
    variable = next(
        each for each in (plain, *(f"{plain}_{n}" for n in range(2, 10_000))) if each not in plan.variables
    )
    plan.variables[variable] = f"the {key} of {of} in LiteLLM's configuration"
    say("changed", key, f"stands in the file itself; put it into the environment variable {variable}")
    return Secret.from_env(variable)


def text_of(value: object) -> str | None:
    """A plain setting; `None` for one that is a reference to the environment, which only secrets may be."""
    return None if value is None or str(value).startswith("os.environ/") else str(value)


def target(given: Parameters) -> dict[str, Any] | None:
    """The table of one deployment; `None` for one that has no counterpart, which is said."""
    model = str(given.take("model") or "")
    provider = given.take("custom_llm_provider")
    prefix, slash, rest = model.partition("/")
    base = given.take("api_base") or given.take("base_url")
    if provider is not None:
        vendor, rest = VENDORS.get(str(provider)), model.removeprefix(f"{provider}/")
    elif slash and prefix in VENDORS:
        vendor = VENDORS[prefix]
    elif slash and base is None:
        vendor = None
    else:
        vendor, rest = "anthropic" if model.startswith("claude") else "openai", model
    if vendor is None or not rest or "*" in rest:
        given.say("left out", "model", f"{model!r} has no counterpart, so this deployment is not taken over")
        return None
    for part in ("converse/", "invoke/", "responses/"):
        rest = rest.removeprefix(part)
    made: dict[str, Any] = {"use": f"{vendor}/{rest}"}
    if base is not None:
        address = text_of(base)
        if address is None:
            given.say("changed", "api_base", f"is {base}, and addresses stand in the file: write base_url here")
        else:
            made["base_url"] = address.rstrip("/")
    if (secret := given.secret("api_key")) is not None:
        made["api_key"] = secret
    _account(given, made, vendor)
    _weights(given, made)
    _prices(given, made)
    return made


def _account(given: Parameters, made: dict[str, Any], vendor: str) -> None:
    version = text_of(given.take("api_version"))
    if version is not None and vendor == "azure":
        made["api_version"] = version
    region = text_of(given.take("aws_region_name"))
    if region is not None:
        made["region"] = region
    headers = dict(given.take("extra_headers") or {})
    if organization := given.take("organization"):
        headers["OpenAI-Organization"] = organization
    if headers:
        made["headers"] = {name: given.header(name, str(text)) for name, text in headers.items()}


def _weights(given: Parameters, made: dict[str, Any]) -> None:
    """`weight`, else `rpm`, else `tpm`, as LiteLLM's simple-shuffle takes them."""
    values = {key: given.take(key) for key in STRATEGY_WEIGHTS}
    chosen = next((key for key in STRATEGY_WEIGHTS if values[key]), None)
    if chosen is not None:
        made["weight"] = float(values[chosen])
    for key in ("rpm", "tpm"):
        if values[key]:
            as_weight = "is the target's weight" if key == chosen else "is not taken over"
            given.say(
                "changed", key, f"{as_weight}; to refuse what is more, write a table [[limits]] with model and per"
            )
    if (parallel := given.take("max_parallel_requests")) is not None:
        made["max_in_flight"] = int(parallel)


def _prices(given: Parameters, made: dict[str, Any]) -> None:
    """Dollars per token in LiteLLM, per million tokens here."""
    names = {
        "input": "input_cost_per_token",
        "output": "output_cost_per_token",
        "cached_input": "cache_read_input_token_cost",
        "cache_write": "cache_creation_input_token_cost",
    }
    prices = {name: given.take(key) for name, key in names.items()}
    found = {name: round(float(price) * MILLION, 9) for name, price in prices.items() if price is not None}
    if "input" in found and "output" in found:
        made["prices"] = found
    elif found:
        given.say("left out", "input_cost_per_token", "is a price with only one of input and output")


def add_deployment(plan: Plan, given: Parameters, retries: Any = None) -> bool:
    """Adds a deployment to the model of its name; false where it has no counterpart."""
    made = target(given)
    if made is None:
        return False
    if prices := made.pop("prices", None):
        plan.tables.setdefault("prices", {})[made["use"]] = prices
    route = {"total_seconds": given.take("timeout"), "first_token_seconds": given.take("stream_timeout")}
    route["retries"] = given.take("max_retries") if retries is None else retries
    model = plan.models.setdefault(given.name, {"targets": []})
    model["targets"].append(made)
    for key, value in route.items():
        if value is not None and not str(value).startswith("os.environ/"):
            model.setdefault(key, min(int(value), 10) if key == "retries" else float(value))
    return True


def settle_models(plan: Plan) -> None:
    """A model with one target is written in one table; a weight among none has no meaning."""
    for name, model in plan.models.items():
        targets = model.pop("targets")
        if len(targets) == 1:
            targets[0].pop("weight", None)
            plan.models[name] = {**targets[0], **{key: value for key, value in model.items() if key != "strategy"}}
        else:
            plan.models[name] = {**model, "targets": targets}

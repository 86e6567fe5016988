"""What a request asks for, whichever dialect it came in, and what is left of it without that."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from penstock.exchange import Constraint, Exchange, Message, Parameters, Tool
from penstock.models.dialects.anthropic.requests import read_messages
from penstock.models.dialects.anthropic.writing import FEATURES as ANTHROPIC
from penstock.models.dialects.features import needed, unmet, without
from penstock.models.dialects.needs import NEUTRAL, SAMPLING, of_exchange
from penstock.models.dialects.openai.requests import read_chat, read_completion, read_embedding

HI = [{"role": "user", "content": "Hi"}]
PICTURE = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}


class Target(Struct, frozen=True, kw_only=True):
    features: frozenset[str] | None = frozenset()
    forwards: frozenset[str] = frozenset()
    lacks: frozenset[str] = frozenset()


LOCAL = Target()
OPENAI = Target(features=None, forwards=frozenset({"openai"}))
CLAUDE = Target(features=ANTHROPIC, forwards=frozenset({"anthropic"}), lacks=frozenset({"top_k", "images"}))


def blank() -> Exchange:
    return Exchange(id="req_1", trace_id="0" * 32)


def chat(**fields: Any) -> Exchange:
    return read_chat(json.dumps({"messages": HI} | fields).encode(), blank())


def message(**fields: Any) -> Exchange:
    return read_messages(json.dumps({"messages": HI, "max_tokens": 9} | fields).encode(), blank())


def lacking(exchange: Exchange, target: Target) -> list[str]:
    return [need.feature for need in unmet(exchange, target)]


ASKED: list[tuple[dict[str, Any], list[str]]] = [
    ({"temperature": 0.5, "top_p": 0.9, "seed": 3, "stop": ["x"]}, ["temperature", "top_p", "seed", "stop"]),
    ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, ["custom tools"]),
    ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, ["tools"]),
    ({"messages": [*HI, {"role": "assistant", "audio": {"id": "a"}}]}, ["audio"]),
    ({"messages": [*HI, {"role": "assistant", "refusal": "No"}]}, ["refusals"]),
    ({"messages": [*HI, {"role": "function", "name": "f", "content": "3"}]}, ["functions"]),
    ({"messages": [{"role": "user", "content": [{"type": "video", "video": {}}]}]}, ["'video' parts"]),
    ({"prediction": {"type": "content", "content": "x"}, "verbosity": "low"}, ["prediction", "verbosity"]),
    ({"reasoning_effort": "none", "presence_penalty": 0, "n": 1, "verbosity": "medium"}, []),
    ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, ["reasoning_effort"]),
    ({"thinking": {"type": "disabled"}}, []),
    ({"response_format": {"type": "json_object"}}, ["json_object"]),
]


@pytest.mark.parametrize(("fields", "features"), ASKED)
def test_what_a_chat_asks_for(fields: dict[str, Any], features: list[str]) -> None:
    assert [need.feature for need in needed(chat(**fields))] == features
    assert lacking(chat(**fields), LOCAL) == [feature for feature in features if feature not in SAMPLING]
    assert lacking(chat(**fields), OPENAI) == []


def test_names_are_those_of_the_callers_dialect() -> None:
    asked = message(
        stop_sequences=["x"],
        thinking={"type": "enabled", "budget_tokens": 2000},
        output_config={"effort": "high", "format": {"type": "json_schema", "schema": {"type": "string"}}},
        messages=[{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a"}]}],
    )
    assert {need.param for need in needed(asked)} == {
        "stop_sequences",
        "thinking.budget_tokens",
        "output_config.effort",
        "output_config.format",
        "messages",
    }


def test_a_completion_and_an_embedding() -> None:
    several = read_completion(b'{"prompt":["a","b"]}', blank())
    tokens = read_embedding(b'{"input":[[1,2]]}', blank())
    alternatives = read_completion(b'{"prompt":"a","logprobs":2}', blank())
    assert lacking(several, LOCAL) == ["several prompts"]
    assert lacking(tokens, LOCAL) == ["token ids"]
    assert [(need.feature, need.param) for need in unmet(alternatives, LOCAL)] == [
        ("logprobs", "logprobs"),
        ("top_logprobs", "logprobs"),
    ]


def test_what_is_forwarded_is_only_held_against_what_a_model_lacks() -> None:
    assert lacking(message(top_k=4, new_field=1), CLAUDE) == ["top_k"]
    assert lacking(message(new_field=1), CLAUDE) == []
    assert set(lacking(chat(top_k=4, seed=3, new_field=1), CLAUDE)) == {"new_field", "top_k", "seed"}
    assert lacking(chat(messages=[{"role": "user", "content": [PICTURE]}]), CLAUDE) == ["images"]
    assert lacking(message(new_field=1), OPENAI) == ["new_field"]


parameters = st.builds(
    Parameters,
    temperature=st.none() | st.floats(0, 1),
    top_k=st.none() | st.integers(1, 9),
    seed=st.none() | st.integers(0, 9),
    stop=st.sampled_from([(), ("x",)]),
    n=st.integers(1, 2),
    logprobs=st.booleans(),
    frequency_penalty=st.none() | st.sampled_from([0.0, 0.5]),
    constraint=st.none()
    | st.builds(Constraint, st.sampled_from(["json_schema", "regex"]), st.just('{"type":"object"}')),
    tools=st.sampled_from([(), (Tool(name="f"),)]),
    tool_choice=st.sampled_from([None, "required", "tool:f"]),
    reasoning_effort=st.sampled_from([None, "none", "high"]),
    reasoning_tokens=st.none() | st.integers(1024, 2048),
)
gone = st.frozensets(st.sampled_from(sorted(NEUTRAL)))


@given(parameters, gone)
def test_nothing_is_left_of_what_is_left_out_and_all_else_stays(
    asked: Parameters, features: frozenset[str]
) -> None:
    exchange = Exchange(id="", trace_id="", messages=(Message("user", "Hi"),), parameters=asked)
    before = {need.feature for need in of_exchange(exchange)}
    needs = [need for need in of_exchange(exchange) if need.feature in features]
    after = {need.feature for need in of_exchange(without(exchange, needs))}
    implied = {"top_logprobs"} if "logprobs" in features else set()
    assert after == before - features - implied


@given(parameters, gone, st.booleans())
def test_the_quick_look_sees_what_the_whole_one_sees(
    asked: Parameters, features: frozenset[str], picture: bool
) -> None:
    content = (
        chat(messages=[{"role": "user", "content": [PICTURE]}]).messages if picture else (Message("user", "Hi"),)
    )
    exchange = Exchange(id="", trace_id="", dialect="openai", messages=content, parameters=asked)
    found = lacking(exchange, Target(features=None, forwards=frozenset({"openai"}), lacks=features))
    assert found == [need.feature for need in of_exchange(exchange) if need.feature in features]


def test_a_conversation_without_its_tools() -> None:
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    asked = chat(
        messages=[
            *HI,
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "a", "content": "3"},
            {"role": "assistant", "content": "Three", "tool_calls": [call]},
            {"role": "user", "content": [PICTURE]},
            {"role": "user", "content": [PICTURE, {"type": "text", "text": "So?"}]},
        ]
    )
    left = without(asked, unmet(asked, LOCAL))
    assert [(each.role, each.text, each.tool_calls) for each in left.messages] == [
        ("user", "Hi", None),
        ("assistant", "Three", None),
        ("user", "So?", None),
    ]
    assert (left.dialect, left.body) == ("", b"")

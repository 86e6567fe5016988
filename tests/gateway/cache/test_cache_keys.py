"""Which requests are the same to the cache, and which never are."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.gateway_site import model

from penstock.exchange import Exchange, Message, Parameters, Principal
from penstock.gateway.cache.base import namespace_of
from penstock.gateway.cache.key import Keys
from penstock.gateway.registry import Target
from penstock.testing import FakeProvider

TINY = model()
BODY: dict[str, Any] = {
    "model": "tiny",
    "messages": [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Hi"}],
    "temperature": 0,
    "max_tokens": 10,
}


def exchange(body: dict[str, Any] | None = None, **fields: Any) -> Exchange:
    given = BODY if body is None else body
    messages = tuple(Message(**each) for each in given.get("messages", ()))
    known: dict[str, Any] = {"id": "1", "trace_id": "2", "dialect": "openai", "messages": messages}
    return Exchange(**(known | {"body": json.dumps(given).encode()} | fields))


def key(
    body: dict[str, Any] | None = None, keys: Keys | None = None, target: Target = TINY, **fields: Any
) -> bytes:
    found = (keys or Keys()).of(exchange(body, **fields), target)
    assert found is not None
    return found.key


@pytest.mark.parametrize(
    "body",
    [
        dict(reversed(BODY.items())),
        BODY | {"model": "another name of the same"},
        BODY | {"stream": True, "stream_options": {"include_usage": True}},
        BODY | {"user": "u1", "metadata": {"run": "7"}, "safety_identifier": "x", "prompt_cache_key": "y"},
        BODY | {"tools": None, "stop": None},
        BODY | {"temperature": 0.0, "max_tokens": 10.0},
    ],
)
def test_what_does_not_shape_the_answer_does_not_count(body: dict[str, Any]) -> None:
    assert key(body) == key()


def test_spaces_and_escapes_do_not_count() -> None:
    body = BODY | {"stop": "größer"}
    written = [
        json.dumps(body, separators=(",", ":"), ensure_ascii=False),
        json.dumps(body, indent=4, ensure_ascii=True),
    ]
    found = [Keys().of(exchange().replace(body=each.encode()), TINY) for each in written]
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "body",
    [
        BODY | {"temperature": 0.5},
        BODY | {"max_tokens": 11},
        BODY | {"logit_bias": {"50256": -100}},
        BODY | {"a_field_of_tomorrow": 1},
        BODY | {"messages": BODY["messages"][::-1]},
        BODY | {"messages": [*BODY["messages"][:1], {"role": "user", "content": "Hi "}]},
        BODY | {"tools": []},
    ],
)
def test_everything_else_counts(body: dict[str, Any]) -> None:
    assert key(body) != key()


def test_whatever_shapes_an_answer_outside_the_request_counts() -> None:
    one = key()
    assert key(keys=Keys("another configuration")) != one
    assert key(target=model(release_id="rel_2")) != one
    assert key(target=model(name="other")) != one
    assert key(target=model(FakeProvider(name="another provider"))) != one
    assert key(operation="complete") != one
    assert key(dialect="anthropic") != one
    assert key(options={"headers": {"anthropic-beta": "tools"}}) != one
    assert key(options={"session": "s1"}) == one
    app = model(release_id="rel_1")
    app = Target(name="app", kind="app", provider=app.provider, operations=app.operations)
    first, second = Keys(generation=lambda name: 1), Keys(generation=lambda name: 2)
    assert key(keys=first, target=app) != key(keys=second, target=app)
    assert key(keys=first) == key(keys=second)


def test_what_an_app_answered_is_for_those_who_may_find_the_same() -> None:
    app = Target(name="app", kind="app", provider=FakeProvider(), operations=frozenset({"chat"}))
    hr, other = Principal(key_id="k1", role="viewer", groups=("hr",)), Principal(key_id="k1", role="viewer")
    assert key(target=app, principal=hr) != key(target=app, principal=other)
    assert key(target=app, principal=hr) != key(target=app, principal=Principal())
    assert key(principal=hr) == key(principal=other), "a model knows no documents"


def test_with_scope_user_end_users_and_keys_do_not_share() -> None:
    keys = Keys(by_user=True)
    users = [
        key(keys=keys, user="u1"),
        key(keys=keys, user="u2"),
        key(keys=keys, principal=Principal(key_id="u1")),
        key(keys=keys, principal=Principal(key_id="k2")),
    ]
    assert len(set(users)) == 4
    assert key(user="u1") == key(user="u2")


Names = st.text(max_size=12)


@given(Names, Names, st.dictionaries(Names, st.one_of(st.text(max_size=8), st.integers(), st.none()), max_size=4))
def test_projects_never_share(one: str, other: str, extra: dict[str, Any]) -> None:
    """Whatever stands in the request: the project is in the digest, and in front of it."""
    body = extra | BODY
    a, b = key(body, project_id=one), key(body, project_id=other)
    assert (a == b) == (one == other)
    assert a.startswith(namespace_of(one)) and (a[:8] == b[:8]) == (one == other)


def test_an_exchange_of_this_process_has_a_key_of_its_fields() -> None:
    def own(**fields: Any) -> bytes:
        known: dict[str, Any] = {"id": "1", "trace_id": "2", "messages": (Message("user", "Hi"),)}
        made = Keys().of(Exchange(**(known | fields)), TINY)
        assert made is not None
        return made.key

    assert own() == own(id="another", trace_id="3", deadline=5.0)
    assert own() != own(messages=(Message("user", "Ho"),))
    assert own() != own(parameters=Parameters(temperature=0.0))
    assert own(operation="embed", inputs=("a", "b")) != own(operation="embed", inputs=("ab",))


def test_a_body_that_is_no_object_has_no_key() -> None:
    for body in (b"[]", b"not json", b"\xff", b"[" * 100_000):
        assert Keys().of(exchange().replace(body=body), TINY) is None


def test_the_form_says_which_bytes_fit() -> None:
    def form(**fields: Any) -> str:
        made = Keys().of(exchange(**fields), TINY)
        assert made is not None
        return made.form

    assert form() == "whole"
    assert form(stream=True) == "stream"
    assert form(stream=True, wants_usage=True) == "stream with usage"


def question(body: dict[str, Any]) -> Any:
    found = Keys(questions=True).of(exchange(body), TINY)
    assert found is not None
    return found.question


def test_the_last_message_is_the_question_and_all_else_its_context() -> None:
    def asked(text: str, system: str = "Be short.", **fields: Any) -> dict[str, Any]:
        messages = [{"role": "system", "content": system}, {"role": "user", "content": text}]
        return BODY | {"messages": messages} | fields

    one, other = question(asked("How high is it?")), question(asked("What is its height?"))
    assert (one.text, other.text) == ("How high is it?", "What is its height?")
    assert one.context == other.context
    assert one.context != question(asked("How high is it?", system="Be long.")).context
    assert one.context != question(asked("How high is it?", max_tokens=20)).context


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}],
        [{"role": "user", "content": ""}],
        [{"role": "user", "content": "x" * 501}],
        [{"role": "user", "content": None}],
    ],
)
def test_what_is_no_short_question_is_not_compared(messages: list[dict[str, Any]]) -> None:
    assert question(BODY | {"messages": messages}) is None

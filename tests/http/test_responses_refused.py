"""What the Responses API refuses, and in which words."""

from pathlib import Path
from typing import Any

from support.gateway_site import model, site
from support.operations_upstream import dumped, operations_upstream
from support.responding import CHAT, TOOL, elsewhere, local

from penstock.testing import FakeProvider

BAD: list[tuple[dict[str, Any], str]] = [
    ({}, "'input' is missing. Send a text, or a list of items."),
    ({"input": ""}, "'input' is empty. Send a text, or a list of items."),
    ({"input": 5}, "'input' must be a string or an array, not an integer."),
    ({"input": [{"role": "user"}]}, "'input[0].content' is missing. Add it to the request."),
    ({"input": [{"content": "x"}]}, "'input[0].type' is missing. Say what the item is, or its role."),
    (
        {"input": [{"role": "user", "content": [{"type": "input_text", "text": 5}]}]},
        "'input[0].content[0].text' must be a string, not an integer.",
    ),
    (
        {"input": [{"role": "user", "content": "x"}, {"type": "function_call", "name": "f"}]},
        "'input[1].call_id' is missing. Add it to the request.",
    ),
    ({"input": "x", "tools": [{"type": "function"}]}, "'tools[0].name' is missing. Add it to the request."),
    (
        {"input": "x", "tool_choice": "any"},
        "'tool_choice' must be 'auto', 'none', 'required' or an object, not 'any'. "
        'To name a function, send {"type": "function", "name": "…"}.',
    ),
    ({"input": "x", "tool_choice": {"type": "function"}}, "'tool_choice.name' is missing. Add it to the request."),
    (
        {"input": "x", "text": {"format": {"type": "json_schema"}}},
        "'text.format.schema' is missing. Send the JSON schema there.",
    ),
    ({"input": "x", "max_output_tokens": 0}, "'max_output_tokens' must be an integer >= 1."),
    (
        {"input": "x", "background": True},
        "Responses in the background are not offered. "
        "Leave 'background' out, and stream the answer or wait for it.",
    ),
    (
        {"input": "x", "conversation": "conv_1"},
        "Conversations that the provider keeps are not offered. "
        "Use 'previous_response_id' instead of 'conversation'.",
    ),
    (
        {"input": "x", "previous_response_id": "resp_no"},
        "There is no response 'resp_no'. "
        "Responses are kept where 'store' is not false, as long as traces are (keep_days under [traces]).",
    ),
]


async def test_bad_requests_by_message(tmp_path: Path) -> None:
    async with site(tmp_path, local(FakeProvider("Hello"))) as it:
        for fields, message in BAD:
            status, answer, _ = await it.post("/v1/responses", {"model": "tiny", **fields})
            assert (status, answer["error"]["message"]) == (400, message)


CANNOT: list[tuple[dict[str, Any], str, str]] = [
    ({"tools": [{"type": "web_search"}]}, "web_search tools", "tools[0].type"),
    ({"tool_choice": {"type": "file_search"}}, "file_search tools", "tool_choice.type"),
    ({"input": [{"type": "computer_call", "id": "x"}]}, "computer_call items", "input[0].type"),
    ({"input": [{"type": "item_reference", "id": "x"}]}, "item_reference items", "input[0].type"),
    (
        {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
        "images by file id",
        "input[0].content[0]",
    ),
    ({"truncation": "auto"}, "truncation", "truncation"),
    ({"text": {"verbosity": "low"}}, "verbosity", "text.verbosity"),
    (
        {"include": ["web_search_call.action.sources"]},
        "'web_search_call.action.sources' in its answers",
        "include[0]",
    ),
    ({"from_tomorrow": 1}, "from_tomorrow", "from_tomorrow"),
]


async def test_what_only_its_providers_can_is_named(tmp_path: Path) -> None:
    async with operations_upstream() as upstream:
        upstream.replies(dumped(CHAT))
        async with site(tmp_path, local(FakeProvider("Hi")), elsewhere(upstream, "corp", "openai")) as it:
            for name in ("tiny", "big"):
                for fields, feature, param in CANNOT:
                    status, answer, _ = await it.post("/v1/responses", {"model": name, "input": "x"} | fields)
                    assert (status, answer["error"]["code"]) == (400, "unsupported_feature")
                    assert answer["error"]["message"].startswith(
                        f"{name!r} does not support {feature}, which {param!r} asks for."
                    )
            assert upstream.sent == []


async def test_a_local_model_names_what_it_lacks_in_the_callers_words(tmp_path: Path) -> None:
    async with site(tmp_path, model(features=frozenset())) as it:
        for fields, param in (
            ({"text": {"format": {"type": "json_object"}}}, "text.format"),
            ({"reasoning": {"effort": "low"}}, "reasoning.effort"),
            ({"tools": [TOOL]}, "tools"),
            ({"input": [{"role": "user", "content": [{"type": "input_file", "file_data": "x"}]}]}, "input"),
        ):
            _, answer, _ = await it.post("/v1/responses", {"model": "tiny", "input": "x"} | fields)
            assert answer["error"]["param"] == param

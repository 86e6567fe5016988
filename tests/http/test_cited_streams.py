"""Citations that are found while an answer is written: every client gets each once, with the text that it is of."""

from pathlib import Path

import anthropic
import openai
from support.gateway_site import Site, site

from penstock.errors import UpstreamFailed
from penstock.exchange import Chunk, Citation, Grounding, Usage
from penstock.gateway.registry import Target
from penstock.testing import FakeProvider

QUESTION = "How do I close the gate?"


def citation(number: int, start: int | None = None, end: int | None = None) -> Citation:
    return Citation(
        number=number,
        document_id=f"doc_{number}",
        document=f"guide/{number}.md",
        title=f"Part {number}",
        chunk_id=f"chk_{number}",
        start=10,
        end=30,
        quote=f"the quote of {number}",
        score=0.8,
        url=f"/knowledge/manuals/doc_{number}",
        answer_start=start,
        answer_end=end,
    )


def grounding(stage: str, *citations: Citation) -> Grounding:
    return Grounding(
        stage=stage,  # type: ignore[arg-type]
        mode="compose",
        knowledge="manuals",
        generation=7,
        answered=True,
        score=0.9,
        citations=citations,
    )


FIRST, SECOND, LAST, UNUSED = citation(1, 0, 9), citation(2, 10, 19), citation(3, 20, 25), citation(4)
WRITTEN = (
    Chunk(grounding=grounding("evidence", UNUSED)),
    Chunk(text="Turn it. "),
    Chunk(text="Then wait", grounding=grounding("partial", FIRST)),
    Chunk(grounding=grounding("partial", SECOND)),
    Chunk(text=". Done."),
)
END = Chunk(finish_reason="stop", usage=Usage(9, 9), grounding=grounding("answer", LAST, FIRST, SECOND, UNUSED))


def app(*chunks: Chunk | UpstreamFailed) -> Target:
    return Target(name="docs", kind="app", provider=FakeProvider(*chunks), operations=frozenset({"chat"}))


def claude(it: Site) -> anthropic.AsyncAnthropic:
    client = anthropic.AsyncAnthropic(base_url=it.url, api_key="local", max_retries=0)
    it.clients.push_async_callback(client.close)
    return client


async def test_messages_cite_while_they_are_written(tmp_path: Path) -> None:
    asked = {"model": "docs", "max_tokens": 99, "messages": [{"role": "user", "content": QUESTION}]}
    async with site(tmp_path, app(*WRITTEN, END)) as it:
        whole = await claude(it).messages.create(**asked)  # type: ignore[call-overload]
        order: list[str] = []
        async with claude(it).messages.stream(**asked) as stream:  # type: ignore[arg-type]
            async for event in stream:
                if event.type == "content_block_delta":
                    found = getattr(event.delta, "citation", None)
                    order.append(found.cited_text if found is not None else event.delta.text)  # type: ignore[union-attr]
            final = await stream.get_final_message()
    assert order == [
        "Turn it. ",
        "Then wait",
        "the quote of 1",
        "the quote of 2",
        ". Done.",
        "the quote of 3",
    ]
    for message in (whole, final):
        (block,) = message.content
        quotes = [each.cited_text for each in block.citations]
        assert sorted(quotes) == [f"the quote of {number}" for number in (1, 2, 3)]


async def test_responses_annotate_while_they_are_written(tmp_path: Path) -> None:
    async with site(tmp_path, app(*WRITTEN, END)) as it:
        stream = await it.client().responses.create(model="docs", input=QUESTION, stream=True)
        events = [event async for event in stream]
        whole = await it.client().responses.create(model="docs", input=QUESTION)
    annotated = [event for event in events if event.type == "response.output_text.annotation.added"]
    places = [(each.annotation_index, each.annotation.start_index) for each in annotated]  # type: ignore[union-attr]
    assert places == [(0, 0), (1, 10), (2, 20)]
    types = [event.type for event in events]
    assert types.index("response.output_text.annotation.added") < len(types) - 1 - types[::-1].index(
        "response.output_text.delta"
    )
    final = events[-1].response  # type: ignore[union-attr]
    for response in (final, whole):
        annotations = response.output[0].content[0].annotations
        assert sorted(each.start_index for each in annotations) == [0, 10, 20]
    assert [each.start_index for each in final.output[0].content[0].annotations] == [0, 10, 20]  # type: ignore[union-attr]


async def test_what_was_cited_before_a_stream_broke_is_kept(tmp_path: Path) -> None:
    broken = UpstreamFailed("corp/model broke.", hint="Try again.")
    async with site(tmp_path, app(*WRITTEN, broken)) as it:
        stream = await it.client().responses.create(model="docs", input=QUESTION, stream=True)
        events = [event async for event in stream]
    failed = events[-1].response  # type: ignore[union-attr]
    assert failed.status == "failed"
    assert [each.start_index for each in failed.output[0].content[0].annotations] == [0, 10]  # type: ignore[union-attr]


async def test_chats_get_what_is_new_and_in_the_end_all(tmp_path: Path) -> None:
    async with site(tmp_path, app(*WRITTEN, END)) as it:
        client: openai.AsyncOpenAI = it.client()
        stream = await client.chat.completions.create(
            model="docs", messages=[{"role": "user", "content": QUESTION}], stream=True
        )
        events = [event.to_dict() async for event in stream]
    said = [each["penstock"] for each in events if "penstock" in each]
    stages = [(each["stage"], [cited["number"] for cited in each["citations"]]) for each in said]  # type: ignore[index]
    assert stages == [("evidence", [4]), ("partial", [1]), ("partial", [2]), ("answer", [3, 1, 2, 4])]

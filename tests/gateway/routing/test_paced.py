"""Limits on the silence of a model on this machine."""

import asyncio

import pytest
from support.routing import ask

from penstock.errors import UpstreamTimeout
from penstock.exchange import Exchange
from penstock.gateway.routing.paced import PacedProvider
from penstock.testing import FakeProvider


async def said(provider: PacedProvider, exchange: Exchange) -> list[str]:
    return [chunk.text async for chunk in provider.answer(exchange) if chunk.text]


@pytest.mark.parametrize(
    ("steps", "came"), [((asyncio.Event(), "late"), []), (("early", asyncio.Event(), "late"), ["early"])]
)
async def test_silence_ends_a_stream(steps: tuple[str | asyncio.Event, ...], came: list[str]) -> None:
    fake = FakeProvider(*steps, name="local")
    paced = PacedProvider(fake, 0.02, 0.03)
    got = []
    with pytest.raises(UpstreamTimeout, match=r"'local' said nothing for 0\.0[23] s") as caught:
        async for chunk in paced.answer(ask(stream=True)):
            got.append(chunk.text)
    assert (got, caught.value.kind) == (came, "timeout")
    assert (fake.running, fake.left) == (0, 1)


async def test_what_comes_in_time_passes() -> None:
    paced = PacedProvider(FakeProvider("a", "b", name="local"), 10.0, None)
    assert paced.name == "local"
    assert await said(paced, ask(stream=True)) == ["a", "b"]
    assert await said(paced, ask()) == ["a", "b"]

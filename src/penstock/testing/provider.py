"""A provider that answers by a script."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

from penstock.errors import PenstockError
from penstock.exchange import Chunk, Exchange, Usage

Step = str | Chunk | PenstockError | asyncio.Event
Script = Callable[[Exchange], Sequence[Step]]


class FakeProvider:
    """Answers every exchange by the same steps (`seams.Provider`).

    A text is a chunk, a `Chunk` is sent as it is, an event is waited for, and an error is raised there. After the
    last step comes a chunk with `finish_reason` "stop" and a usage that counts words, unless the script sent a
    `finish_reason` itself. `script` may also be a function of the exchange.

        provider = FakeProvider("The gate ", "is closed.", name="turbine")

    `exchanges` are those it was asked, `running` how many it answers now, `left` how many nobody waited for.
    """

    def __init__(self, *steps: Step, name: str = "fake", script: Script | None = None) -> None:
        self._name = name
        self._script = script or (lambda exchange: steps)
        self.exchanges: list[Exchange] = []
        self.running = 0
        self.left = 0
        self.closed = False
        self._changed = asyncio.Condition()

    @property
    def name(self) -> str:
        return self._name

    async def answer(self, exchange: Exchange) -> AsyncIterator[Chunk]:
        self.exchanges.append(exchange)
        self.running += 1
        complete = False
        words = 0
        finished = False
        try:
            await self._tell()
            for step in self._script(exchange):
                if isinstance(step, asyncio.Event):
                    await step.wait()
                elif isinstance(step, PenstockError):
                    raise step
                else:
                    chunk = Chunk(text=step) if isinstance(step, str) else step
                    words += len(chunk.text.split())
                    finished = finished or chunk.finish_reason is not None
                    yield chunk
            if not finished:
                yield Chunk(finish_reason="stop", usage=Usage(words_of(exchange), words))
            complete = True
        except PenstockError:
            complete = True
            raise
        finally:
            self.running -= 1
            self.left += not complete
            # Told from a task of its own: what is cancelled must not wait for a lock.
            self._telling = asyncio.ensure_future(self._tell())

    async def close(self) -> None:
        self.closed = True

    async def until(self, condition: Callable[[FakeProvider], bool]) -> None:
        """Returns when the condition holds: `await provider.until(lambda it: it.running == 3)`."""
        async with self._changed:
            await self._changed.wait_for(lambda: condition(self))

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def words_of(exchange: Exchange) -> int:
    texts = [message.text for message in exchange.messages] or [exchange.prompt, *exchange.inputs]
    return sum(len(text.split()) for text in texts)

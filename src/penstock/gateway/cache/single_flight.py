"""Identical requests that are in flight at the same time share one call.

The call runs in a task of its own, so it goes on as long as anybody listens, whoever asked first. Everybody who
joins gets every chunk from the first one. One listener pays for it, the first who asked; when that one leaves, the
one that waits longest takes over, and the others see a call that costs nothing.

What a call has said is kept until it ends, within a bound. Beyond the bound nobody can join any more, what all have
read is dropped, and the call waits for the one that pays: a listener that lags behind that one by the whole bound
is ended with an error, so that it neither holds up the others nor takes memory.

An error is everybody's: those who listen have read the same. Only what concerns one caller (its deadline, its
limits) is not shared with those who have read nothing yet; they call again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

from penstock.errors import DeadlineExceeded, Forbidden, Overloaded, RateLimited, Unauthenticated, Unavailable
from penstock.exchange import Chunk, Usage
from penstock.gateway.cache.entry import free
from penstock.gateway.flight import Flight

logger = logging.getLogger(__name__)

OF_ONE_CALLER = (DeadlineExceeded, RateLimited, Forbidden, Unauthenticated)
CHUNK = 200
"""Bytes that a chunk takes beside its text, about."""

OnComplete = Callable[[Sequence[Chunk]], None]
"""Told all chunks of a call that went well and stayed within the bound."""


class SingleFlight:
    """The calls that are in flight, by key. `max_bytes` bounds what each keeps."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._calls: dict[object, SharedCall] = {}

    def __contains__(self, key: object) -> bool:
        return key in self._calls

    def __len__(self) -> int:
        return len(self._calls)

    def join(self, key: object, flight: Flight) -> Listener | None:
        """Another listener to the call of that key, if there is one."""
        call = self._calls.get(key)
        if call is None:
            return None
        flight.cache = "shared"
        return Listener(call, flight)

    def lead(self, key: object, flight: Flight, on_complete: OnComplete) -> Listener:
        """The first listener of a new call. Where the key has one already, the new one is not shared."""
        call = SharedCall(self, key, on_complete)
        self._calls.setdefault(key, call)
        return Listener(call, flight)

    def again(self, call: SharedCall) -> SharedCall:
        """Another call of the same key, after one that failed for a reason of its own."""
        return self._calls.setdefault(call.key, SharedCall(self, call.key, call.on_complete))

    def forget(self, call: SharedCall) -> None:
        if self._calls.get(call.key) is call:
            del self._calls[call.key]


class SharedCall:
    """One call of a provider and those who listen to it."""

    __slots__ = (
        "_chunks",
        "_dropped",
        "_room",
        "_size",
        "_task",
        "error",
        "flights",
        "is_over",
        "key",
        "listeners",
        "on_complete",
        "payer",
    )

    def __init__(self, flights: SingleFlight, key: object, on_complete: OnComplete) -> None:
        self.key = key
        self.on_complete = on_complete
        self.listeners: list[Listener] = []
        self.payer: Listener | None = None
        self.error: BaseException | None = None
        self.is_over = False
        self.flights = flights
        self._chunks: deque[Chunk] = deque()
        self._dropped = 0
        self._size = 0
        self._task: asyncio.Task[None] | None = None
        self._room: asyncio.Future[None] | None = None

    def enter(self, listener: Listener) -> None:
        if self.payer is None:
            self.payer = listener
        self.listeners.append(listener)

    def start(self, flight: Flight) -> bool:
        """Makes the call as the exchange of a flight has it; false where it was made before."""
        if self._task is not None:
            return False
        self._task = asyncio.create_task(self._run(flight))
        return True

    def at(self, place: int) -> Chunk | None:
        """The chunk with this number, `None` if it has not come."""
        place -= self._dropped
        return self._chunks[place] if place < len(self._chunks) else None

    def took(self, listener: Listener) -> None:
        """A listener has gone on; where the call waits for that, it may go on, too."""
        if self._room is not None and not self._room.done() and listener is self.payer:
            self._room.set_result(None)

    async def leave(self, listener: Listener) -> None:
        """A listener wants no more. The last one ends the call, and returns when its work has ended."""
        with contextlib.suppress(ValueError):
            self.listeners.remove(listener)
        if listener is self.payer:
            self._hand_on(listener)
        if self.listeners:
            return
        self.flights.forget(self)
        if self._task is not None and not self._task.done():
            if not self.is_over:
                self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _hand_on(self, listener: Listener) -> None:
        """Somebody must pay for the call: whoever waits longest, or else the one that leaves, for all of it."""
        self.payer = None
        if listener.is_done:
            return
        if self.listeners:
            listener.flight.cache = "shared"
            heir = self.payer = self.listeners[0]
            heir.flight.cache = ""
            if heir.flight.usage is not None:
                heir.flight.usage = self._usage() or heir.flight.usage
            self.took(heir)
        elif self.is_over:
            listener.flight.usage = self._usage() or listener.flight.usage

    def _usage(self) -> Usage | None:
        """What the call has used, as far as it has said."""
        said = [chunk.usage for chunk in self._chunks if chunk.usage is not None]
        return said[-1] if said else None

    async def _run(self, flight: Flight) -> None:
        assert flight.target is not None
        chunks = flight.target.provider.answer(flight.exchange)
        try:
            async for chunk in chunks:
                self._chunks.append(chunk)
                self._size += size_of(chunk)
                for listener in self.listeners:
                    listener.wake()
                if self._size > self.flights.max_bytes:
                    await self._make_room()
        except asyncio.CancelledError:
            self._end(Unavailable("The call was stopped.", hint="Send the request again in a moment."))
            raise
        except Exception as error:
            self._end(error)
        else:
            self._end(None)
        finally:
            if isinstance(chunks, AsyncGenerator):
                await chunks.aclose()

    def _end(self, error: BaseException | None) -> None:
        self.error = error
        self.is_over = True
        self.flights.forget(self)
        for listener in self.listeners:
            listener.wake()
        if error is None and not self._dropped:
            try:
                self.on_complete(self._chunks)
            except Exception:  # the answer is there, whatever becomes of it afterwards
                logger.exception("an answer could not be cached")

    async def _make_room(self) -> None:
        """Drops what all have read, and waits until that is enough."""
        self.flights.forget(self)
        loop = asyncio.get_running_loop()
        while True:
            self._drop(min((each.place for each in self.listeners), default=0))
            if self._size <= self.flights.max_bytes:
                return
            payer = self.payer
            if payer is not None and payer.place == self._dropped + len(self._chunks):
                slowest = min(self.listeners, key=lambda each: each.place)
                slowest.fall_behind()
                self.listeners.remove(slowest)
                continue
            self._room = loop.create_future()
            await self._room
            self._room = None

    def _drop(self, place: int) -> None:
        while self._dropped < place:
            self._size -= size_of(self._chunks.popleft())
            self._dropped += 1


class Listener(AsyncGenerator[Chunk, None]):
    """The chunks of a shared call for one flight. `place` is the number of the next one."""

    __slots__ = ("_behind", "_call", "_left", "_started", "_waiter", "flight", "is_done", "place")

    def __init__(self, call: SharedCall, flight: Flight) -> None:
        self.flight = flight
        self.place = 0
        self.is_done = False
        self._call = call
        self._waiter: asyncio.Future[None] | None = None
        self._behind = False
        self._left = False
        self._started = False
        call.enter(self)

    async def __anext__(self) -> Chunk:
        call = self._call
        if not self._started:
            self._started = call.start(self.flight)
        while True:
            if self._behind:
                raise Overloaded("This answer was read too slowly.", hint="Read faster, or ask for less.")
            chunk = call.at(self.place)
            if chunk is not None:
                self.place += 1
                call.took(self)
                return chunk if self is call.payer else free(chunk)
            if not call.is_over:
                self._waiter = asyncio.get_running_loop().create_future()
                await self._waiter
                continue
            error = call.error
            if error is None:
                self.is_done = True
                raise StopAsyncIteration
            if not self._calls_again(error):
                raise error
            call = self._call
            self._started = call.start(self.flight)

    def _calls_again(self, error: BaseException) -> bool:
        """Whether an error was about somebody else, and this listener is on its own now."""
        call = self._call
        if self._started or self.place or not isinstance(error, OF_ONE_CALLER):
            return False
        call.listeners.remove(self)
        call.payer = None
        self._call = call.flights.again(call)
        self._call.enter(self)
        self.flight.cache = "" if self is self._call.payer else "shared"
        return True

    def wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def fall_behind(self) -> None:
        self._behind = True
        self.wake()

    async def aclose(self) -> None:
        if not self._left:
            self._left = True
            await self._call.leave(self)
            del self.flight  # which has this listener: only the collector would free the two

    async def asend(self, value: None) -> Chunk:
        return await self.__anext__()

    async def athrow(self, *error: Any) -> Chunk:
        await self.aclose()
        raise GeneratorExit


def size_of(chunk: Chunk) -> int:
    vectors = sum(len(each) for each in chunk.embeddings) if chunk.embeddings else 0
    return CHUNK + len(chunk.raw or b"") + len(chunk.text) + len(chunk.reasoning) + vectors

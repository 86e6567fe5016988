"""Every request, whoever makes it, passes through the stages listed here, in this order, and out again.

        inbound                                                outbound
           │   authenticate   who asks                            ▲
           │   record         the trace of everything below       │
           │   admit          a bound on requests in flight       │
           │   recall         the conversation it goes on with    │
           │   resolve        the name to a target and release    │
           │   reserve        from limits and budgets             │
           │   features       can the target do what is asked     │
           │   cache          an answer that was given before     │
           │   call           the span of a model call            │
           ▼   account        usage and cost                      │
           └─────────────▶ the target's provider ─────────────────┘

Inbound each stage may change the exchange or refuse it; outbound it may change the stream of chunks; at the end,
whether the answer was delivered, failed, or nobody waited for it any more, each gives back what it took
(`gateway/flight.py`). Nothing jumps back: a retry or a fallback is a provider around providers.

An app answers through `Pipeline.call`, whose exchanges are children of its own: they run the stages marked
"leaf" and "both", under the tracer and the deadline that they carry.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator

from penstock.access.ledger import Ledger
from penstock.access.limits import Limits
from penstock.exchange import Chunk, Exchange
from penstock.gateway.admission import Admission
from penstock.gateway.cache.answers import AnswerCache
from penstock.gateway.flight import Chunks, Flight, Stage, Step
from penstock.gateway.meter import Meter
from penstock.gateway.registry import Registry
from penstock.gateway.responses.store import ResponseStore
from penstock.gateway.stages.account import Account, Keep
from penstock.gateway.stages.admit import Admit
from penstock.gateway.stages.authenticate import Authenticate
from penstock.gateway.stages.cache import Cache
from penstock.gateway.stages.call import Call
from penstock.gateway.stages.features import Features
from penstock.gateway.stages.recall import Recall
from penstock.gateway.stages.record import Record
from penstock.gateway.stages.reserve import Reserve
from penstock.gateway.stages.resolve import Resolve
from penstock.traces.store import TraceStore


def standard_stages(
    registry: Registry,
    traces: TraceStore,
    meter: Meter,
    *,
    admission: Admission,
    limits: Limits | None = None,
    cache: AnswerCache | None = None,
    responses: ResponseStore | None = None,
    ledger: Ledger | None = None,
) -> tuple[Stage, ...]:
    """The list, from the outside in. `admission` counts on where there was a configuration before.

    Nothing is limited without `limits`, nothing cached without `cache`, no response kept without `responses`, and
    no call without `ledger`.
    """
    return (
        Authenticate(registry),
        Record(traces),
        Admit(admission, meter),
        Recall(responses),
        Resolve(registry),
        *([Reserve(limits)] if limits is not None else []),
        Features(),
        *([Cache(cache)] if cache is not None else []),
        Call(),
        Account(meter, ledger),
        *([Keep(ledger)] if ledger is not None and ledger.waits else []),
    )


class Pipeline:
    """Runs exchanges through the stages. Iterate what `run` and `call` give, and close it to leave early."""

    def __init__(self, stages: tuple[Stage, ...]) -> None:
        self._root = stages
        self._steps = tuple(Step.of(stage) for stage in stages)
        self._child_steps = tuple(Step.of(stage) for stage in stages if stage.runs_at != "root")

    @property
    def running(self) -> int:
        """The requests of callers that were admitted and have not ended."""
        return sum(stage.running for stage in self._root if isinstance(stage, Admit))

    def run(self, exchange: Exchange) -> Flight:
        """The answer to a caller's exchange. Errors come with the first chunk or between two."""
        return Flight(exchange, self._steps, provide, is_root=True)

    def call(self, exchange: Exchange) -> Flight:
        """The answer to an app's own exchange (`seams.Call`)."""
        return Flight(exchange, self._child_steps, provide, is_root=False)


def provide(flight: Flight) -> Chunks:
    """The provider's own stream, which can be closed early."""
    assert flight.target is not None
    chunks = flight.target.provider.answer(flight.exchange)
    return chunks if isinstance(chunks, AsyncGenerator) else relayed(chunks)


async def relayed(chunks: AsyncIterator[Chunk]) -> Chunks:
    async for chunk in chunks:
        yield chunk

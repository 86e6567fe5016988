"""A batch that a vendor works on: handed over whole, looked at from time to time, and settled line by line.

What was handed over is known through every kill: before the vendor is asked to begin, it is noted that it may have
been, and the batch there bears the name of ours, so that it is found instead of being begun twice.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Raw, Struct

from penstock.access.ledger import LedgerEntry, LedgerOutcome
from penstock.access.limits import Ask, Reservation
from penstock.access.limits.estimate import Estimator
from penstock.access.principal import permits
from penstock.batches import repository
from penstock.batches.answering import LineEndpoint, when
from penstock.batches.lines import Response, answered, body_of, not_asked
from penstock.batches.run import piece
from penstock.batches.values import Batch, BatchError, Line, Result
from penstock.clock import Clock
from penstock.errors import InvalidRequest, PenstockError, UpstreamFailed
from penstock.exchange import Exchange, Usage
from penstock.gateway.prices import Price
from penstock.gateway.registry import Target
from penstock.gateway.routing.backend import Backend
from penstock.gateway.routing.route import Route
from penstock.gateway.services import Services
from penstock.ids import new_id, new_trace_id
from penstock.jobs import repository as jobs
from penstock.jobs.store import JobStore
from penstock.models.dialects.openai.upstream import read_usage
from penstock.models.providers.batching import VendorBatch, VendorBatches
from penstock.models.providers.remote import RemoteProvider

MOST_BYTES = 150 << 20
"""Of a file that is handed over, which is in memory for a moment; a larger batch is asked line by line."""
SOONEST, LATEST = 5.0, 60.0
"""Seconds between two looks: a tenth of the batch's age, between these."""
TRANSIENT = frozenset({None, 408, 409, 429})
LINE_ID = "line-"
ENDPOINTS = frozenset({"/v1/chat/completions", "/v1/completions", "/v1/embeddings"})
FIELDS = msgspec.json.Decoder(dict[str, Raw])


class Offer(Struct, frozen=True):
    """A vendor that would work on a batch."""

    target: Target
    backend: Backend
    vendor: VendorBatches
    model: str


class VendorResponse(Struct, frozen=True):
    status_code: int = 0
    body: Raw = msgspec.field(default_factory=Raw)


class VendorLine(Struct, frozen=True):
    custom_id: str
    response: VendorResponse | None = None
    error: dict[str, Any] | None = None


LINE = msgspec.json.Decoder(VendorLine)

Outcome = Literal["local", "later", "done"]
"""What becomes of a batch: it is asked here line by line, it is looked at again, or no more comes of it."""


class NativeBatches:
    """Batches at vendors. `services` are those of the present configuration."""

    def __init__(
        self,
        store: JobStore,
        services: Callable[[], Services],
        endpoints: Mapping[str, LineEndpoint],
        longest: int,
        clock: Clock,
    ) -> None:
        self._store = store
        self._services = services
        self._endpoints = endpoints
        self._longest = longest
        self._clock = clock
        self._estimator = Estimator()
        self._reserved: dict[str, Reservation] = {}

    def takes(self, batch: Batch) -> bool:
        """Whether a vendor works on the batch already, or may."""
        return batch.upstream is not None or (batch.status == "in_progress" and self._offer(batch) is not None)

    async def work(self, batch: Batch, path: Path, *, stops: bool) -> Outcome:
        """Takes a batch one step further; with `stops` it is to end as soon as the vendor lets go of it.

        Raises `UpstreamFailed` for what may be otherwise next time.
        """
        offer, state = self._offer(batch), batch.upstream
        try:
            if offer is None:
                raise UpstreamFailed(
                    f"Model {batch.model!r} has no provider any more that works on batches.", upstream_status=404
                )
            if state is None and stops:
                return "done"
            if state is None or "id" not in state:
                state = await self._hand_over(batch, path, offer, begins=not stops)
            if state is None:
                return "local"
            return await self._look(batch, path, offer, state["id"], stops=stops)
        except PenstockError as error:
            wait = when(error)
            if isinstance(error, UpstreamFailed) and passes(error):
                raise
            if wait is not None and wait.patient and not stops:
                return await self._later(batch, wait.seconds or LATEST)
            await self._fail(batch, path, error)
            return "done"

    async def _hand_over(self, batch: Batch, path: Path, offer: Offer, *, begins: bool) -> dict[str, Any] | None:
        """Where the batch stands with the vendor then, `None` where it is not one for it."""
        vendor = offer.vendor
        found = await vendor.find(batch.id) if batch.upstream is not None else None
        if found is None:
            prepared = await self._prepared(batch, path, offer) if begins else None
            if prepared is None:
                return None
            data, ask = prepared
            await self._reserve(batch, ask)
            file_id = await vendor.upload(f"{batch.id}.jsonl", data)
            await self._note(batch, {"handing_over": True})
            found = await vendor.create(file_id, batch.endpoint, batch.id)
        state = {"id": found.id, "provider": vendor.name}
        await self._note(batch, state)
        return state

    async def _later(self, batch: Batch, seconds: float) -> Outcome:
        due = self._clock.now_us() + int(seconds * 1e6)
        await self._store.write(partial(jobs.later, id=batch.id, due_us=due))
        return "later"

    async def _prepared(self, batch: Batch, path: Path, offer: Offer) -> tuple[bytes, Ask] | None:
        """The file for the vendor, and what it may use; `None` where it is not for one model, or too large."""
        pieces: list[bytes] = []
        size = tokens = cost = after = 0
        known = True
        while lines := await self._left(batch, after):
            for line in lines:
                data = await asyncio.to_thread(piece, path, line)
                _, body = body_of(data)
                try:
                    exchange = self._endpoints[batch.endpoint].read(body, self._exchange(batch))
                except InvalidRequest:
                    return None
                if exchange.model != batch.model or exchange.stream:
                    return None
                fields = FIELDS.decode(body)
                read, write = self._estimator.tokens(exchange, offer.target.name)
                tokens += read + write
                price = self._cost(offer, Usage(read, write))
                known, cost = known and price is not None, cost + (price or 0)
                fields["model"] = Raw(msgspec.json.encode(offer.model))
                asked = {
                    "custom_id": f"{LINE_ID}{line.number}",
                    "method": "POST",
                    "url": batch.endpoint,
                    "body": fields,
                }
                pieces.append(msgspec.json.encode(asked))
                size += len(pieces[-1]) + 1
                if size > MOST_BYTES:
                    return None
            after = lines[-1].number
        ask = Ask(
            principal=batch.principal,
            model=offer.target.name,
            tokens=tokens,
            cost_nanos=cost if known else None,
            part="work",
        )
        return b"\n".join(pieces) + b"\n", ask

    async def _reserve(self, batch: Batch, ask: Ask) -> None:
        """Raises `RateLimited` or `BudgetExceeded`: a batch is handed over whole or not at all."""
        limits = self._services().limits
        if limits is not None and batch.id not in self._reserved:
            self._reserved[batch.id] = await limits.reserve(ask)

    async def _look(self, batch: Batch, path: Path, offer: Offer, id: str, *, stops: bool) -> Outcome:
        """How far the vendor is; its results, once it is done."""
        vendor = offer.vendor
        there = await vendor.get(id)
        if stops and not there.is_over and there.status != "cancelling":
            there = await vendor.cancel(id)
        if not there.is_over:
            age = (self._clock.now_us() - (batch.in_progress_us or batch.created_us)) / 1e6
            return await self._later(batch, min(LATEST, max(SOONEST, age / 10)))
        files = [file for file in (there.output_file_id, there.error_file_id) if file is not None]
        self._give_back(batch, [await self._settle(batch, path, offer, file) for file in files])
        if not stops:
            await self._give_up(batch, path, left_over(there))
        return "done"

    async def _settle(self, batch: Batch, path: Path, offer: Offer, file_id: str) -> tuple[int, int | None]:
        """Keeps the results in a file of the vendor's; returns the tokens and the cost of those that are new."""
        tokens, cost = 0, 0
        known = True
        waiting = {line.number: line async for line in self._unfinished(batch)}
        async for data in offer.vendor.lines(file_id, self._longest):
            if not data.strip():
                continue
            line = self._named(data, waiting)
            if line is None:
                continue
            result, usage = await self._result(batch, path, line[0], line[1])
            await self._store.write(partial(repository.finish, batch_id=batch.id, result=result))
            if usage is not None:
                spent = self._cost(offer, usage)
                usage = msgspec.structs.replace(usage, cost_nanos=spent)
                tokens += usage.prompt_tokens + usage.completion_tokens
                known, cost = known and spent is not None, cost + (spent or 0)
            if line[1].response is not None:
                await self._account(batch, path, line[0], offer, usage)
        return tokens, cost if known else None

    def _named(self, data: bytes, waiting: dict[int, Line]) -> tuple[Line, VendorLine] | None:
        """The line of ours that a line of the vendor's answers, once."""
        try:
            told = LINE.decode(data)
            line = waiting.pop(int(told.custom_id.removeprefix(LINE_ID)), None)
        except (msgspec.MsgspecError, ValueError):
            return None
        return None if line is None else (line, told)

    async def _result(self, batch: Batch, path: Path, line: Line, told: VendorLine) -> tuple[Result, Usage | None]:
        custom_id, _ = body_of(await asyncio.to_thread(piece, path, line))
        if told.response is None or not bytes(told.response.body):
            error = told.error or {}
            found = BatchError(
                code=str(error.get("code") or "upstream_failed"), message=str(error.get("message") or "")
            )
            return not_asked(line.number, custom_id, found), None
        response = Response(told.response.status_code, new_id("req"), told.response.body)
        usage = read_usage(bytes(told.response.body)) if response.status_code == 200 else None
        return answered(line.number, custom_id, response), usage

    async def _account(self, batch: Batch, path: Path, line: Line, offer: Offer, usage: Usage | None) -> None:
        """A row of the ledger for a call that the vendor has made."""
        ledger = self._services().ledger
        if ledger is None:
            return
        _, body = body_of(await asyncio.to_thread(piece, path, line))
        exchange = self._endpoints[batch.endpoint].read(body, self._exchange(batch))
        ticket = ledger.reserve(LedgerEntry(exchange))
        outcome = LedgerOutcome(
            status="ok" if usage is not None else "error",
            usage=usage or Usage(0, cost_nanos=0),
            served_by=offer.backend.name,
            batch=True,
        )
        ledger.settle(ticket, outcome)

    def _give_back(self, batch: Batch, used: list[tuple[int, int | None]]) -> None:
        reservation = self._reserved.pop(batch.id, None)
        if reservation is not None:
            costs = [cost for _, cost in used]
            known = all(cost is not None for cost in costs)
            reservation.settle(
                sum(tokens for tokens, _ in used), sum(cost or 0 for cost in costs) if known else None
            )

    async def _fail(self, batch: Batch, path: Path, error: PenstockError) -> None:
        self._give_back(batch, [(0, 0)])
        await self._give_up(batch, path, BatchError(code=error.code, message=str(error)))

    async def _give_up(self, batch: Batch, path: Path, error: BatchError) -> None:
        async for line in self._unfinished(batch):
            custom_id, _ = body_of(await asyncio.to_thread(piece, path, line))
            result = not_asked(line.number, custom_id, error)
            await self._store.write(partial(repository.finish, batch_id=batch.id, result=result))

    async def _unfinished(self, batch: Batch) -> Any:
        after = 0
        while lines := await self._left(batch, after):
            for line in lines:
                yield line
            after = lines[-1].number

    async def _left(self, batch: Batch, after: int) -> Any:
        return await self._store.read(partial(repository.unfinished, batch_id=batch.id, after=after))

    async def _note(self, batch: Batch, state: dict[str, Any]) -> None:
        await self._store.write(partial(repository.note_upstream, id=batch.id, state=state))

    def _offer(self, batch: Batch) -> Offer | None:
        services = self._services()
        native, model = services.settings.batches.native, batch.model
        if not native or model is None or not permits(native, model) or batch.endpoint not in ENDPOINTS:
            return None
        target = services.registry.find(model)
        if target is None or not target.open_to(batch.principal) or not isinstance(target.provider, Route):
            return None
        route = target.provider
        backend, provider = route.backends[0], route.backends[0].provider
        if len(route.backends) > 1 or route.leads_to or not isinstance(provider, RemoteProvider):
            return None
        vendor = provider.batches
        return None if vendor is None else Offer(target, backend, vendor, provider.settings.model)

    def _exchange(self, batch: Batch) -> Exchange:
        return Exchange(
            id=new_id("req"),
            trace_id=new_trace_id(),
            purpose="batch",
            project_id=batch.project_id,
            principal=batch.principal,
        )

    def _cost(self, offer: Offer, usage: Usage) -> int | None:
        """What a usage costs in the vendor's batches, in nano-dollars."""
        price = offer.backend.price
        return price.cost_nanos(usage, time.time(), "batch") if isinstance(price, Price) else None


def passes(error: UpstreamFailed) -> bool:
    """Whether the vendor may say something else next time."""
    status = error.upstream_status
    return status in TRANSIENT or (status is not None and status >= 500)


def left_over(there: VendorBatch) -> BatchError:
    """Why lines have no result though the vendor is done."""
    if there.status == "expired":
        return BatchError(code="batch_expired", message="The provider's batch expired before this request.")
    return BatchError(
        code=f"upstream_{there.status}",
        message=there.problem or "The provider's batch has no result for this request.",
    )

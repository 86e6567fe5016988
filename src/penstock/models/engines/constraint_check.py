"""Tries a constraint out before a request with it may enter the engine.

A grammar that does not compile makes the step of a batch raise for everybody in it, and one that compiles slowly
holds everybody up. So each new grammar is first run in a helper process, on a model without weights but with the
same tokenizer and the same grammar engine, and the helper is killed when it takes too long. What was learned is
kept by the constraint's digest.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict

from penstock import constraints
from penstock.errors import EngineStopped, InvalidConstraint
from penstock.exchange import Constraint
from penstock.models.engines.base import EngineSettings, past_deadline, seconds_left
from penstock.process import ChildCommand, SupervisedChild

MOST_BYTES = 16 << 20


class ConstraintChecker:
    """Turns constraints into grammars that are known to run. The helper starts with the first one."""

    def __init__(self, settings: EngineSettings, module: str) -> None:
        self._settings = settings
        self._verdicts = Verdicts()
        self._pending: dict[str, asyncio.Task[str]] = {}
        self._reply: asyncio.Future[bytes] | None = None
        self._one_at_a_time = asyncio.Lock()
        self._helper = SupervisedChild(
            ChildCommand(
                name=f"constraint check {settings.model}",
                module=module,
                setup=str(settings.file).encode(),
                start_timeout=settings.start_timeout,
            ),
            on_frame=self._on_frame,
            on_exit=self._on_exit,
            backoff=(0.05, 2.0),
        )

    @property
    def pid(self) -> int | None:
        return self._helper.pid

    async def check(self, constraint: Constraint, deadline: float) -> str:
        """The constraint as a grammar. Raises `InvalidConstraint`, `DeadlineExceeded`."""
        key = constraints.digest(constraint)
        verdict = self._verdicts.get(key)
        if verdict is None:
            task = self._pending.get(key)
            if task is None:
                task = self._pending[key] = asyncio.create_task(self._judge(key, constraint))
                task.add_done_callback(lambda done: self._forget(key, done))
            try:
                async with asyncio.timeout(seconds_left(deadline)):
                    return await asyncio.shield(task)
            except TimeoutError:
                raise past_deadline(self._settings.model) from None
        if isinstance(verdict, InvalidConstraint):
            raise verdict
        return verdict

    async def close(self) -> None:
        for task in list(self._pending.values()):
            task.cancel()
        await asyncio.gather(*self._pending.values(), return_exceptions=True)
        await self._helper.stop(grace=0.2)

    def _forget(self, key: str, task: asyncio.Task[str]) -> None:
        self._pending.pop(key, None)
        if not task.cancelled():
            task.exception()

    async def _judge(self, key: str, constraint: Constraint) -> str:
        try:
            grammar = await asyncio.to_thread(constraints.grammar, constraint)
            async with self._one_at_a_time:
                await self._rehearse(grammar)
        except InvalidConstraint as error:
            self._verdicts.put(key, error)
            raise
        self._verdicts.put(key, grammar)
        return grammar

    async def _rehearse(self, grammar: str) -> None:
        """Runs a grammar in the helper. A helper that dies of it twice is a verdict too."""
        for _ in range(2):
            if self._helper.state == "stopped":
                await self._helper.start()
            await self._helper.ready(time.monotonic() + self._settings.start_timeout)
            self._reply = asyncio.get_running_loop().create_future()
            try:
                self._helper.send(grammar.encode())
                async with asyncio.timeout(self._settings.constraint_seconds):
                    reply = await self._reply
            except TimeoutError:
                self._helper.kill()
                seconds = self._settings.constraint_seconds
                raise InvalidConstraint(
                    f"the constraint takes longer than {seconds:g} s to compile and follow.",
                    hint="Use smaller bounds on lengths and repetitions, or fewer of them.",
                ) from None
            except EngineStopped:
                continue
            if reply:
                raise InvalidConstraint(f"the constraint does not compile: {reply.decode()}")
            return
        raise InvalidConstraint("the constraint crashes the grammar compiler.", hint="Send a simpler one.")

    def _on_frame(self, payload: bytes) -> None:
        if self._reply is not None and not self._reply.done():
            self._reply.set_result(payload)

    def _on_exit(self, reason: str) -> None:
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(EngineStopped(f"the constraint check ended: {reason}."))


class Verdicts:
    """What is known by digest, the latest used last, bounded in bytes."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, str | InvalidConstraint] = OrderedDict()
        self._bytes = 0

    def get(self, key: str) -> str | InvalidConstraint | None:
        if key in self._known:
            self._known.move_to_end(key)
        return self._known.get(key)

    def put(self, key: str, verdict: str | InvalidConstraint) -> None:
        self._known[key] = verdict
        self._bytes += size(verdict)
        while self._bytes > MOST_BYTES:
            _, oldest = self._known.popitem(last=False)
            self._bytes -= size(oldest)


def size(verdict: str | InvalidConstraint) -> int:
    return 200 + len(verdict if isinstance(verdict, str) else verdict.message)

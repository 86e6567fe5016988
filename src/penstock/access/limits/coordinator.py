"""Keeps the counts for all worker processes of a machine, in the process that watches over them.

A worker connects to a Unix socket and takes leases (`leasing`). Where one needs what others hold unused, the
others are asked to give it back, and it is told to take again as soon as one of them has. Only when nobody holds
any more, and nothing is on its way, is the answer that there is no more. One that is asked and stays silent for
`PATIENCE_SECONDS` is waited for no longer until it is heard of again. When a worker's socket closes, however it
ended, what was left of its leases is read from its slots and counts no more; nor does what was running in it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

import msgspec

from penstock.access.limits import frames
from penstock.access.limits.frames import (
    Again,
    AskUsage,
    Frames,
    Give,
    Hello,
    Recall,
    Register,
    Take,
    Taken,
    Usage,
)
from penstock.access.limits.leases import Change, Elsewhere, Grant, Want
from penstock.access.limits.local import LocalStore
from penstock.access.limits.slots import HANDED, TAKEN_OVER, Slots
from penstock.access.limits.values import CONCURRENT, CounterSpec, CounterUsage
from penstock.access.limits.windows import FOREVER

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 15.0
"""How long a worker may take to give back what it does not use; after that it counts as one that hangs."""
SWEEP_SECONDS = 60.0


class Recalled:
    """A worker was asked at a time of the event loop to give back a lease."""

    __slots__ = ("answer", "at")

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.at = loop.time()
        self.answer: asyncio.Future[None] = loop.create_future()

    def settle(self) -> None:
        if not self.answer.done():
            self.answer.set_result(None)


class Link:
    """One worker, as the coordinator knows it. `awaiting` are the counters of which others owe it something."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._coordinator = coordinator
        self.frames = Frames(self._on_message, self._on_end)
        self.slots: Slots | None = None
        self.specs: dict[int, CounterSpec] = {}
        self.numbers: dict[str, int] = {}
        self.running: dict[int, int] = {}
        self.serial = 0
        self.handed = 0
        self.last: list[Grant] = []
        self.recalls: dict[int, Recalled] = {}
        self.awaiting: set[int] = set()

    def _on_message(self, data: bytes) -> None:
        try:
            message = frames.UP.decode(data)
        except msgspec.MsgspecError:
            logger.warning("a worker sent something that is no message about limits")
            self.frames.close()
            return
        if isinstance(message, Give):
            self.handed = message.handed
            self._coordinator.change(self, message.changes)
            if (recalled := self.recalls.pop(message.recall, None)) is not None:
                recalled.settle()
        elif isinstance(message, Take):
            self._coordinator.take(self, message.wants)
        elif isinstance(message, Register):
            self._register(message)
        elif isinstance(message, AskUsage):
            self.frames.send(Usage(self._coordinator.usage()))
        else:
            self._adopt(message)

    def _register(self, message: Register) -> None:
        if (known := self.specs.get(message.number)) is not None:
            self.numbers.pop(known.id, None)
        self.specs[message.number] = message.spec
        self.numbers[message.spec.id] = message.number

    def _adopt(self, hello: Hello) -> None:
        try:
            self.slots = Slots.adopt(self._coordinator.folder / Path(hello.slots).name)
        except (OSError, ValueError) as error:
            logger.warning("a worker's slots cannot be read: %s", error)
            self.frames.close()

    def _on_end(self) -> None:
        self._coordinator.leave(self)
        for recalled in self.recalls.values():
            recalled.settle()

    def holds(self, spec: CounterSpec) -> bool:
        """Whether something of a counter may be left here, or is on its way here or back."""
        number = self.numbers.get(spec.id)
        if number is None or self.slots is None:
            return False
        words = self.slots.words
        if words[TAKEN_OVER] != self.serial and any(each.number == number and each.amount for each in self.last):
            return True
        return words[HANDED] != self.handed or self.slots.left(number)[0] > 0

    def recall(self, spec: CounterSpec) -> Recalled:
        """Asks for what is left of a lease, once until that is answered."""
        number = self.numbers[spec.id]
        recalled = self.recalls.get(number)
        if recalled is None:
            recalled = self.recalls[number] = Recalled()
            self.frames.send(Recall(number))
        return recalled

    def is_silent_since(self, time: float) -> bool:
        """Whether it was asked for something before that time of the event loop and has not answered yet."""
        return any(each.at <= time for each in self.recalls.values())

    def grant(self, grants: list[Grant]) -> None:
        self.serial += 1
        self.last = grants
        self.frames.send(Taken(self.serial, grants))

    def left(self) -> list[Change]:
        """What becomes free when the worker ends."""
        if self.slots is None:
            return []
        unused = [
            Change(number, self.slots.left(number)[1], -self.slots.left(number)[0])
            for number, spec in self.specs.items()
            if spec.dimension != CONCURRENT
        ]
        if self.slots.words[TAKEN_OVER] != self.serial:
            lost = (each for each in self.last if self.specs[each.number].dimension != CONCURRENT)
            unused += [Change(each.number, each.ends_us, -each.amount) for each in lost]
        return unused + [Change(number, FOREVER, -running) for number, running in self.running.items()]


class Coordinator:
    """Serves the workers at `socket`; `store` has the counts. Runs in the process that starts them."""

    def __init__(self, socket: Path, store: LocalStore, patience: float = PATIENCE_SECONDS) -> None:
        self._socket = socket
        self._store = store
        self._patience = patience
        self._links: set[Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def folder(self) -> Path:
        return self._socket.parent

    async def start_serving(self) -> None:
        """Workers can connect when this returns."""
        self._socket.parent.mkdir(parents=True, exist_ok=True)
        self._socket.unlink(missing_ok=True)
        for slots in self.folder.glob(f"{self._socket.name}.*.slots"):
            slots.unlink(missing_ok=True)
        self._server = await asyncio.get_running_loop().create_unix_server(self._connected, self._socket)
        self._socket.chmod(0o600)

    async def serve(self) -> None:
        """Serves until it is cancelled."""
        if self._server is None:
            await self.start_serving()
        try:
            while True:
                await asyncio.sleep(SWEEP_SECONDS)
                self._store.forget_idle()
        finally:
            await self.close()

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for link in list(self._links):
            self.leave(link)
            link.frames.close()
        self._socket.unlink(missing_ok=True)

    def _connected(self) -> Frames:
        link = Link(self)
        self._links.add(link)
        return link.frames

    def leave(self, link: Link) -> None:
        if link not in self._links:
            return
        self._links.discard(link)
        self.change(link, link.left())
        if link.slots is not None:
            link.slots.close()
            link.slots = None

    def take(self, link: Link, wants: list[Want]) -> None:
        link.grant([self._grant(link, want) for want in wants])

    def _grant(self, link: Link, want: Want) -> Grant:
        spec = link.specs[want.number]
        grant = self._store.grant(self._store.counter(spec), want, len(self._links))
        if spec.dimension == CONCURRENT:
            link.running[want.number] = link.running.get(want.number, 0) + grant.amount
        if grant.is_short and (holders := [each for each in self._links if each is not link and each.holds(spec)]):
            return msgspec.structs.replace(grant, elsewhere=self._recall(link, spec, holders))
        return grant

    def _recall(self, link: Link, spec: CounterSpec, holders: list[Link]) -> Elsewhere:
        """Asks for what they hold, and lets `link` know when it comes back. Whether there is any hope of that."""
        patient_since = asyncio.get_running_loop().time() - self._patience
        answering = [each for each in holders if not each.is_silent_since(patient_since)]
        if not answering:
            return "stuck"
        number = link.numbers[spec.id]
        if number not in link.awaiting:
            link.awaiting.add(number)
            task = asyncio.create_task(self._await(link, number, [each.recall(spec) for each in answering]))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return "held"

    async def _await(self, link: Link, number: int, recalls: Sequence[Recalled]) -> None:
        """Until the first of them is answered, or the last was waited for long enough."""
        late = max(each.at for each in recalls) + self._patience
        left = max(0.0, late - asyncio.get_running_loop().time())
        await asyncio.wait([each.answer for each in recalls], timeout=left, return_when=asyncio.FIRST_COMPLETED)
        link.awaiting.discard(number)
        link.frames.send(Again())

    def change(self, link: Link, changes: list[Change]) -> None:
        for change in changes:
            spec = link.specs.get(change.number)
            if spec is None:
                continue
            if spec.dimension == CONCURRENT:
                link.running[change.number] = link.running.get(change.number, 0) + change.delta
            self._store.settle((self._store.counter(spec),), (change.ends_us,), (change.delta,) * 4)

    def usage(self) -> list[CounterUsage]:
        """Without what workers hold and have not used."""
        unused: dict[str, int] = {}
        for link in self._links:
            for number, spec in link.specs.items():
                if link.slots is not None:
                    unused[spec.id] = unused.get(spec.id, 0) + link.slots.left(number)[0]
        return [
            msgspec.structs.replace(each, used=max(0, each.used - unused.get(each.spec.id, 0)))
            for each in self._store.all_usage()
        ]

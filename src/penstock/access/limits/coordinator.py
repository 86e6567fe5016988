"""Keeps the counts for all worker processes of a machine, in the process that watches over them.

A worker connects to a Unix socket and takes leases (`leasing`). Where one needs what others hold unused, the
others are asked to give it back before it is refused anything. When a worker's socket closes, however it ended,
what was left of its leases is read from its slots and counts no more; nor does what was running in it.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import msgspec

from penstock.access.limits import frames
from penstock.access.limits.frames import AskUsage, Frames, Give, Hello, Recall, Register, Take, Taken, Usage
from penstock.access.limits.leases import Change, Grant, Want
from penstock.access.limits.local import LocalStore
from penstock.access.limits.slots import Slots
from penstock.access.limits.values import CONCURRENT, CounterSpec, CounterUsage
from penstock.access.limits.windows import FOREVER

logger = logging.getLogger(__name__)

RECALL_SECONDS = 2.0
"""How long a worker may take to give back what it does not use; after that, another one is refused."""
SWEEP_SECONDS = 60.0


class Link:
    """One worker, as the coordinator knows it."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._coordinator = coordinator
        self.frames = Frames(self._on_message, self._on_end)
        self.slots: Slots | None = None
        self.specs: dict[int, CounterSpec] = {}
        self.numbers: dict[str, int] = {}
        self.running: dict[int, int] = {}
        self.serial = 0
        self.last: list[Grant] = []
        self.recalls: dict[int, asyncio.Future[None]] = {}

    def _on_message(self, data: bytes) -> None:
        try:
            message = frames.UP.decode(data)
        except msgspec.MsgspecError:
            logger.warning("a worker sent something that is no message about limits")
            self.frames.close()
            return
        if isinstance(message, Give):
            self._coordinator.change(self, message.changes)
            if (recalled := self.recalls.pop(message.recall, None)) is not None and not recalled.done():
                recalled.set_result(None)
        elif isinstance(message, Take):
            self._coordinator.start(self, message.wants)
        elif isinstance(message, Register):
            self.specs[message.number] = message.spec
            self.numbers[message.spec.id] = message.number
        elif isinstance(message, AskUsage):
            self.frames.send(Usage(self._coordinator.usage()))
        else:
            self._adopt(message)

    def _adopt(self, hello: Hello) -> None:
        try:
            self.slots = Slots.adopt(self._coordinator.folder / Path(hello.slots).name)
        except (OSError, ValueError) as error:
            logger.warning("a worker's slots cannot be read: %s", error)
            self.frames.close()

    def _on_end(self) -> None:
        self._coordinator.leave(self)
        for recalled in self.recalls.values():
            if not recalled.done():
                recalled.set_result(None)

    def holds(self, number: int) -> bool:
        """Whether something of a counter may be left here, or is on its way here."""
        if self.slots is None:
            return False
        on_its_way = self.slots.words[0] != self.serial and any(each.number == number for each in self.last)
        return on_its_way or self.slots.left(number)[0] > 0

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
        if self.slots.words[0] != self.serial:
            lost = (each for each in self.last if self.specs[each.number].dimension != CONCURRENT)
            unused += [Change(each.number, each.ends_us, -each.amount) for each in lost]
        return unused + [Change(number, FOREVER, -running) for number, running in self.running.items()]


class Coordinator:
    """Serves the workers at `socket`; `store` has the counts. Runs in the process that starts them."""

    def __init__(self, socket: Path, store: LocalStore) -> None:
        self._socket = socket
        self._store = store
        self._links: set[Link] = set()
        self._recalls = 0
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

    def start(self, link: Link, wants: list[Want]) -> None:
        """Answers at once where nobody has to give something back first, as is nearly always so."""
        if not any(self._lacks(link, want) for want in wants):
            link.grant([self._grant(link, want) for want in wants])
            return
        task = asyncio.create_task(self._take(link, wants))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take(self, link: Link, wants: list[Want]) -> None:
        deadline = asyncio.get_running_loop().time() + RECALL_SECONDS
        while lacking := [link.specs[each.number] for each in wants if self._lacks(link, each)]:
            holders = [
                (each, spec)
                for spec in lacking
                for each in self._links
                if each is not link and self._holds(each, spec)
            ]
            left = deadline - asyncio.get_running_loop().time()
            if not holders or left <= 0:
                break
            await self._recall(holders, left)
        if link in self._links:
            link.grant([self._grant(link, want) for want in wants])

    def _lacks(self, link: Link, want: Want) -> bool:
        return self._store.room(self._store.counter(link.specs[want.number])) < want.need

    def _holds(self, link: Link, spec: CounterSpec) -> bool:
        number = link.numbers.get(spec.id)
        return number is not None and link.holds(number)

    async def _recall(self, holders: list[tuple[Link, CounterSpec]], seconds: float) -> None:
        """Returns when all have given back what they did not use, or when they take too long."""
        answers = []
        for link, spec in holders:
            self._recalls += 1
            answer = link.recalls[self._recalls] = asyncio.get_running_loop().create_future()
            link.frames.send(Recall(self._recalls, link.numbers[spec.id]))
            answers.append(answer)
        await asyncio.wait(answers, timeout=seconds)

    def _grant(self, link: Link, want: Want) -> Grant:
        spec = link.specs[want.number]
        grant = self._store.grant(self._store.counter(spec), want, len(self._links))
        if spec.dimension == CONCURRENT:
            link.running[want.number] = link.running.get(want.number, 0) + grant.amount
        return grant

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

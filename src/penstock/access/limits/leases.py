"""What a process takes in advance from the keeper of the counts, and what it gives back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from msgspec import Struct

from penstock.access.limits.base import Counter
from penstock.access.limits.values import CounterUsage

Elsewhere = Literal["", "held", "stuck"]
"""Where what is missing may be: nowhere, unused with others who were asked for it, or with one that hangs."""


class Want(Struct, frozen=True, array_like=True):
    """`need` is asked for by requests that wait, `extra` would save asking again soon."""

    number: int
    need: int
    extra: int


class Grant(Struct, frozen=True, array_like=True):
    """An amount of the stretch that ends at `ends_us`, and what the keeper has counted with it.

    It may be used for `lasts_us` from when it was asked for: the clocks of machines differ, their pace does not.

    `is_short` says that it is less than was needed; only where what is missing is nowhere `elsewhere` is that the
    last word. `is_soft` says that the counter's warning is passed.
    """

    number: int
    amount: int
    ends_us: int
    lasts_us: int
    previous: int
    current: int
    is_short: bool
    is_soft: bool
    elsewhere: Elsewhere = ""


class Change(Struct, frozen=True, array_like=True):
    """A correction of what was taken in the stretch that ends at `ends_us`: less than nothing is given back."""

    number: int
    ends_us: int
    delta: int


class Keeper(Protocol):
    """Whoever keeps the counts for several processes, as one of them sees it. A counter goes by its `number`."""

    async def open(self) -> None:
        """Gets ready; called before each `take`, and quick where it is."""
        ...

    def register(self, counter: Counter) -> None:
        """Makes a counter known by its number before it is first wanted."""
        ...

    async def take(self, wants: Sequence[Want]) -> list[Grant]:
        """One grant for each want. Raises `Unavailable`. What was given back before counts.

        Others that hold what is missing are asked for it, and the store's `ask_again` is called when some of them
        have answered, or are known to hang.
        """
        ...

    def give(self, changes: Sequence[Change]) -> None:
        """Corrects counts; does not wait."""
        ...

    async def usage(self) -> list[CounterUsage]: ...

    async def close(self) -> None: ...

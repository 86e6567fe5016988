"""Groups of commands of which one needs no name."""

from __future__ import annotations

from typing import ClassVar

import typer
from typer.core import TyperGroup


class ListByDefault(TyperGroup):
    """`penstock traces my-docs/` is `penstock traces list my-docs/`."""

    default: ClassVar[str] = "list"

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        if not args or (args[0] not in self.commands and args[0] not in ("-h", "--help")):
            args = [self.default, *args]
        return super().parse_args(ctx, args)


class ShowByDefault(ListByDefault):
    """`penstock costs my-docs/` is `penstock costs show my-docs/`."""

    default = "show"

"""How much one run may delete: a source that suddenly lacks most of its documents is likelier broken than empty."""

from __future__ import annotations

from penstock.errors import Conflict

HANDFUL = 5
"""So many may always go: of a few documents, each is a large share."""


def check_deletions(source: str, known: int, gone: int, max_delete: float) -> None:
    """Raises `Conflict` where a run would remove more than a handful, and more than the share `max_delete` (0 to 1)
    of a source's `known` documents."""
    if gone <= HANDFUL or gone <= max_delete * known:
        return
    raise Conflict(
        f"{source}: {gone:,} of {known:,} documents are no longer there, more than the {max_delete:.0%} that one "
        "run may delete. Nothing of this source was removed.",
        hint="If they are really gone, run `penstock ingest --allow-delete`; else mend the source. max_delete sets "
        "the share.",
    )
